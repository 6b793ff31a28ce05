"""BERT-family weights -> a graph of ONNX Runtime's fused operators, written in memory at each start (0.1 s).

fp32 is exact. int8 rounds the matrix weights, one scale for each output, while the runtime rounds what flows into
each product to 8 bits over one whole call; the caller therefore gives one text a call (see `local.py`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.embedding.config import Precision
from ingest.embedding.onnx_writer import CONTRIB_DOMAIN, Element, GraphWriter
from ingest.errors import ModelMissing

Array = NDArray[np.generic]
Tensor = Callable[[str], NDArray[np.float32]]

IDS, MASK, SHARE, POOLED = "input_ids", "attention_mask", "share", "pooled"
_ELEMENTS = {"float32": Element.FLOAT, "int8": Element.INT8, "uint8": Element.UINT8}


@dataclass(frozen=True, slots=True)
class BertShape:
    width: int
    layers: int
    heads: int
    positions: int
    epsilon: float

    @classmethod
    def of(cls, config: Mapping[str, object], name: str) -> "BertShape":
        """Raises ModelMissing for relatives of BERT that this graph would compute wrongly."""
        for key, known in (("model_type", "bert"), ("hidden_act", "gelu"), ("position_embedding_type", "absolute")):
            if config.get(key, known) != known:
                raise ModelMissing(
                    f"the embedding model {name} has {key} {config.get(key)!r}, and only {known!r} can be built "
                    "from its weights; put its model.onnx into the folder"
                )
        numbers = [
            config.get(key)
            for key in ("hidden_size", "num_hidden_layers", "num_attention_heads", "max_position_embeddings")
        ]
        width, layers, heads, positions = (number if isinstance(number, int) else 0 for number in numbers)
        if min(width, layers, heads, positions) < 1 or width % heads:
            raise ModelMissing(f"the config.json of the embedding model {name} does not describe a BERT model")
        epsilon = config.get("layer_norm_eps", 1e-12)
        return cls(width, layers, heads, positions, float(epsilon) if isinstance(epsilon, int | float) else 1e-12)


@dataclass(frozen=True, slots=True)
class Graph:
    """`weights` are to be handed to the session beside the model's bytes, and to outlive it."""

    model: bytes
    weights: dict[str, Array]


def build_graph(shape: BertShape, tensor: Tensor, precision: Precision, *, signed_weights: bool = True) -> Graph:
    """`signed_weights` False avoids the products that processors without VNNI compute wrongly (and takes longer)."""
    writer = _BertWriter(shape, tensor, precision, signed_weights)
    ids = writer.graph.input(IDS, Element.INT32, ["texts", "tokens"])
    mask = writer.graph.input(MASK, Element.INT32, ["texts", "tokens"])
    share = writer.graph.input(SHARE, Element.FLOAT, ["texts", "tokens"])
    hidden = writer.embeddings(ids, mask)
    for layer in range(shape.layers):
        hidden = writer.layer(f"encoder.layer.{layer}.", hidden)
    writer.weighted_sum(hidden, share)
    writer.graph.output(POOLED, Element.FLOAT, ["texts", shape.width])
    return Graph(writer.graph.serialise(), writer.weights)


