"""What all coded segments of a store share: 16 centroids for each small group of dimensions.

A codebook never changes; a new one has a new version, and codes belong to exactly one version. Its bytes carry
a checksum and are looked at before FAISS sees them: damaged bytes raise IndexDamaged, never more.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash

from retrieval.errors import IndexDamaged
from retrieval.index.vectors.kernels import CENTROIDS, Matrix, padded, train_subquantizers

MAGIC: Final = b"CARRELB1"
WIDE: Final = 512  # dimensions beyond which a sub-quantiser covers eight instead of four
MOST_TRAINED: Final = 20_000  # rows; more moved recall by less than its noise
MOST_WIDTH: Final = 16_384
_HEADER: Final = struct.Struct("<8sQIIII")  # magic, checksum of what follows it, version, width, count, share


@dataclass(frozen=True, slots=True, eq=False)
class Codebook:
    version: int
    width: int  # of the store's vectors; the codebook may be a little wider
    centroids: Matrix  # (sub-quantisers, 16, dimensions of each)

    @property
    def subquantizers(self) -> int:
        return int(self.centroids.shape[0])

    @property
    def padded_width(self) -> int:
        return int(self.centroids.shape[0] * self.centroids.shape[2])

    def fits(self, query: Matrix) -> Matrix:
        """A vector of the store's width, as wide as the codebook."""
        return padded(query, self.padded_width)

    def as_bytes(self) -> bytes:
        count, _, share = self.centroids.shape
        body = struct.pack("<IIII", self.version, self.width, count, share) + self.centroids.astype("<f4").tobytes()
        return struct.pack("<8sQ", MAGIC, xxhash.xxh3_64_intdigest(body)) + body


def train_codebook(sample: Matrix, *, version: int, seed: int = 1, finer: bool = False) -> Codebook:
    """Learn from rows of the store. `finer` spends twice the bytes a row, for data that the usual number fails."""
    if not len(sample):
        raise ValueError("a codebook cannot be trained on no rows")
    width = sample.shape[1]
    share = 4 if width <= WIDE else 8
    if finer:
        share //= 2
    count = (width + share - 1) // share
    if len(sample) > MOST_TRAINED:
        sample = sample[np.sort(np.random.default_rng(seed).choice(len(sample), MOST_TRAINED, replace=False))]
    if len(sample) < CENTROIDS:
        sample = np.resize(sample, (CENTROIDS, width))
    return Codebook(version, width, train_subquantizers(padded(sample, count * share), count, seed))


def load_codebook(data: bytes | memoryview) -> Codebook:
    if len(data) < _HEADER.size:
        raise IndexDamaged(f"codebook: {len(data)} bytes are fewer than its header's {_HEADER.size}")
    magic, checksum, version, width, count, share = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise IndexDamaged(f"codebook: begins with {bytes(magic)!r}, not {MAGIC!r}")
    if xxhash.xxh3_64_intdigest(memoryview(data)[16:]) != checksum:
        raise IndexDamaged("codebook: its checksum does not match its bytes")
    if len(data) != _HEADER.size + 4 * count * CENTROIDS * share or not width <= count * share <= MOST_WIDTH:
        raise IndexDamaged(f"codebook: {len(data)} bytes do not hold {count} sub-quantisers of {share} dimensions")
    centroids = np.frombuffer(data, "<f4", offset=_HEADER.size).astype(np.float32)
    if not np.isfinite(centroids).all():
        raise IndexDamaged("codebook: holds numbers that are not finite")
    return Codebook(version, width, centroids.reshape(count, CENTROIDS, share))
