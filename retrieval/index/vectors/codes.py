"""One segment's vectors as 4-bit codes: made, written to bytes, read from bytes.

Derived from the segment and one codebook; missing or outdated codes make a search slower, never wrong. Small
segments are one list in row order; large ones many lists around centres, of which a search visits the nearest.
Bytes carry a checksum, and every number FAISS would trust (sizes, row numbers) is checked before it sees them.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import xxhash

from retrieval.errors import IndexDamaged
from retrieval.index.vectors.codebook import Codebook
from retrieval.index.vectors.kernels import Encoder, Matrix, PackedLists, packed_bytes, train_centres

MAGIC: Final = b"CARRELC1"
LISTS_FROM: Final = 200_000  # rows of a segment; below, visiting every code costs less than choosing lists
MOST_LISTS: Final = 65_536
_TRAINED_PER_CENTRE: Final = 40  # rows
_HEADER: Final = struct.Struct("<8sQIIIII4x")  # magic, checksum of what follows it, codebook, rows, width, count, lists


@dataclass(frozen=True, slots=True, eq=False)
class SegmentCodes:
    codebook: int  # version
    rows: int
    subquantizers: int
    lists: PackedLists
    centres: Matrix | None  # one a list; None for a single list

    def as_bytes(self) -> bytes:
        """As `load_codes` reads them; docs/formats/index.md has the layout."""
        width = 0 if self.centres is None else self.centres.shape[1]
        numbers = struct.pack("<IIIII4x", self.codebook, self.rows, width, self.subquantizers, len(self.lists.sizes))
        parts = [numbers, self.lists.sizes.astype("<u4").tobytes()]
        if self.centres is not None and self.lists.rows is not None:
            parts += [self.lists.rows.astype("<u4").tobytes(), self.centres.astype("<f4").tobytes()]
        parts.append(self.lists.packed.tobytes())
        digest = xxhash.xxh3_64()
        for part in parts:
            digest.update(part)
        return b"".join([struct.pack("<8sQ", MAGIC, digest.intdigest()), *parts])


def lists_for(rows: int) -> int:
    """How many lists a segment's codes are split into: about the square root of its rows."""
    return 1 if rows < LISTS_FROM else min(2 ** round(np.log2(rows) / 2), MOST_LISTS)


def encode_segment(codebook: Codebook, vectors: Matrix, *, lists: int | None = None, seed: int = 1) -> SegmentCodes:
    """Code every row. `lists` is for measuring; by default the number of rows decides."""
    count = lists_for(len(vectors)) if lists is None else lists
    centres = None
    if count > 1:
        wanted = min(len(vectors), count * _TRAINED_PER_CENTRE)
        sample = np.sort(np.random.default_rng(seed).choice(len(vectors), wanted, replace=False))
        centres = train_centres(codebook.fits(vectors[sample]), count, seed)
    packed = Encoder(codebook.centroids, centres).encode(vectors)
    return SegmentCodes(codebook.version, len(vectors), codebook.subquantizers, packed, centres)


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
    if not 1 <= count <= MOST_LISTS or width != (0 if count == 1 else codebook.padded_width):
        raise IndexDamaged(f"codes: {count} lists around centres of width {width}")
    sizes_end = _HEADER.size + 4 * count
    rows_end = sizes_end + (4 * rows if width else 0)
    codes_start = rows_end + 4 * count * width
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
    centres = np.frombuffer(data, "<f4", count * width, rows_end).astype(np.float32).reshape(count, width)
    return SegmentCodes(version, rows, subquantizers, PackedLists(sizes, order, packed), centres)
