"""One segment's vectors as 4-bit codes: made, written to bytes, read from bytes.

Derived from the segment and one codebook; missing or outdated codes make a search slower, never wrong. Small
segments are one list in row order, under the store's centroids. Large ones are split into lists around centres of
their own, of which a search visits the nearest, and code only what differs from the centre. Bytes carry a
checksum, and every number FAISS would trust (sizes, row numbers) is checked before it sees them.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash
from numpy.typing import NDArray

from retrieval.errors import IndexDamaged
from retrieval.index.vectors.codebook import MOST_TRAINED, Codebook
from retrieval.index.vectors.kernels import (
    CENTROIDS,
    Encoder,
    Matrix,
    PackedLists,
    nearest,
    packed_bytes,
    train_centres,
    train_subquantizers,
)

MAGIC: Final = b"CARRELC1"
SPLIT_FROM: Final = 500_000  # rows of a segment; below, visiting every code takes about a millisecond
MOST_LISTS: Final = 65_536
_GATHERED: Final = 0.9
_TRAINED_PER_CENTRE: Final = 40  # rows
_ENCODED_AT_ONCE: Final = 16_384  # rows copied while encoding a mapped file
_HEADER: Final = struct.Struct("<8sQIIIII4x")  # magic, checksum of what follows it, codebook, rows, width, count, lists


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """How a large segment's codes are split: a centre a list, and centroids for what differs from it."""

    centres: Matrix
    centroids: Matrix


@dataclass(frozen=True, slots=True, eq=False)
class SegmentCodes:
    codebook: int  # version
    rows: int
    subquantizers: int
    lists: PackedLists
    split: Split | None

    def as_bytes(self) -> bytes:
        """As `load_codes` reads them; docs/formats/index.md has the layout."""
        width = 0 if self.split is None else self.split.centres.shape[1]
        count = len(self.lists.sizes)
        parts = [struct.pack("<IIIII4x", self.codebook, self.rows, width, self.subquantizers, count)]
        parts.append(self.lists.sizes.astype("<u4").tobytes())
        if self.split is not None and self.lists.rows is not None:
            parts.append(self.lists.rows.astype("<u4").tobytes())
            parts += [part.astype("<f4").tobytes() for part in (self.split.centres, self.split.centroids)]
        parts.append(self.lists.packed.tobytes())
        digest = xxhash.xxh3_64()
        for part in parts:
            digest.update(part)
        return b"".join([struct.pack("<8sQ", MAGIC, digest.intdigest()), *parts])


def lists_for(rows: int) -> int:
    """How many lists a segment's codes are split into: about the square root of its rows."""
    return 1 if rows < SPLIT_FROM else min(2 ** round(np.log2(rows) / 2), MOST_LISTS)


def encode_segment(codebook: Codebook, vectors: Matrix, *, lists: int | None = None, seed: int = 1) -> SegmentCodes:
    """Code every row. `lists` is for measuring; by default the rows decide by their number and how they gather."""
    count = min(lists_for(len(vectors)) if lists is None else lists, max(len(vectors), 1))
    split = _split(codebook, vectors, count, seed, forced=lists is not None) if count > 1 else None
    encoder = Encoder(
        codebook.centroids if split is None else split.centroids, None if split is None else split.centres
    )
    for start in range(0, len(vectors), _ENCODED_AT_ONCE):
        encoder.add(start, codebook.project(vectors[start : start + _ENCODED_AT_ONCE]))
    return SegmentCodes(codebook.version, len(vectors), codebook.subquantizers, encoder.finish(), split)


