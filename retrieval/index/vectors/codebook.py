"""What all coded segments of a store share: a turn of the space, and 16 centroids for each small group of dimensions.

A codebook never changes; a new one has a new version, and codes belong to exactly one version. Its bytes carry
a checksum and are looked at before FAISS sees them: damaged bytes raise IndexDamaged, never more.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash

from retrieval.errors import IndexDamaged
from retrieval.index.vectors.kernels import CENTROIDS, Matrix, score_rows, train_subquantizers
from retrieval.index.vectors.rotation import turn_for

MAGIC: Final = b"CARRELB1"
WIDE: Final = 512  # dimensions beyond which a sub-quantiser covers eight instead of four
MOST_TRAINED: Final = 20_000  # rows; more moved recall by less than its noise
MOST_WIDTH: Final = 16_384
_HEADER: Final = struct.Struct(
    "<8sQIIIII4x"
)  # magic, checksum of what follows it, version, width, count, share, turned


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    version: int
    width: int  # of the store's vectors; coded ones may be a little wider
    centroids: Matrix  # (sub-quantisers, 16, dimensions of each)
    turn: Matrix | None  # (coded width, width); None: coded as they are

    @property
    def subquantizers(self) -> int:
        return int(self.centroids.shape[0])

    @property
    def coded_width(self) -> int:
        return int(self.centroids.shape[0] * self.centroids.shape[2])

    def project(self, vectors: Matrix) -> Matrix:
        """Vectors of the store as they are coded."""
        if self.turn is not None:
            return np.ascontiguousarray(vectors @ self.turn.T)
        return _padded(vectors, self.coded_width)

    def project_query(self, query: Matrix) -> Matrix:
        """One query likewise, without the matrix library and its threads."""
        if self.turn is not None:
            return score_rows(self.turn, query, np.arange(len(self.turn)))
        return _padded(query, self.coded_width)

    def as_bytes(self) -> bytes:
        count, _, share = self.centroids.shape
        body = struct.pack("<IIIII4x", self.version, self.width, count, share, self.turn is not None)
        body += self.centroids.astype("<f4").tobytes()
        body += b"" if self.turn is None else self.turn.astype("<f4").tobytes()
        return struct.pack("<8sQ", MAGIC, xxhash.xxh3_64_intdigest(body)) + body


def train_codebook(sample: Matrix, *, version: int, seed: int = 1, finer: bool = False) -> Codebook:
    """Learn from rows of the store. `finer` spends twice the bytes a row, for data that the usual number fails."""
    if not len(sample):
        raise ValueError("a codebook cannot be trained on no rows")
    width = sample.shape[1]
    share = (4 if width <= WIDE else 8) // (2 if finer else 1)
    count = (width + share - 1) // share
    if len(sample) > MOST_TRAINED:
        sample = sample[np.sort(np.random.default_rng(seed).choice(len(sample), MOST_TRAINED, replace=False))]
    if len(sample) < CENTROIDS:
        sample = np.resize(sample, (CENTROIDS, width))
    turn = turn_for(sample, count, share, seed)
    coded = _padded(sample, count * share) if turn is None else np.ascontiguousarray(sample @ turn.T)
    return Codebook(version, width, train_subquantizers(coded, count, seed), turn)


def load_codebook(data: bytes | memoryview) -> Codebook:
    if len(data) < _HEADER.size:
        raise IndexDamaged(f"codebook: {len(data)} bytes are fewer than its header's {_HEADER.size}")
    magic, checksum, version, width, count, share, turned = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise IndexDamaged(f"codebook: begins with {bytes(magic)!r}, not {MAGIC!r}")
    if xxhash.xxh3_64_intdigest(memoryview(data)[16:]) != checksum:
        raise IndexDamaged("codebook: its checksum does not match its bytes")
    numbers = count * share * (CENTROIDS + (width if turned else 0))
    if len(data) != _HEADER.size + 4 * numbers or not 1 <= width <= count * share <= MOST_WIDTH:
        raise IndexDamaged(f"codebook: {len(data)} bytes do not hold {count} sub-quantisers of {share} dimensions")
    values = np.frombuffer(data, "<f4", offset=_HEADER.size).astype(np.float32)
    if not np.isfinite(values).all():
        raise IndexDamaged("codebook: holds numbers that are not finite")
    centroids, turn = np.split(values, [count * share * CENTROIDS])
    return Codebook(
        version,
        width,
        centroids.reshape(count, CENTROIDS, share),
        np.ascontiguousarray(turn.reshape(count * share, width)) if turned else None,
    )


def _padded(vectors: Matrix, width: int) -> Matrix:
    """The same, widened with zeros; in memory of their own only if they were narrower."""
    if vectors.shape[-1] == width:
        return np.ascontiguousarray(vectors)
    wide = np.zeros((*vectors.shape[:-1], width), np.float32)
    wide[..., : vectors.shape[-1]] = vectors
    return wide
