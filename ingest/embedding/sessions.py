"""Opens ONNX Runtime sessions and runs them; the only importer of onnxruntime.

A session here uses the calling thread alone, so that many threads may run it at once and none waits for another.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from ingest.embedding.bert import IDS, MASK, SHARE, Array, BertShape, Graph, build_graph
from ingest.embedding.config import Accelerator, Precision
from ingest.embedding.embedder import Vectors
from ingest.embedding.onnx_writer import CONTRIB_DOMAIN, Element, GraphWriter
from ingest.errors import EmbedderMisbehaved, ModelMissing

Encode = Callable[[Sequence[Sequence[int]]], Vectors]  # token ids of some texts -> one row each, not yet of length one

_PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}
_FAILURES = (
    onnxruntime.capi.onnxruntime_pybind11_state.Fail,
    onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument,
    onnxruntime.capi.onnxruntime_pybind11_state.InvalidGraph,
    onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf,
    onnxruntime.capi.onnxruntime_pybind11_state.NoSuchFile,
    onnxruntime.capi.onnxruntime_pybind11_state.NotImplemented,
    onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException,
)


def open_built(
    shape: BertShape,
    tensor: Callable[[str], NDArray[np.float32]],
    precision: Precision,
    *,
    accelerator: Accelerator,
    pools_first_token: bool,
) -> Encode:
    """A session over a graph built here from weights."""
    graph = build_graph(shape, tensor, precision, signed_weights=precision == "fp32" or _multiplies_exactly())
    session = _open(graph.model, graph, accelerator)

    def encode(texts: Sequence[Sequence[int]]) -> Vectors:
        ids, mask = _padded(texts)
        share = _share(mask, pools_first_token=pools_first_token)
        return _run(session, {IDS: ids, MASK: mask, SHARE: share}, graph)

    return encode


def open_given(path: Path, *, accelerator: Accelerator, pools_first_token: bool) -> Encode:
    """A session over somebody's model.onnx: token states, pooled here, or rows that are pooled already."""
    session = _open(str(path), None, accelerator)
    names = {one.name for one in session.get_inputs()}
    known = {"input_ids", "attention_mask", "token_type_ids"}
    if "input_ids" not in names or names - known:
        raise ModelMissing(f"{path} takes {sorted(names)}; an embedding model takes input_ids and attention_mask")

    def encode(texts: Sequence[Sequence[int]]) -> Vectors:
        ids, mask = _padded(texts)
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        states = _run(session, {name: given[name].astype(np.int64) for name in names})
        if states.ndim == 3:
            share = _share(mask, pools_first_token=pools_first_token)
            states = np.einsum("ts,tsw->tw", share, states)
        return states

    return encode


def _open(model: bytes | str, graph: Graph | None, accelerator: Accelerator) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if graph is not None:
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in graph.weights.values()]
        options.add_external_initializers(list(graph.weights), values)
    missing = set(_PROVIDERS[accelerator]) - set(onnxruntime.get_available_providers())
    if missing:
        raise ModelMissing(f"this installation of ONNX Runtime lacks {', '.join(sorted(missing))}")
    try:
        return onnxruntime.InferenceSession(model, options, providers=_PROVIDERS[accelerator])
    except _FAILURES as error:
        where = model if isinstance(model, str) else "the graph built from the weights"
        raise ModelMissing(f"ONNX Runtime cannot load {where}: {type(error).__name__}") from error


def _run(
    session: onnxruntime.InferenceSession, inputs: dict[str, NDArray[np.generic]], keep: Graph | None = None
) -> Vectors:
    del keep  # an argument so that the weights, which the session only borrows, live as long as whoever runs it
    try:
        return np.asarray(session.run(None, inputs)[0], dtype=np.float32)
    except _FAILURES as error:
        raise EmbedderMisbehaved(f"ONNX Runtime failed while embedding: {type(error).__name__}") from error


def _padded(texts: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    ids = np.zeros((len(texts), max(len(text) for text in texts)), dtype=np.int32)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        ids[row, : len(text)] = text
        mask[row, : len(text)] = 1
    return ids, mask


def _share(mask: NDArray[np.int32], *, pools_first_token: bool) -> NDArray[np.float32]:
    if pools_first_token:
        share = np.zeros(mask.shape, dtype=np.float32)
        share[:, 0] = 1.0
        return share
    mean: NDArray[np.float32] = np.divide(mask, mask.sum(axis=1, keepdims=True), dtype=np.float32)
    return mean


def _multiplies_exactly() -> bool:
    """Whether this processor multiplies signed weights without overflow; those without VNNI add pairs in 16 bits."""
    writer = GraphWriter("probe")
    writer.input("row", Element.FLOAT, [1, 64])
    weights: dict[str, Array] = {
        "matrix": np.full((64, 16), 127, dtype=np.int8),
        "scale": np.ones(16, dtype=np.float32),
    }
    writer.external_weight("matrix", Element.INT8, [64, 16])
    writer.external_weight("scale", Element.FLOAT, [16])
    writer.node("DynamicQuantizeMatMul", ["row", "matrix", "scale"], ["product"], domain=CONTRIB_DOMAIN)
    writer.output("product", Element.FLOAT, [1, 16])
    graph = Graph(writer.serialise(), weights)
    # The row holds the largest 8-bit value throughout: two products of it pass 16 bits.
    product = _run(_open(graph.model, graph, "cpu"), {"row": np.ones((1, 64), dtype=np.float32)}, graph)
    return bool(np.allclose(product, 64 * 127, rtol=1e-3))
