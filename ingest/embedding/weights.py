"""Reads named tensors out of a safetensors file without copying it: processes of one machine share its pages.

The format: eight bytes of header length, a JSON header with type, shape and byte span of each tensor, then the bytes.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ingest.errors import ModelMissing

_TYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
_MOST_HEADER_BYTES = 1 << 24


def open_weights(path: Path) -> Callable[[str], NDArray[np.float32]]:
    """A function from tensor name to float32 values; names may lack the `bert.` that some files put first."""
    header, data = _parts(path)

    def tensor(name: str) -> NDArray[np.float32]:
        entry = header.get(name) or header.get(f"bert.{name}")
        if not isinstance(entry, dict) or entry.get("dtype") not in _TYPES:
            raise ModelMissing(f"{path} holds no usable tensor {name}; it is not a model of the BERT family")
        try:
            start, end = entry["data_offsets"]
            values = data[start:end].view(np.dtype(_TYPES[entry["dtype"]]))
            if entry["dtype"] == "BF16":
                values = (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
            return np.asarray(values, dtype=np.float32).reshape(entry["shape"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelMissing(f"{path} is damaged: tensor {name} is not as its header says") from error

    return tensor


def _parts(path: Path) -> tuple[dict[str, object], NDArray[np.uint8]]:
    size = path.stat().st_size
    raw = np.memmap(path, dtype=np.uint8, mode="r") if size else np.empty(0, dtype=np.uint8)
    header_bytes = int.from_bytes(raw[:8].tobytes(), "little")
    if size < 10 or not 2 <= header_bytes <= min(_MOST_HEADER_BYTES, size - 8):
        raise ModelMissing(f"{path} is damaged: it is not a safetensors file")
    try:
        header = json.loads(raw[8 : 8 + header_bytes].tobytes())
    except ValueError as error:
        raise ModelMissing(f"{path} is damaged: its header cannot be read") from error
    if not isinstance(header, dict):
        raise ModelMissing(f"{path} is damaged: its header is not a table")
    return header, raw[8 + header_bytes :]
