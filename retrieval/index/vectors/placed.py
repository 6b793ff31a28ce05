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
    lists: CodeLists | None
    codes: SegmentCodes | None  # only where a search chooses some of its lists

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
    if codes is None and codebook is not None and len(vectors) < SMALL_ROWS:
        codes = encode_segment(codebook, vectors)
    if codes is None or codebook is None:
        return Placed(segment, held, first_id, None, None)
    lists = CodeLists(codes.lists, codebook.subquantizers, first_id)
    return Placed(segment, held, first_id, lists, codes if codes.split is not None else None)


def pools_of(placed: Sequence[Placed]) -> tuple[tuple[Pool, ...], tuple[Place, ...]]:
    """Ascending by id: a pool of its own for each large segment, one for all small ones together."""
    pools: dict[int, Pool] = {}
    for one in placed:
        held, segment = one.held, one.segment
        if isinstance(held, SmallRows):
            end = one.first_id - held.ids.start + len(segment.vectors)
            if held.ids.start in pools:
                end = max(end, len(pools[held.ids.start].matrix))
            pools[held.ids.start] = Pool(held.rows(end), held.ids.start, None, one.lists is not None)
        else:
            pools[one.first_id] = Pool(segment.vectors, one.first_id, segment.check, one.lists is not None)
    starts = sorted(pools)
    number = {start: position for position, start in enumerate(starts)}
    places = []
    for one in placed:
        start = one.held.ids.start if isinstance(one.held, SmallRows) else one.first_id
        places.append(Place(number[start], one.first_id - start, len(one.segment.vectors)))
    return tuple(pools[start] for start in starts), tuple(places)
