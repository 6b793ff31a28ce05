"""Engine: what a model must do by itself; duplicates, long texts, caching and checking are done around it.

An engine gives the same vector for the same text whatever company the text is in. What it yields may come in any
order and portion: each portion is paid for, and is kept even if a later one fails.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest.embedding.embedder import ModelSpec, Purpose, Vectors


@dataclass(frozen=True, slots=True)
class Portion:
    indices: Sequence[int]  # of the texts given
    vectors: Vectors  # one row for each index, not yet of length one
    tokens: Sequence[int]  # charged for each


class Engine(Protocol):
    @property
    def spec(self) -> ModelSpec: ...

    @property
    def identity(self) -> str:
        """Changes whenever the same text might get another vector: weights, precision, pooling, dimensions."""
        ...

    def windows(self, text: str) -> list[str]:
        """The text in pieces that the model can read whole."""
        ...

    def encode(self, texts: Sequence[str], purpose: Purpose) -> Iterator[Portion]: ...

    def close(self) -> None: ...
