"""Just enough of ONNX's protobuf to write down a graph of known operators, so that `onnx` need not be installed.

Field numbers are those of onnx.proto; weights are declared here and handed to the runtime as memory, not copied.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

ONNX_DOMAIN = ""
CONTRIB_DOMAIN = "com.microsoft"

Attribute = int | float


class Element(IntEnum):
    """TensorProto.DataType."""

    FLOAT = 1
    UINT8 = 2
    INT8 = 3
    INT32 = 6
    INT64 = 7


@dataclass(slots=True)
class GraphWriter:
    """Collects nodes in order of execution; `serialise` gives the model's bytes."""

    name: str
    _nodes: list[bytes] = field(default_factory=list)
    _weights: list[bytes] = field(default_factory=list)
    _inputs: list[bytes] = field(default_factory=list)
    _outputs: list[bytes] = field(default_factory=list)

    def node(
        self,
        operator: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        *,
        domain: str = ONNX_DOMAIN,
        **attributes: Attribute,
    ) -> str:
        """Append one node and return the name of its first output."""
        message = [_text(1, name) for name in inputs] + [_text(2, name) for name in outputs]
        message += [_text(3, outputs[0]), _text(4, operator)]
        message += [_bytes(5, _attribute(name, value)) for name, value in attributes.items()]
        message.append(_text(7, domain))
        self._nodes.append(b"".join(message))
        return outputs[0]

    def external_weight(self, name: str, element: Element, shape: Sequence[int]) -> str:
        """A tensor whose data the session receives separately, under the same name."""
        place = _text(1, "location") + _text(2, "memory")
        self._weights.append(_tensor_head(name, element, shape) + _bytes(13, place) + _integer(14, 1))
        return name

    def small_weight(self, name: str, element: Element, shape: Sequence[int], data: bytes) -> str:
        self._weights.append(_tensor_head(name, element, shape) + _bytes(9, data))
        return name

    def input(self, name: str, element: Element, shape: Sequence[int | str]) -> str:
        self._inputs.append(_value(name, element, shape))
        return name

    def output(self, name: str, element: Element, shape: Sequence[int | str]) -> None:
        self._outputs.append(_value(name, element, shape))

    def serialise(self, *, ir_version: int = 8, opset: int = 17) -> bytes:
        graph = [_bytes(1, node) for node in self._nodes] + [_text(2, self.name)]
        graph += [_bytes(5, weight) for weight in self._weights]
        graph += [_bytes(11, value) for value in self._inputs] + [_bytes(12, value) for value in self._outputs]
        opsets = [(ONNX_DOMAIN, opset), (CONTRIB_DOMAIN, 1)]
        model = [_integer(1, ir_version), _bytes(7, b"".join(graph))]
        model += [_bytes(8, _text(1, domain) + _integer(2, version)) for domain, version in opsets]
        return b"".join(model)


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, float):
        return _text(1, name) + _key(2, 5) + struct.pack("<f", value) + _integer(20, 1)
    return _text(1, name) + _integer(3, value) + _integer(20, 2)


def _tensor_head(name: str, element: Element, shape: Sequence[int]) -> bytes:
    return b"".join(_integer(1, size) for size in shape) + _integer(2, element) + _text(8, name)


def _value(name: str, element: Element, shape: Sequence[int | str]) -> bytes:
    sizes = [_integer(1, size) if isinstance(size, int) else _text(2, size) for size in shape]
    tensor = _integer(1, element) + _bytes(2, b"".join(_bytes(1, size) for size in sizes))
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _key(number: int, wire_type: int) -> bytes:
    return _varint(number << 3 | wire_type)


def _integer(number: int, value: int) -> bytes:
    return _key(number, 0) + _varint(value & 0xFFFFFFFFFFFFFFFF)  # negative numbers travel as two's complement


def _bytes(number: int, value: bytes) -> bytes:
    return _key(number, 2) + _varint(len(value)) + value


def _text(number: int, value: str) -> bytes:
    return _bytes(number, value.encode())


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
