"""Which rows a search may return, worked out once and used by every query under the same filter.

A selection belongs to the side that made it and never changes; keep it beside the filter and generation it came
from. Few rows are listed one by one, many are a bitmap over ids, all of them are nothing at all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from retrieval.index.vectors.kernels import Matrix, RowFilter, Rows

Mask: TypeAlias = NDArray[np.bool_]

FEW_BYTES: Final = 8 * 2**20  # of vectors: read one by one they cost less than visiting every code
DENSE: Final = 0.3  # of a pool: beyond, scanning past the unwanted rows costs less than naming the wanted ones


class CheckRows(Protocol):
    """Called with the rows about to be read; raises if their bytes are not what was written."""

    def __call__(self, rows: Rows | slice, /) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """One piece of memory that can be scanned in one go, and the id of its first row."""

    matrix: Matrix
    first_id: int
    check: CheckRows | None
    coded: bool


@dataclass(frozen=True, slots=True)
class Place:
    """Where one segment stands: `rows` rows of a pool from `offset` on."""

    pool: int
    offset: int
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    count: int  # rows selected
    masks: tuple[Mask | None, ...]  # by segment, as given; None for all
    by_segment: tuple[int, ...]  # rows selected in each segment
    by_pool: tuple[int, ...]  # rows selected in each pool
    named: tuple[Rows | None, ...]  # by pool: the selected rows, where there are few enough to name them
    filters: tuple[RowFilter | None, ...]  # by pool, for a scan; None for all of its rows
    ids: RowFilter | None  # over all pools, for a search of codes; None for all rows
    by_group: tuple[int, ...]  # rows selected in each group of codes
    in_lists: tuple[Rows | None, ...]  # by group of codes: selected rows of each list, where lists are chosen
    few: bool  # whether to score the selected rows and look at no codes


def select(
    pools: Sequence[Pool], places: Sequence[Place], masks: Sequence[Mask | None], *, few_rows: int | None
) -> Selection:
    """`few_rows`: up to so many selected rows are scored one by one, whatever their bytes."""
    if len(masks) != len(places):
        raise ValueError(f"{len(masks)} masks for {len(places)} segments")
    for place, mask in zip(places, masks, strict=True):
        if mask is not None and (mask.dtype != np.bool_ or mask.shape != (place.rows,)):
            raise ValueError(f"a mask of {mask.shape} {mask.dtype} for a segment of {place.rows} rows")
    by_segment = tuple(
        place.rows if mask is None else int(np.count_nonzero(mask)) for place, mask in zip(places, masks, strict=True)
    )
    masks = tuple(
        None if count == place.rows else mask for count, place, mask in zip(by_segment, places, masks, strict=True)
    )
    whole = [_mask_of(number, pool, places, masks) for number, pool in enumerate(pools)]
    by_pool = [0] * len(pools)
    for place, wanted in zip(places, by_segment, strict=True):
        by_pool[place.pool] += wanted
    count = sum(by_segment)
    width = pools[0].matrix.shape[1] if pools else 1
    few = few_rows is not None and (count <= few_rows or count * 4 * width <= FEW_BYTES)
    named = tuple(
        np.flatnonzero(mask) if mask is not None and (few or wanted < DENSE * len(mask)) and wanted else None
        for mask, wanted in zip(whole, by_pool, strict=True)
    )
    filters = tuple(
        RowFilter(np.packbits(mask, bitorder="little")) if mask is not None and rows is None and wanted else None
        for mask, rows, wanted in zip(whole, named, by_pool, strict=True)
    )
    ids = None if few or all(mask is None for mask in masks) else RowFilter(_bits(pools, whole))
    return Selection(count, masks, by_segment, tuple(by_pool), named, filters, ids, (), (), few)


def _mask_of(number: int, pool: Pool, places: Sequence[Place], masks: Sequence[Mask | None]) -> Mask | None:
    """One pool's mask: rows of no segment are out."""
    inside = [(place, mask) for place, mask in zip(places, masks, strict=True) if place.pool == number]
    if len(inside) == 1 and inside[0][0].rows == len(pool.matrix):
        return inside[0][1]
    joined = np.zeros(len(pool.matrix), np.bool_)
    for place, mask in inside:
        joined[place.offset : place.offset + place.rows] = True if mask is None else mask
    return joined


def _bits(pools: Sequence[Pool], masks: Sequence[Mask | None]) -> NDArray[np.uint8]:
    """One bitmap over the ids of all pools; pools begin on whole bytes of it."""
    end = max(pool.first_id + len(pool.matrix) for pool in pools)
    bits = np.zeros((end + 7) // 8, np.uint8)
    for pool, mask in zip(pools, masks, strict=True):
        packed = np.packbits(np.ones(len(pool.matrix), np.bool_) if mask is None else mask, bitorder="little")
        start = pool.first_id // 8
        bits[start : start + len(packed)] = packed
    return bits
