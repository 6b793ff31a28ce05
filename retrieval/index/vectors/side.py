"""The vector half of a snapshot: segments side by side, searched as one.

A side never changes; the next one shares everything but the segments that are new. Small segments are copied
end to end and coded on arrival, so that hundreds of them cost a search no more than one. Every score returned is
the exact inner product with the stored vector: codes only choose which rows are scored. Hits are ordered by
score, then segment, then row. A row outside the selection is never returned.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from retrieval.index.vectors.codebook import Codebook
from retrieval.index.vectors.codes import SegmentCodes, encode_segment
from retrieval.index.vectors.kernels import CodeLists, Matrix, Rows, best_rows, score_rows
from retrieval.index.vectors.placing import IdRange, IdSpace, SmallRows
from retrieval.index.vectors.probing import Coded, Group, groups_of
from retrieval.index.vectors.selection import CheckRows, Mask, Place, Pool, Selection, select

SMALL_ROWS: Final = 4_000  # below, a segment is copied beside the other small ones
SMALL_BYTES: Final = 32 * 2**20  # of such copies in one store; what does not fit is read where it lies
ROOM_FOR_K: Final = 4  # candidates for each hit wanted, if that is more than the effort asks for
FEW_ROWS: Final = 20_000  # of a store with split segments: scored one by one, since lists far away hold them too


@dataclass(frozen=True, slots=True)
class Effort:
    """What a search spends so that its recall holds; measured by `calibrate`."""

    candidates: int = 1_000  # rows scored exactly; 0: codes do not serve this store, scan every vector
    probes: int = 1_000  # of 1,000 lists of a large segment, how many are visited
    recall: float = 0.0  # at ten against the exact scan, as measured; 0 before that


@dataclass(frozen=True, slots=True, eq=False)
class SegmentVectors:
    """One segment as the side needs it. Hand over the same object again to have what was made of it shared."""

    vectors: Matrix  # mapped or in memory; C-ordered float32, never written again
    codes: SegmentCodes | None = None
    check: CheckRows | None = None


@dataclass(frozen=True, slots=True, eq=False)
class VectorHits:
    segments: Rows
    rows: Rows
    scores: Matrix

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    segment: SegmentVectors
    held: IdRange | SmallRows  # keeps the ids, and the copy if there is one
    first_id: int
    lists: CodeLists | None
    codes: SegmentCodes | None  # only where a search chooses some of its lists

    @property
    def small(self) -> bool:
        return isinstance(self.held, SmallRows)


class VectorSide:
    """Make one with `VectorSide.empty(...).with_segments(...)`, and each next one from the last."""

    def __init__(
        self, width: int, codebook: Codebook | None, effort: Effort, ids: IdSpace, placed: tuple[_Placed, ...]
    ) -> None:
        self.width = width
        self.codebook = codebook
        self.effort = effort
        self._ids = ids
        self._placed = placed
        self._pools, self._places = _pools_of(placed)
        self._starts = np.array([pool.first_id for pool in self._pools], np.int64)
        by_id = sorted(range(len(placed)), key=lambda number: placed[number].first_id)
        self._by_id = np.array(by_id, np.int64)
        self._first_ids = np.array([placed[number].first_id for number in by_id], np.int64)
        coded = [
            Coded(number, len(one.segment.vectors), one.lists, one.codes)
            for number, one in enumerate(placed)
            if one.lists is not None
        ]
        self._groups: tuple[Group, ...] = () if codebook is None else groups_of(codebook, coded)
        self.everything = self.select([None] * len(placed))

    @classmethod
    def empty(cls, width: int, codebook: Codebook | None = None, effort: Effort | None = None) -> Self:
        if codebook is not None and codebook.width != width:
            raise ValueError(f"a codebook of width {codebook.width} for vectors of width {width}")
        return cls(width, codebook, effort or Effort(), IdSpace(), ())

    def with_segments(self, segments: Sequence[SegmentVectors]) -> Self:
        """The side of exactly these segments. What this side holds of them is shared, not made again."""
        if len({id(one) for one in segments}) < len(segments):
            raise ValueError("a segment stands twice among the segments of a side")
        known = {id(one.segment): one for one in self._placed}
        small = next((one.held for one in self._placed if isinstance(one.held, SmallRows)), None)
        if small is not None:
            kept = sum(len(one.vectors) for one in segments if id(one) in known and known[id(one)].small)
            coming = sum(len(one.vectors) for one in segments if id(one) not in known and _is_small(one))
            if not small.has_room(coming) and kept + coming <= small.capacity // 2:
                known = {key: one for key, one in known.items() if not one.small}  # mostly rows of segments long gone
                small = None
        placed = []
        for segment in segments:
            one = known.get(id(segment))
            if one is None:
                if small is None and _is_small(segment):
                    small = SmallRows(self.width, SMALL_BYTES, self._ids)
                one = self._place(segment, small)
            placed.append(one)
        return type(self)(self.width, self.codebook, self.effort, self._ids, tuple(placed))

    def with_effort(self, effort: Effort) -> Self:
        return type(self)(self.width, self.codebook, effort, self._ids, self._placed)

    @property
    def segments(self) -> tuple[SegmentVectors, ...]:
        return tuple(one.segment for one in self._placed)

    @property
    def coded_rows(self) -> int:
        return sum(len(one.segment.vectors) for one in self._placed if one.lists is not None)

    @property
    def is_split(self) -> bool:
        """Whether searches choose among lists of some segment."""
        return any(group.split is not None for group in self._groups)

    def select(self, masks: Sequence[Mask | None]) -> Selection:
        """Work out one filter: a mask for each segment in order, None for all of its rows. Masks must not change."""
        few_rows = max(2 * self.effort.candidates, FEW_ROWS if self.is_split else 0)
        chosen = select(self._pools, self._places, masks, few_rows=few_rows)
        if chosen.few:
            return chosen
        return replace(chosen, in_lists=tuple(group.selected_in_lists(chosen.masks) for group in self._groups))

    def search(self, query: Matrix, k: int, selection: Selection | None = None, *, exact: bool = False) -> VectorHits:
        """The best `k` selected rows; all of them if there are fewer."""
        query = self._checked(query)
        chosen = self.everything if selection is None else selection
        k = min(k, chosen.count)
        if k <= 0:
            return VectorHits(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        approximate = bool(self._groups) and self.effort.candidates > 0 and not exact and not chosen.few
        found = []
        for number, (pool, wanted) in enumerate(zip(self._pools, chosen.by_pool, strict=True)):
            if wanted and not (approximate and pool.coded):
                found.append(_scan(pool, query, k, chosen.named[number], chosen, number))
        if approximate:
            wanted = max(self.effort.candidates, ROOM_FOR_K * k)
            found += self._score(query, np.sort(np.concatenate(self.candidates(query, wanted, chosen))))
        return self._best(found, k)

    def candidates(self, query: Matrix, count: int, selection: Selection, probes: int | None = None) -> list[Rows]:
        """Of each group of codes the `count` selected ids that look best, best first. Only calibration asks too."""
        if self.codebook is None:
            return []
        coded = self.codebook.project_query(query)
        visited = self.effort.probes if probes is None else probes
        return [
            group.search(coded, count, selection, in_lists, visited)
            for group, in_lists in zip(self._groups, selection.in_lists, strict=True)
        ]

    def scores(self, query: Matrix, segment: int, rows: Rows) -> Matrix:
        """Exact scores of given rows, such as those found by their words."""
        one, place = self._placed[segment], self._places[segment]
        if len(rows) and (rows.min() < 0 or rows.max() >= place.rows):
            raise ValueError(f"rows {rows.min()} to {rows.max()} of a segment of {place.rows}")
        if one.segment.check is not None and not one.small:
            one.segment.check(rows)
        matrix = self._pools[place.pool].matrix
        return score_rows(matrix, self._checked(query), np.ascontiguousarray(rows, dtype=np.int64) + place.offset)

    def exact_scores(self, query: Matrix, ids: Rows) -> Matrix:
        """Exact scores of candidates, in their order."""
        order = np.argsort(ids)
        scores = np.empty(len(ids), np.float32)
        scores[order] = np.concatenate([np.empty(0, np.float32), *(part for _, part in self._score(query, ids[order]))])
        return scores

    @property
    def pools(self) -> tuple[Pool, ...]:
        return self._pools

    def _checked(self, query: Matrix) -> Matrix:
        if query.shape != (self.width,) or not np.isfinite(query).all():
            raise ValueError(f"a query must be {self.width} finite numbers, not {query.shape} with NaN or infinity")
        return np.ascontiguousarray(query, dtype=np.float32)

    def _place(self, segment: SegmentVectors, small: SmallRows | None) -> _Placed:
        vectors, codes = segment.vectors, segment.codes
        if vectors.ndim != 2 or vectors.shape[1] != self.width or vectors.dtype != np.float32:
            raise ValueError(f"vectors of {vectors.shape} {vectors.dtype} in a store of width {self.width}")
        if codes is not None and (self.codebook is None or codes.codebook != self.codebook.version):
            raise ValueError(f"codes of codebook {codes.codebook} in a side with another")
        if codes is not None and codes.rows != len(vectors):
            raise ValueError(f"codes of {codes.rows} rows for {len(vectors)} vectors")
        held: IdRange | SmallRows | None = None
        if small is not None and _is_small(segment):
            if segment.check is not None:
                segment.check(slice(0, len(vectors)))
            offset = small.add(vectors)
            if offset is not None:
                held, first_id = small, small.ids.start + offset
        if held is None:
            held = self._ids.take(len(vectors))
            first_id = held.start
        if codes is None and self.codebook is not None and len(vectors) < SMALL_ROWS:
            codes = encode_segment(self.codebook, vectors)
        if codes is None or self.codebook is None:
            return _Placed(segment, held, first_id, None, None)
        lists = CodeLists(codes.lists, self.codebook.subquantizers, first_id)
        return _Placed(segment, held, first_id, lists, codes if codes.split is not None else None)

    def _score(self, query: Matrix, ids: Rows) -> list[tuple[Rows, Matrix]]:
        """Exact scores of ascending ids, pool by pool: the order that memory likes."""
        edges = [*np.searchsorted(ids, self._starts).tolist(), len(ids)]
        found = []
        for pool, start, end in zip(self._pools, edges, edges[1:], strict=False):
            if start < end:
                rows = ids[start:end] - pool.first_id
                if pool.check is not None:
                    pool.check(rows)
                found.append((ids[start:end], score_rows(pool.matrix, query, rows)))
        return found

    def _best(self, found: list[tuple[Rows, Matrix]], k: int) -> VectorHits:
        ids, scores = (
            found[0]
            if len(found) == 1
            else (np.concatenate([part for part, _ in found]), np.concatenate([part for _, part in found]))
        )
        if len(scores) > k:
            bar = np.partition(scores, len(scores) - k)[len(scores) - k]
            ids, scores = ids[scores >= bar], scores[scores >= bar]
        place = np.searchsorted(self._first_ids, ids, side="right") - 1
        segments, rows = self._by_id[place], ids - self._first_ids[place]
        order = np.lexsort((rows, segments, -scores))[:k]
        return VectorHits(segments[order], rows[order], scores[order])


def _is_small(segment: SegmentVectors) -> bool:
    return 0 < len(segment.vectors) < SMALL_ROWS


def _scan(
    pool: Pool, query: Matrix, k: int, named: Rows | None, selection: Selection, number: int
) -> tuple[Rows, Matrix]:
    if named is not None:
        if pool.check is not None:
            pool.check(named)
        return named + pool.first_id, score_rows(pool.matrix, query, named)
    if pool.check is not None:
        pool.check(slice(0, len(pool.matrix)))
    rows, scores = best_rows(pool.matrix, query, k, selection.filters[number])
    return rows + pool.first_id, scores


def _pools_of(placed: Sequence[_Placed]) -> tuple[tuple[Pool, ...], tuple[Place, ...]]:
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