def load_codes(data: bytes | memoryview, codebook: Codebook) -> SegmentCodes:
    """Codes over `data`, not copied: it may be a mapped file, and must stay as it is while they are used."""
    if len(data) < _HEADER.size:
        raise IndexDamaged(f"codes: {len(data)} bytes are fewer than their header's {_HEADER.size}")
    magic, checksum, version, rows, width, subquantizers, count = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise IndexDamaged(f"codes: begin with {bytes(magic)!r}, not {MAGIC!r}")
    if xxhash.xxh3_64_intdigest(memoryview(data)[16:]) != checksum:
        raise IndexDamaged("codes: their checksum does not match their bytes")
    if version != codebook.version or subquantizers != codebook.subquantizers:
        raise IndexDamaged(f"codes: made with codebook {version}, read with {codebook.version}")
    if not 1 <= count <= MOST_LISTS or width != (0 if count == 1 else codebook.coded_width):
        raise IndexDamaged(f"codes: {count} lists around centres of width {width}")
    sizes_end = _HEADER.size + 4 * count
    rows_end = sizes_end + (4 * rows if width else 0)
    centres_end = rows_end + 4 * count * width
    codes_start = centres_end + 4 * CENTROIDS * width
    if len(data) < codes_start:
        raise IndexDamaged(f"codes: {len(data)} bytes are too few for {rows} rows in {count} lists")
    sizes = np.frombuffer(data, "<u4", count, _HEADER.size).astype(np.int64)
    if int(sizes.sum()) != rows or len(data) != codes_start + packed_bytes(sizes, subquantizers):
        raise IndexDamaged(f"codes: lists of {int(sizes.sum())} rows in {len(data)} bytes, {rows} rows expected")
    packed = np.frombuffer(data, np.uint8, offset=codes_start)
    if not width:
        return SegmentCodes(version, rows, subquantizers, PackedLists(sizes, None, packed), None)
    order = np.frombuffer(data, "<u4", rows, sizes_end).astype(np.uint32, copy=False)
    if (order >= rows).any() or (np.bincount(order, minlength=rows) != 1).any():
        raise IndexDamaged("codes: some row stands in no list or in two")
    centres = _floats(data, rows_end, (count, width))
    centroids = _floats(data, centres_end, (subquantizers, CENTROIDS, width // subquantizers))
    lists = PackedLists(sizes, order, packed)
    return SegmentCodes(version, rows, subquantizers, lists, Split(centres, centroids))


def _split(codebook: Codebook, vectors: Matrix, count: int, seed: int, *, forced: bool) -> Split | None:
    """Centres and centroids; None where rows gather around no centres, and visiting a few lists would miss most."""
    wanted = min(len(vectors), max(count * _TRAINED_PER_CENTRE, MOST_TRAINED))
    chosen = np.sort(np.random.default_rng(seed).choice(len(vectors), wanted, replace=False))
    sample = codebook.project(vectors[chosen])
    centres = train_centres(sample, count, seed)
    few = np.ascontiguousarray(sample[:: -(-len(sample) // MOST_TRAINED)])
    home = nearest(centres, few)
    if not forced and _gathered(few, home, centres) < _GATHERED:
        return None
    differing = np.resize(few - centres[home], (max(len(few), CENTROIDS), few.shape[1]))
    return Split(centres, train_subquantizers(np.ascontiguousarray(differing), codebook.subquantizers, seed))


def _gathered(sample: Matrix, home: NDArray[np.int64], centres: Matrix) -> float:
    """Of the nearest neighbours of some rows, the share that stands in the quarter of lists nearest to them."""
    asked = np.ascontiguousarray(sample[:: max(len(sample) // 200, 1)])
    likeness = asked @ sample.T
    neighbours = np.argpartition(-likeness, 11, axis=1)[:, :11]  # itself among them: one in eleven is certain
    places = np.argsort(np.argsort(-(asked @ centres.T), axis=1), axis=1)
    return float((np.take_along_axis(places, home[neighbours], axis=1) < len(centres) / 4).mean())


def _floats(data: bytes | memoryview, start: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    values = np.frombuffer(data, "<f4", int(np.prod(shape)), start).astype(np.float32)
    if not np.isfinite(values).all():
        raise IndexDamaged("codes: hold centres that are not finite")
    return values.reshape(shape)
