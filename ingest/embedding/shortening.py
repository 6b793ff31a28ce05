"""Fewer dimensions from models that were trained for it: the first ones, made one long again."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ingest.embedding.embedder import Embedded, Embedder, ModelSpec, Purpose, Vectors


class ShortenedEmbedder:
    """Owns the embedder it shortens: closing one closes both."""

    def __init__(self, embedder: Embedder, dimensions: int) -> None:
        spec = embedder.spec
        if not spec.shortens:
            raise ValueError(f"the embedding model {spec.name} was not trained to be shortened from {spec.width}")
        if not 1 <= dimensions <= spec.width:
            raise ValueError(f"the embedding model {spec.name} has {spec.width} dimensions, not {dimensions}")
        self._embedder = embedder
        self._spec = replace(spec, width=dimensions)

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embedded:
        whole = self._embedder.embed(texts, purpose=purpose)
        return Embedded(shortened(whole.vectors, self._spec.width), whole.tokens, whole.new_tokens)

    def close(self) -> None:
        self._embedder.close()


def shortened(vectors: Vectors, dimensions: int) -> Vectors:
    """The first `dimensions` of each row, one long; a row that has nothing there points along the first axis."""
    cut = np.array(vectors[:, :dimensions], dtype=np.float32, order="C")
    lengths = np.sqrt(np.einsum("ij,ij->i", cut, cut, dtype=np.float64))
    empty = lengths < 1e-12
    cut[empty] = 0.0
    cut[empty, 0] = 1.0
    lengths[empty] = 1.0
    cut /= lengths[:, None].astype(np.float32)
    return cut
