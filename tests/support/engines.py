"""An engine without a model: vectors that tell texts apart, and a record of what it was asked."""

from collections.abc import Iterator, Sequence
from hashlib import blake2b

import numpy as np

from ingest.embedding.embedder import ModelSpec, Purpose, Vectors
from ingest.embedding.engine import Portion


class CountingEngine:
    """Reads `window` words at once; yields portions of `portion` texts, last text first."""

    def __init__(self, *, width: int = 8, window: int = 4, portion: int = 3, identity: str = "counting") -> None:
        self._spec = ModelSpec(name="counting", width=width, window_tokens=window)
        self._portion = portion
        self._identity = identity
        self.seen: list[str] = []
        self.fail_after: int | None = None  # portions
        self.closed = False

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def identity(self) -> str:
        return self._identity

    def windows(self, text: str) -> list[str]:
        words = text.split(" ")
        most = self._spec.window_tokens
        return [" ".join(words[start : start + most]) for start in range(0, len(words), most)]

    def encode(self, texts: Sequence[str], purpose: Purpose) -> Iterator[Portion]:
        indices = list(range(len(texts)))[::-1]
        for number, start in enumerate(range(0, len(indices), self._portion)):
            if self.fail_after is not None and number >= self.fail_after:
                raise ConnectionError("the engine was told to fail")
            some = indices[start : start + self._portion]
            self.seen += [texts[index] for index in some]
            rows = np.stack([self.vector(texts[index]) for index in some])
            yield Portion(some, rows, [len(texts[index].split(" ")) for index in some])

    def close(self) -> None:
        self.closed = True

    def vector(self, text: str) -> Vectors:
        seed = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
        return np.random.default_rng(seed).normal(size=self._spec.width).astype(np.float32) * 3