@dataclass(slots=True)
class _BertWriter:
    shape: BertShape
    tensor: Tensor
    precision: Precision
    signed_weights: bool
    graph: GraphWriter = field(default_factory=lambda: GraphWriter("bert"))
    weights: dict[str, Array] = field(default_factory=dict)

    def embeddings(self, ids: str, mask: str) -> str:
        """Word and position; every text is of the first kind, so that kind's row is part of each position."""
        words = self._weight("embeddings.word_embeddings.weight")
        kind = self.tensor("embeddings.token_type_embeddings.weight")[0]
        places = self._give("positions", self.tensor("embeddings.position_embeddings.weight") + kind)
        gain, offset = self._normalisation("embeddings.LayerNorm")
        inputs = [ids, "", words, places, "", gain, offset, mask]
        return self._fused("EmbedLayerNormalization", inputs, ["embedded", "lengths"], epsilon=self.shape.epsilon)

    def layer(self, name: str, hidden: str) -> str:
        context = self._attention(f"{name}attention.self.", hidden)
        drawn = self._product(context, f"{name}attention.output.dense.weight")
        middle = self._add_and_normalise(drawn, hidden, f"{name}attention.output.")
        wide = self._product(middle, f"{name}intermediate.dense.weight")
        active = self._fused("BiasGelu", [wide, self._weight(f"{name}intermediate.dense.bias")], [f"{name}active"])
        narrow = self._product(active, f"{name}output.dense.weight")
        return self._add_and_normalise(narrow, middle, f"{name}output.")

    def weighted_sum(self, hidden: str, share: str) -> None:
        """Pooling is the caller's `share` of each token: equal parts give the mean, all to the first gives [CLS]."""
        axis = self.graph.small_weight("axis", Element.INT64, [1], (1).to_bytes(8, "little"))
        row = self.graph.node("Unsqueeze", [share, axis], ["share_row"])
        self.graph.node("Squeeze", [self.graph.node("MatMul", [row, hidden], ["pooled_row"]), axis], [POOLED])

    def _attention(self, name: str, hidden: str) -> str:
        matrix = np.concatenate([self.tensor(f"{name}{part}.weight") for part in ("query", "key", "value")])
        bias = np.concatenate([self.tensor(f"{name}{part}.bias") for part in ("query", "key", "value")])
        biases = self._give(f"{name}bias", bias)
        heads = self.shape.heads
        if self.precision == "fp32":
            weight = self._give(f"{name}weight", matrix.T)
            return self._fused("Attention", [hidden, weight, biases, "lengths"], [f"{name}context"], num_heads=heads)
        together = self._rounded_product(hidden, f"{name}weight", matrix)
        parts = [f"{name}query", f"{name}key", f"{name}value"]
        self.graph.node("Split", [together], parts, axis=2)
        return self._fused("MultiHeadAttention", [*parts, biases, "lengths"], [f"{name}context"], num_heads=heads)

    def _add_and_normalise(self, drawn: str, hidden: str, name: str) -> str:
        gain, offset = self._normalisation(f"{name}LayerNorm")
        inputs = [drawn, hidden, gain, offset, self._weight(f"{name}dense.bias")]
        return self._fused("SkipLayerNormalization", inputs, [f"{name}normal"], epsilon=self.shape.epsilon)

    def _product(self, hidden: str, name: str) -> str:
        matrix = self.tensor(name)
        if self.precision == "fp32":
            return self.graph.node("MatMul", [hidden, self._give(name, matrix.T)], [f"{name}.product"])
        return self._rounded_product(hidden, name, matrix)

    def _rounded_product(self, hidden: str, name: str, matrix: NDArray[np.float32]) -> str:
        # One scale for each output: with one for the whole matrix the vectors' cosine to fp32 falls from .993 to .949.
        scale = np.maximum(np.abs(matrix).max(axis=1), np.float32(1e-30)) / np.float32(127)
        whole = np.rint(matrix / scale[:, None]).astype(np.int8)
        inputs = [hidden]
        if self.signed_weights:
            inputs += [self._give(f"{name}.whole", whole.T), self._give(f"{name}.scale", scale)]
        else:
            shifted = (whole.astype(np.int16) + 128).astype(np.uint8)
            zero = np.full(len(scale), 128, dtype=np.uint8)
            inputs += [self._give(f"{name}.whole", shifted.T), self._give(f"{name}.scale", scale)]
            inputs += [self._give(f"{name}.zero", zero)]
        return self._fused("DynamicQuantizeMatMul", inputs, [f"{name}.product"])

    def _normalisation(self, name: str) -> tuple[str, str]:
        return self._weight(f"{name}.weight"), self._weight(f"{name}.bias")

    def _weight(self, name: str) -> str:
        return self._give(name, self.tensor(name))

    def _give(self, name: str, array: Array) -> str:
        self.weights[name] = np.ascontiguousarray(array)
        return self.graph.external_weight(name, _ELEMENTS[array.dtype.name], array.shape)

    def _fused(self, operator: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: float) -> str:
        return self.graph.node(operator, inputs, outputs, domain=CONTRIB_DOMAIN, **attributes)
