"""Embedder: texts -> unit-length float32 rows. Model name and width are part of it.

Every adapter keeps the same promises: one row per text in the order given, each of length one, none of
them silently cut short; anything else is an error of the `MachineError` branch.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Purpose = Literal["document", "query"]


@dataclass(frozen=True, slots=True)
class ModelSpec:
    name: str
    width: int  # of the rows returned
    window_tokens: int  # what the model reads at once; longer texts are embedded window by window and pooled
    dollars_per_million_tokens: float = 0.0
    shortens: bool = False  # trained so that the first dimensions alone, made one long again, still mean the text


@dataclass(frozen=True, slots=True)
class Embedded:
    vectors: Vectors  # C-ordered, shape (number of texts, spec.width)
    tokens: int  # what the model charges for: tokens of all texts, also of those found in the cache
    new_tokens: tuple[int, ...]  # for each text, those that the model had to read now; 0: its vector was known


class Embedder(Protocol):
    @property
    def spec(self) -> ModelSpec: ...

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embedded: ...

    def close(self) -> None: ...
