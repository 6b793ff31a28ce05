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
from retrieval.index.vectors.placed import Placed, SegmentVectors, is_small, place, pools_of
from retrieval.index.vectors.placing import IdSpace, SmallRows
from retrieval.index.vectors.probing import Group, groups_of
from retrieval.index.vectors.selection import Mask, Pool, Selection, select

SMALL_BYTES: Final = 32 * 2**20  # of such copies in one store; what does not fit is read where it lies
ROOM_FOR_K: Final = 4  # candidates for each hit wanted, if that is more than the effort asks for
DEPTH: Final = 10  # recall is promised over so many hits
TAKEN: Final = 4  # times the rows scored at first: what codes bring up costs little until it is scored
WIDENING: Final = 4
SAFE_DEVIATIONS: Final = 3.2  # measured: below, queries begin to miss rows, whatever the data and the filter
FEWEST_CANDIDATES: Final = 300  # however few rows are selected
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


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """What one group of codes brought up, by falling guess, and the exact scores of the first of it."""

    ids: Rows
    guesses: Matrix | None  # None if every selected row was scored
    scores: Matrix

    @property
    def found(self) -> Scored:
        return self.ids[: len(self.scores)], self.scores

    def wanted(self, bar: float) -> int:
        """How many must be scored until a row that is not is unlikely to reach `bar`, by how far guesses were off here.

        One more than there are if even the last guess is not low enough.
        """
        if self.guesses is None:
            return len(self.scores)
        off = self.scores - self.guesses[: len(self.scores)]
        mean = float(off.sum()) / len(off)
        deviation = math.sqrt(max(float(np.dot(off, off)) / len(off) - mean * mean, 0))
        lowest = bar - mean - SAFE_DEVIATIONS * deviation
        if self.guesses[-1] > lowest:
            return len(self.guesses) + 1
        return len(self.guesses) - int(self.guesses[::-1].searchsorted(lowest, side="right"))


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
        """What codes and the scan of uncoded rows bring up, and how often codes were searched again to be safe."""
        if self.codebook is None or selection.few:
            raise ValueError("this selection is not searched by codes")
        coded = self.codebook.project_query(query)
        found = self._scan([at for at, pool in enumerate(self._pools) if not pool.coded], query, k, selection)
        looks = [self._look_at(at, query, coded, k, selection, effort) for at in range(len(self._groups))]
        again = [0] * len(looks)
        while True:
            bar = _bar([*found, *(one.found for one in looks)], min(k, DEPTH))
            short = [(at, one, wanted) for at, one in enumerate(looks) if (wanted := one.wanted(bar)) > len(one.scores)]
            for at, one, wanted in short:
                if wanted <= len(one.ids):
                    more = self._scored(query, one.ids[len(one.scores) : wanted])
                    looks[at] = replace(one, scores=np.concatenate([one.scores, more]))
                else:
                    again[at] += 1
                    wider = replace(
                        effort,
                        candidates=effort.candidates * WIDENING ** again[at],
                        probes=effort.probes * 2 ** again[at],
                    )
                    looks[at] = self._look_at(at, query, coded, k, selection, wider)
            if not short:
                return [*found, *(one.found for one in looks)], max(again, default=0)

    def _look_at(self, at: int, query: Matrix, coded: Matrix, k: int, selection: Selection, effort: Effort) -> Look:
        group = self._groups[at]
        candidates = _scaled(effort.candidates, selection.share)
        first = max(candidates, ROOM_FOR_K * k)
        taken = max(candidates * TAKEN, first)
        if taken < selection.by_group[at]:
            ids, guesses = group.search(coded, taken, selection, selection.in_lists[at], effort.probes)
            if len(ids) >= first:
                return Look(ids, guesses, self._scored(query, ids[:first]))
        # Most are wanted; or their codes are so alike that FAISS drops some of them.
        pools = sorted({self._places[segment].pool for segment in group.segments})
        parts = self._scan(pools, query, k, selection)
        ids, scores = _joined(parts) if parts else _NOTHING
        return Look(ids, None, scores)

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
        if query.shape != (self.width,) or not np.isfinite(query).all():
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
        edges = [*np.searchsorted(ids, self._starts).tolist(), len(ids)]
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
            bar = np.partition(scores, len(scores) - k)[len(scores) - k]
            ids, scores = ids[scores >= bar], scores[scores >= bar]
        place = np.searchsorted(self._first_ids, ids, side="right") - 1
        segments, rows = self._by_id[place], ids - self._first_ids[place]
        order = np.lexsort((rows, segments, -scores))[:k]
        return VectorHits(segments[order], rows[order], scores[order])


def _scaled(candidates: int, share: float) -> int:
    """Of fewer rows fewer are mistaken for the best: by the root of the share, as between stores of those sizes."""
    return max(round(candidates * math.sqrt(share)), min(candidates, FEWEST_CANDIDATES))


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
    if len(scores) < depth:
        return -math.inf
    return float(np.partition(scores, len(scores) - depth)[len(scores) - depth])
