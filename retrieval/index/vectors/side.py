"""The vector half of a snapshot: segments side by side, searched as one.

A side never changes; the next one shares everything but the segments that are new. Small segments are copied
end to end and coded on arrival, so that hundreds of them cost a search no more than one. Every score returned is
the exact inner product with the stored vector: codes only choose which rows are scored. Hits are ordered by
score, then segment, then row. A row outside the selection is never returned.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self, TypeAlias

import numpy as np

from retrieval.index.vectors.bundles import Bundle, bundled
from retrieval.index.vectors.codebook import Codebook
from retrieval.index.vectors.kernels import Matrix, RowFilter, Rows, best_rows, score_rows
from retrieval.index.vectors.looking import Asked, Look
from retrieval.index.vectors.placed import Placed, SegmentVectors, is_small, place, pools_of
from retrieval.index.vectors.placing import IdSpace, SmallRows
from retrieval.index.vectors.probing import Group, Visit, groups_of
from retrieval.index.vectors.selection import Mask, Pool, Selection, select

SMALL_BYTES: Final = 32 * 2**20  # of such copies in one store; what does not fit is read where it lies
DEPTH: Final = 10  # recall is promised over so many hits
SPARE: Final = 16  # one in so many rows more than are wanted
FEW_ROWS: Final = 12_000  # of a store with split segments: scored one by one, since lists far away hold them too

Scored: TypeAlias = tuple[Rows, Matrix]  # ids and exact scores

_NOTHING: Final[Scored] = (np.empty(0, np.int64), np.empty(0, np.float32))


@dataclass(frozen=True, slots=True)
class Effort:
    """What a search spends so that its recall holds; measured by `calibrate`."""

    candidates: int = 1_000  # rows scored exactly, before widening; 0: codes do not serve this store, scan every vector
    probes: int = 1_000  # of 1,000 lists of a large segment, how many are visited
    recall: float = 0.0  # at ten against the exact scan, as measured; 0 before that


@dataclass(frozen=True, slots=True, eq=False)
class VectorHits:
    segments: Rows
    rows: Rows
    scores: Matrix

    def __len__(self) -> int:
        return len(self.rows)


class VectorSide:
    """Make one with `VectorSide.empty(...).with_segments(...)`, and each next one from the last."""

    def __init__(
        self,
        width: int,
        codebook: Codebook | None,
        effort: Effort,
        ids: IdSpace,
        placed: tuple[Placed, ...],
        bundles: tuple[Bundle, ...],
    ) -> None:
        self.width = width
        self.codebook = codebook
        self.effort = effort
        self._ids = ids
        self._placed = placed
        self._pools, self._places = pools_of(placed)
        self._starts = np.array([pool.first_id for pool in self._pools], np.int64)
        by_id = sorted(range(len(placed)), key=lambda number: placed[number].first_id)
        self._by_id = np.array(by_id, np.int64)
        self._first_ids = np.array([placed[number].first_id for number in by_id], np.int64)
        self._bundles = () if codebook is None else bundled(bundles, placed, codebook)
        self._groups: tuple[Group, ...] = () if codebook is None else groups_of(codebook, placed, self._bundles)
        self.everything = self.select([None] * len(placed))

    @classmethod
    def empty(cls, width: int, codebook: Codebook | None = None, effort: Effort | None = None) -> Self:
        if codebook is not None and codebook.width != width:
            raise ValueError(f"a codebook of width {codebook.width} for vectors of width {width}")
        return cls(width, codebook, effort or Effort(), IdSpace(), (), ())

    def with_segments(self, segments: Sequence[SegmentVectors]) -> Self:
        """The side of exactly these segments. What this side holds of them is shared, not made again."""
        if len({id(one) for one in segments}) < len(segments):
            raise ValueError("a segment stands twice among the segments of a side")
        known = {id(one.segment): one for one in self._placed}
        small = next((one.held for one in self._placed if isinstance(one.held, SmallRows)), None)
        if small is not None:
            kept = sum(len(one.vectors) for one in segments if id(one) in known and known[id(one)].small)
            coming = sum(len(one.vectors) for one in segments if id(one) not in known and is_small(one))
            if not small.has_room(coming) and kept + coming <= small.capacity // 2:
                known = {key: one for key, one in known.items() if not one.small}  # mostly rows of segments long gone
                small = None
        placed = []
        for segment in segments:
            one = known.get(id(segment))
            if one is None:
                if small is None and is_small(segment):
                    small = SmallRows(self.width, SMALL_BYTES, self._ids)
                one = place(segment, self.width, self.codebook, self._ids, small)
            placed.append(one)
        return type(self)(self.width, self.codebook, self.effort, self._ids, tuple(placed), self._bundles)

    def with_effort(self, effort: Effort) -> Self:
        return type(self)(self.width, self.codebook, effort, self._ids, self._placed, self._bundles)

    @property
    def segments(self) -> tuple[SegmentVectors, ...]:
        return tuple(one.segment for one in self._placed)

    @property
    def coded_rows(self) -> int:
        return sum(len(one.segment.vectors) for one in self._placed if one.coded)

    @property
    def lists(self) -> int:
        """Lists of codes that a search may visit."""
        return sum(group.stack.count for group in self._groups)

    @property
    def is_split(self) -> bool:
        """Whether searches choose among lists of some segment."""
        return any(group.split is not None for group in self._groups)

    def select(self, masks: Sequence[Mask | None], *, by_codes: bool = False) -> Selection:
        """Work out one filter: a mask for each segment in order, None for all of its rows. Masks must not change.

        `by_codes`: for measuring, look at codes even where scoring row by row costs less.
        """
        few_rows = max(2 * self.effort.candidates, FEW_ROWS if self.is_split else 0)
        chosen = select(self._pools, self._places, masks, few_rows=None if by_codes else few_rows)
        if chosen.few:
            return chosen
        in_lists = tuple(group.selected_in_lists(chosen.masks) for group in self._groups)
        return replace(chosen, in_lists=in_lists, by_group=tuple(group.count(chosen) for group in self._groups))

    def search(self, query: Matrix, k: int, selection: Selection | None = None, *, exact: bool = False) -> VectorHits:
        """The best `k` selected rows; all of them if there are fewer."""
        query = self._checked(query)
        chosen = self.everything if selection is None else selection
        k = min(k, chosen.count)
        if k <= 0:
            return VectorHits(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))
        if exact or chosen.few or not self._groups or not self.effort.candidates:
            return self._best(self._scan(range(len(self._pools)), query, k, chosen), k)
        return self._best(self.look(query, k, chosen, self.effort)[0], k)

    def look(self, query: Matrix, k: int, selection: Selection, effort: Effort) -> tuple[list[Scored], int]:
        """What codes and the scan of uncoded rows bring up, and how many more searches of codes it took to be safe."""
        if self.codebook is None or selection.few:
            raise ValueError("this selection is not searched by codes")
        coded = self.codebook.project_query(query)
        scanned = self._scan([at for at, pool in enumerate(self._pools) if not pool.coded], query, k, selection)
        visits = [group.visit(coded, rows) for group, rows in zip(self._groups, selection.in_lists, strict=True)]
        asked = Asked(query, k, effort.candidates, selection)
        looks = [
            self._look_at(at, visit, visit.nearest(effort.probes, asked.candidates(0)), asked)
            for at, visit in enumerate(visits)
            if selection.by_group[at]
        ]
        searches = 0
        while True:
            looks = _whole_first(looks)
            bar = _bar([*scanned, *(one.found for one in looks)], min(k, DEPTH))
            wanted = [one.wanted(bar) for one in looks]
            if any(many > len(one.scores) for many, one in zip(wanted, looks, strict=True)):
                searches += sum(many > len(one.ids) for many, one in zip(wanted, looks, strict=True))
                looks = [self._further(one, many, visits, asked) for many, one in zip(wanted, looks, strict=True)]
                continue
            doubted = [(at, visit, lists) for at, visit in enumerate(visits) if len(lists := visit.doubtful(bar))]
            if not doubted:
                return [*scanned, *(one.found for one in looks)], searches
            searches += len(doubted)
            looks += [self._look_at(at, visit, lists, asked) for at, visit, lists in doubted]

    def _further(self, one: Look, wanted: int, visits: Sequence[Visit], asked: Asked) -> Look:
        """The same look with as many scored as are wanted, or from a wider search of the same lists."""
        if wanted <= len(one.scores):
            return one
        if wanted > len(one.ids):
            return self._look_at(one.group, visits[one.group], one.lists, asked, one.again + 1)
        wanted += wanted // SPARE  # what they tell is mostly that a few more are wanted: to go on costs more than those
        more = self._scored(asked.query, one.ids[len(one.scores) : wanted])
        return replace(one, scores=np.concatenate([one.scores, more]))

    def _look_at(self, at: int, visit: Visit, lists: Rows, asked: Asked, again: int = 0) -> Look:
        group, selection = self._groups[at], asked.selection
        rows_in = selection.in_lists[at]
        there = selection.by_group[at] if rows_in is None else int(rows_in[lists].sum())
        visit.leave(lists)
        wanted, some = asked.candidates(again), asked.scored_at_first(again)
        ids, guesses = visit.search(lists, min(wanted, there), selection.ids)
        if len(ids) == there or len(ids) >= wanted:
            return Look(at, ids, guesses, self._scored(asked.query, ids[:some]), lists, len(ids) == there, again)
        # Their codes are so alike that FAISS drops some of them.
        visit.leave(group.every_list)
        pools = sorted({self._places[segment].pool for segment in group.segments})
        parts = self._scan(pools, asked.query, asked.k, selection)
        ids, scores = _joined(parts) if parts else _NOTHING
        return Look(at, ids, None, scores, lists)

    def scores(self, query: Matrix, segment: int, rows: Rows) -> Matrix:
        """Exact scores of given rows, such as those found by their words."""
        one, place = self._placed[segment], self._places[segment]
        if len(rows) and (rows.min() < 0 or rows.max() >= place.rows):
            raise ValueError(f"rows {rows.min()} to {rows.max()} of a segment of {place.rows}")
        if one.segment.check is not None and not one.small:
            one.segment.check(rows)
        matrix = self._pools[place.pool].matrix
        return score_rows(matrix, self._checked(query), np.ascontiguousarray(rows, dtype=np.int64) + place.offset)

    @property
    def pools(self) -> tuple[Pool, ...]:
        return self._pools

    def _checked(self, query: Matrix) -> Matrix:
        if query.shape != (self.width,) or not np.logical_and.reduce(np.isfinite(query)):
            raise ValueError(f"a query must be {self.width} finite numbers, not {query.shape} with NaN or infinity")
        return np.ascontiguousarray(query, dtype=np.float32)

    def _scored(self, query: Matrix, ids: Rows) -> Matrix:
        """Exact scores in the order of `ids`, read in the order of memory."""
        order = ids.argsort()
        scores = np.empty(len(ids), np.float32)
        scores[order] = self._score(query, ids[order])
        return scores

    def _score(self, query: Matrix, ids: Rows) -> Matrix:
        """Exact scores of ascending ids, pool by pool: the order that memory likes."""
        edges = [*ids.searchsorted(self._starts).tolist(), len(ids)]
        parts = []
        for pool, start, end in zip(self._pools, edges, edges[1:], strict=False):
            if start < end:
                rows = ids[start:end] - pool.first_id
                if pool.check is not None:
                    pool.check(rows)
                parts.append(score_rows(pool.matrix, query, rows))
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _scan(self, pools: Iterable[int], query: Matrix, k: int, selection: Selection) -> list[Scored]:
        return [
            _scan(self._pools[at], query, k, selection.named[at], selection.filters[at])
            for at in pools
            if selection.by_pool[at]
        ]

    def _best(self, found: Sequence[Scored], k: int) -> VectorHits:
        ids, scores = _joined(found)
        if len(scores) > k:
            best = scores >= _last_of_best(scores, k)
            ids, scores = ids[best], scores[best]
        place = self._first_ids.searchsorted(ids, side="right") - 1
        segments, rows = self._by_id[place], ids - self._first_ids[place]
        order = np.lexsort((rows, segments, -scores))[:k]
        return VectorHits(segments[order], rows[order], scores[order])


def _whole_first(looks: Sequence[Look]) -> list[Look]:
    """Of a group that was scanned as a whole, that alone."""
    whole = {one.group: one for one in reversed(looks) if one.guesses is None}
    return [one for one in looks if whole.get(one.group, one) is one]


def _scan(pool: Pool, query: Matrix, k: int, named: Rows | None, allowed: RowFilter | None) -> Scored:
    if named is not None:
        if pool.check is not None:
            pool.check(named)
        return named + pool.first_id, score_rows(pool.matrix, query, named)
    if pool.check is not None:
        pool.check(slice(0, len(pool.matrix)))
    rows, scores = best_rows(pool.matrix, query, k, allowed)
    return rows + pool.first_id, scores


def _joined(found: Sequence[Scored]) -> Scored:
    if len(found) == 1:
        return found[0]
    return np.concatenate([ids for ids, _ in found]), np.concatenate([scores for _, scores in found])


def _bar(found: Sequence[Scored], depth: int) -> float:
    """The score that a row must reach to be among the best so far."""
    scores = _joined(found)[1]
    return -math.inf if len(scores) < depth else _last_of_best(scores, depth)


def _last_of_best(scores: Matrix, count: int) -> float:
    scores = scores.copy()
    scores.partition(len(scores) - count)
    return float(scores[len(scores) - count])
