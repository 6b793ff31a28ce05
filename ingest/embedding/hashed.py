"""A model-free embedder: words, word beginnings and word pairs hashed into a vector of any width.

Deterministic on every machine and in every version: texts that share words point the same way, and nothing
is learned, loaded or fetched. For tests, first runs and bulk benchmarks; it finds words, not meanings.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from ingest.embedding.embedder import Embedded, ModelSpec, Purpose, Vectors

Hashes = NDArray[np.uint64]
Positions = NDArray[np.int64]

_PRIME = np.uint64(0x100000001B3)  # odd, so that it has an inverse modulo 2**64
_INVERSE = np.uint64(pow(0x100000001B3, -1, 1 << 64))
_STEM_BYTES = 5
_GRAM_BYTES = 6  # two characters of the scripts that put no space between words
_GRAM_WEIGHT = np.float32(0.7)
_CELLS_AT_ONCE = 1 << 22
_BYTES_AT_ONCE = 1 << 20


class HashedEmbedder:
    def __init__(
        self, *, width: int = 384, name: str = "hashed", window_tokens: int = 1 << 20, dollars: float = 0.0
    ) -> None:
        """`dollars`: a price for a million tokens, for whoever tries out what an installation would cost."""
        if width < 1:
            raise ValueError(f"a vector has at least one dimension, not {width}")
        self._spec = ModelSpec(
            name=name, width=width, window_tokens=window_tokens, dollars_per_million_tokens=dollars, shortens=True
        )

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embedded:  # noqa: ARG002 - one space for both
        vectors = np.empty((len(texts), self._spec.width), dtype=np.float32)
        counts: list[int] = []
        for start, raw in _portions(texts, self._spec.width):
            features = _features(raw)
            counts += np.bincount(features.rows[: features.words], minlength=len(raw)).tolist()
            rows = vectors[start : start + len(raw)]
            rows[:] = _project(features, len(raw), self._spec.width)
            _give_direction(rows, raw)
        return Embedded(vectors, sum(counts), tuple(counts))

    def close(self) -> None:
        """Nothing is held."""


def _portions(texts: Sequence[str], width: int) -> Iterator[tuple[int, list[bytes]]]:
    """Texts as lower-case bytes, in portions that keep the working arrays within some ten megabytes."""
    most = max(1, _CELLS_AT_ONCE // width)
    start, size, portion = 0, 0, list[bytes]()
    for index, text in enumerate(texts):
        raw = text.lower().encode("utf-8", "surrogatepass")
        if portion and (len(portion) == most or size + len(raw) > _BYTES_AT_ONCE):
            yield start, portion
            start, size, portion = index, 0, []
        portion.append(raw)
        size += len(raw)
    if portion:
        yield start, portion


@dataclass(frozen=True, slots=True)
class _Features:
    rows: Positions  # which text of the portion
    hashes: Hashes
    weights: NDArray[np.float32]
    words: int


def _features(raw: Sequence[bytes]) -> _Features:
    source = np.frombuffer(b" ".join(raw) + b" ", dtype=np.uint8)
    edges = np.cumsum([len(one) + 1 for one in raw])
    inside = _WORD_BYTE[source]
    change = np.diff(inside, prepend=np.int8(0))
    starts, ends = np.flatnonzero(change == 1), np.flatnonzero(change == -1)
    rows = np.searchsorted(edges, starts, side="right")
    rolling = _Rolling(source)
    words = rolling.hashes(starts, ends)
    # Long words say more than short ones; this stands in for the document frequencies that nobody counted.
    weight = np.log1p(ends - starts).astype(np.float32)
    weight[source[starts] >= 0xE0] = _GRAM_WEIGHT  # a run of a script without spaces is no word
    stemmed = ends - starts > 3
    stem_ends = np.minimum(starts + _STEM_BYTES, ends - 1)[stemmed]  # "cats" also counts as "cat"
    stems = rolling.hashes(starts[stemmed], stem_ends)
    neighbours = rows[1:] == rows[:-1]
    pairs = (words[:-1] * np.uint64(3) + words[1:])[neighbours]
    pair_weight = (weight[:-1] + weight[1:])[neighbours] * np.float32(0.25)
    gram_starts = np.flatnonzero(source >= 0xE0)
    word_of_gram = np.searchsorted(ends, gram_starts, side="right")
    gram_starts = gram_starts[ends[word_of_gram] - gram_starts >= _GRAM_BYTES]  # never into the next word or text
    grams = rolling.hashes(gram_starts, gram_starts + _GRAM_BYTES)
    return _Features(
        rows=np.concatenate(
            [rows, rows[stemmed], rows[:-1][neighbours], np.searchsorted(edges, gram_starts, side="right")]
        ),
        hashes=_scrambled(np.concatenate([words, stems, pairs, ~grams])),
        weights=np.concatenate(
            [weight, weight[stemmed] * np.float32(0.6), pair_weight, np.full(len(grams), _GRAM_WEIGHT, np.float32)]
        ),
        words=len(words),
    )


class _Rolling:
    """Polynomial hashes of any stretch of the bytes, from one running sum of byte * prime**position."""

    def __init__(self, source: NDArray[np.uint8]) -> None:
        powers = np.full(len(source), _PRIME, dtype=np.uint64)
        powers[0] = 1
        np.cumprod(powers, out=powers)
        self._sums = np.zeros(len(source) + 1, dtype=np.uint64)
        np.cumsum((source.astype(np.uint64) + np.uint64(1)) * powers, out=self._sums[1:])
        inverses = np.full(len(source), _INVERSE, dtype=np.uint64)
        inverses[0] = 1
        self._inverses = np.cumprod(inverses)

    def hashes(self, starts: Positions, ends: Positions) -> Hashes:
        return (self._sums[ends] - self._sums[starts]) * self._inverses[starts]


def _project(features: _Features, count: int, width: int) -> Vectors:
    """Each feature adds its weight, with a sign of its own, to one dimension of its text's row."""
    columns = ((features.hashes >> np.uint64(32)) * np.uint64(width) >> np.uint64(32)).astype(np.int64)
    signed = np.where(features.hashes & np.uint64(1), features.weights, -features.weights)
    cells = np.bincount(features.rows * width + columns, weights=signed, minlength=count * width)
    return cells.astype(np.float32).reshape(count, width)


def _give_direction(rows: Vectors, raw: Sequence[bytes]) -> None:
    """Make each row one long; a text without words, or whose features cancel out, points where its bytes say."""
    lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows, dtype=np.float64))
    for row in np.flatnonzero(lengths < 1e-6):
        at = int.from_bytes(blake2b(raw[int(row)], digest_size=8).digest(), "big")
        rows[row] = 0.0
        rows[row, at % rows.shape[1]] = 1.0
        lengths[row] = 1.0
    rows /= lengths[:, None].astype(np.float32)


def _scrambled(hashes: Hashes) -> Hashes:
    """Spread hashes over all 64 bits (splitmix64's finish): sign and dimension come from different ends."""
    hashes = (hashes ^ (hashes >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashes = (hashes ^ (hashes >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


_WORD_BYTE = np.array(
    [1 if chr(code).isalnum() or chr(code) == "_" or code >= 0x80 else 0 for code in range(256)], dtype=np.int8
)
