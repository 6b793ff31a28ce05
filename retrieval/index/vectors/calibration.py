"""How much a search must look at so that its recall holds, measured on the store's own vectors.

Run when a codebook is trained and again when a store has grown a good deal: an effort that no longer holds is
replaced, and a codebook that no effort serves is replaced by a finer one, or by none. Queries are made from
stored rows, since real ones are not kept: a third as they are, a third with noise, a third between two rows.
A hit counts by its score, so that copies of one text are as good as one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from retrieval.index.vectors.codebook import MOST_TRAINED, Codebook, train_codebook
from retrieval.index.vectors.codes import SegmentCodes, encode_segment
from retrieval.index.vectors.kernels import Matrix, best_scores_of_many
from retrieval.index.vectors.side import SMALL_ROWS, Effort, SegmentVectors, VectorSide

CODED_FROM: Final = 20_000  # rows of a store; below, scanning every vector takes well under a millisecond
TARGET: Final = 0.99
DEPTH: Final = 10  # recall is counted over so many hits
CANDIDATES: Final = (300, 600, 1_000, 2_000, 4_000)
PROBES: Final = (10, 15, 20, 30, 40, 60, 80, 120, 160, 320, 1_000)  # of 1,000 lists
_SAME: Final = 1e-5  # scores this close are ties


@dataclass(frozen=True, slots=True, eq=False)
class StoreIndex:
    """What a store needs to be searched by codes: one `codes` for each segment given, None for small ones."""

    codebook: Codebook
    codes: tuple[SegmentCodes | None, ...]
    effort: Effort


def index_store(
    segments: Sequence[Matrix], *, version: int, target: float = TARGET, seed: int = 1
) -> StoreIndex | None:
    """Train, code and calibrate; None where no codebook reaches the target and exact scans must do."""
    sample = _sample(segments, MOST_TRAINED, seed)
    for finer in (False, True):
        codebook = train_codebook(sample, version=version, seed=seed, finer=finer)
        codes = tuple(None if len(one) < SMALL_ROWS else encode_segment(codebook, one, seed=seed) for one in segments)
        held = [SegmentVectors(one, coded) for one, coded in zip(segments, codes, strict=True)]
        effort = calibrate(VectorSide.empty(codebook.width, codebook).with_segments(held), target=target, seed=seed)
        if effort.candidates:
            return StoreIndex(codebook, codes, effort)
    return None


def calibrate(side: VectorSide, *, target: float = TARGET, queries: int = 200, seed: int = 1) -> Effort:
    """The least effort whose recall reaches the target; `candidates` 0 if none does, and every search must scan."""
    if not side.coded_rows:
        return Effort(0, 1_000, 1.0)
    asked = _queries([one.vectors for one in side.segments], queries, seed)
    bars = _bars(side, asked)
    loss = 1 - target
    candidates, recall = 0, 0.0
    found = [_scored(side, query, 1_000) for query in asked]
    for candidates in CANDIDATES:
        recall = _recall(found, bars, candidates)
        if recall >= 1 - loss * (0.5 if side.is_split else 0.75):  # the rest is left to unvisited lists, and to chance
            break
    else:
        return Effort(0, 1_000, 1.0) if recall < target else Effort(candidates, 1_000, recall)
    if side.is_split:
        for probes in PROBES:
            visited = _recall([_scored(side, query, probes) for query in asked], bars, candidates)
            if visited >= 1 - loss * 0.75:
                return Effort(candidates, probes, visited)
    return Effort(candidates, 1_000, recall)


def _scored(side: VectorSide, query: Matrix, probes: int) -> list[Matrix]:
    """Exact scores of the most candidates we would ever take, group by group, in the order the codes give."""
    groups = side.candidates(query, CANDIDATES[-1], side.everything, probes)
    return [side.exact_scores(query, ids) for ids in groups]


def _recall(found: Sequence[Sequence[Matrix]], bars: Matrix, candidates: int) -> float:
    hits = [
        min(sum(int(np.count_nonzero(scores[:candidates] >= bar)) for scores in groups), DEPTH)
        for groups, bar in zip(found, bars, strict=True)
    ]
    return float(np.mean(hits)) / DEPTH


def _bars(side: VectorSide, queries: Matrix) -> Matrix:
    """For each query the score that a row must reach to be among the best ten coded ones."""
    best = np.full((len(queries), DEPTH), -np.inf, np.float32)
    for number, pool in enumerate(side.pools):
        if pool.coded:
            if pool.check is not None:
                pool.check(slice(0, len(pool.matrix)))
            more = best_scores_of_many(pool.matrix, queries, DEPTH, side.everything.filters[number])
            best = -np.sort(-np.concatenate([best, more], axis=1), axis=1)[:, :DEPTH]
    return np.asarray(best[:, -1] - _SAME, np.float32)


def _queries(segments: Sequence[Matrix], count: int, seed: int) -> Matrix:
    chance = np.random.default_rng(seed + 1)
    rows, others = _sample(segments, count, seed + 2), _sample(segments, count, seed + 3)
    others = others[chance.permutation(len(others))]
    noise = chance.standard_normal(rows.shape).astype(np.float32)
    noise *= 0.75 / np.linalg.norm(noise, axis=1, keepdims=True)
    style = np.arange(len(rows))[:, None] % 3
    asked = rows + np.where(style == 1, noise, np.float32(0)) + np.where(style == 2, others, np.float32(0)) * 0.7
    asked /= np.maximum(np.linalg.norm(asked, axis=1, keepdims=True), 1e-12)
    return np.ascontiguousarray(asked, dtype=np.float32)


def _sample(segments: Sequence[Matrix], count: int, seed: int) -> Matrix:
    """Rows drawn evenly from all segments together, copied."""
    ends = np.cumsum([len(one) for one in segments])
    total = int(ends[-1]) if len(ends) else 0
    chosen = np.sort(np.random.default_rng(seed).choice(total, min(count, total), replace=False))
    edges = np.searchsorted(chosen, [0, *ends])
    parts = [
        one[chosen[start:end] - (last - len(one))]
        for one, last, start, end in zip(segments, ends, edges, edges[1:], strict=False)
        if start < end
    ]
    return np.concatenate(parts) if parts else np.empty((0, 1), np.float32)
