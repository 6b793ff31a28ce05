"""Segments in place: ids for their rows, the copy of the small ones, their codes in memory.

What is placed never changes and is shared by every later side that holds the same segment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from retrieval.index.vectors.codebook import Codebook
from retrieval.index.vectors.codes import SegmentCodes, encode_segment
from retrieval.index.vectors.kernels import CodeLists, Matrix
from retrieval.index.vectors.placing import IdRange, IdSpace, SmallRows
from retrieval.index.vectors.selection import CheckRows, Place, Pool
from retrieval.index.vectors.spreads import Spreads

SMALL_ROWS: Final = 4_000  # below, a segment is copied beside the other small ones


@dataclass(frozen=True, slots=True, eq=False)
class SegmentVectors:
    """One segment as the side needs it. Hand over the same object again to have what was made of it shared."""

    vectors: Matrix  # mapped or in memory; C-ordered float32, never written again
    codes: SegmentCodes | None = None
    check: CheckRows | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    segment: SegmentVectors
    held: IdRange | SmallRows  # keeps the ids, and the copy if there is one
    first_id: int
    coded: bool
    lists: CodeLists | None  # of a large segment; those of small ones are bundled
    spreads: Spreads | None = None  # of a split one

    @property
    def small(self) -> bool:
        return isinstance(self.held, SmallRows)


def is_small(segment: SegmentVectors) -> bool:
    """Split codes are searched by themselves, so their rows must be a pool by themselves."""
    split = segment.codes is not None and segment.codes.split is not None
    return 0 < len(segment.vectors) < SMALL_ROWS and not split


def place(
    segment: SegmentVectors, width: int, codebook: Codebook | None, ids: IdSpace, small: SmallRows | None
) -> Placed:
    """Give a segment its ids, copy it if it is small, and load or make its codes."""
    vectors, codes = segment.vectors, segment.codes
    if vectors.ndim != 2 or vectors.shape[1] != width or vectors.dtype != np.float32:
        raise ValueError(f"vectors of {vectors.shape} {vectors.dtype} in a store of width {width}")
    if codes is not None and (codebook is None or codes.codebook != codebook.version):
        raise ValueError(f"codes of codebook {codes.codebook} in a side with another")
    if codes is not None and codes.rows != len(vectors):
        raise ValueError(f"codes of {codes.rows} rows for {len(vectors)} vectors")
    held: IdRange | SmallRows | None = None
    if small is not None and is_small(segment):
        if segment.check is not None:
            segment.check(slice(0, len(vectors)))
        offset = small.add(vectors)
        if offset is not None:
            held, first_id = small, small.ids.start + offset
    if held is None:
        held = ids.take(len(vectors))
        first_id = held.start
    if codebook is None or held is small:
        return Placed(segment, held, first_id, codebook is not None, None)
    if codes is None and len(vectors) < SMALL_ROWS:
        codes = encode_segment(codebook, vectors)
    lists = None if codes is None else CodeLists(codes.lists, codebook.subquantizers, first_id)
    split = None if codes is None else codes.split
    spreads = None if codes is None or split is None else Spreads.of(codes.lists, split.centroids)
    return Placed(segment, held, first_id, lists is not None, lists, spreads)


def pools_of(placed: Sequence[Placed]) -> tuple[tuple[Pool, ...], tuple[Place, ...]]:
    """Ascending by id: a pool of its own for each large segment, one for all small ones together."""
    pools = {
        one.first_id: Pool(one.segment.vectors, one.first_id, one.segment.check, one.coded)
        for one in placed
        if not one.small
    }
    last = max((one for one in placed if one.small), key=lambda one: one.first_id, default=None)
    if last is not None and isinstance(last.held, SmallRows):
        start = last.held.ids.start
        pools[start] = Pool(last.held.rows(last.first_id - start + len(last.segment.vectors)), start, None, last.coded)
    starts = sorted(pools)
    number = {start: position for position, start in enumerate(starts)}
    places = []
    for one in placed:
        start = one.held.ids.start if isinstance(one.held, SmallRows) else one.first_id
        places.append(Place(number[start], one.first_id - start, len(one.segment.vectors)))
    return tuple(pools[start] for start in starts), tuple(places)
