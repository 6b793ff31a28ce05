"""How much a search must look at so that its recall holds, measured on the store's own vectors.

Run when a codebook is trained and again when a store has grown a good deal: an effort that no longer holds is
replaced, and a codebook that no effort serves is replaced by a finer one, or by none. Queries are made from
stored rows, since real ones are not kept: some as they are, most with noise, some between two rows, which is hardest.
A hit counts by its score, so that copies of one text are as good as one another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from retrieval.index.vectors.codebook import MOST_TRAINED, Codebook, train_codebook
from retrieval.index.vectors.codes import SegmentCodes, encode_segment
from retrieval.index.vectors.kernels import Matrix, best_scores_of_many
from retrieval.index.vectors.placed import SMALL_ROWS, SegmentVectors
from retrieval.index.vectors.selection import Selection
from retrieval.index.vectors.side import DEPTH, Effort, VectorSide

CODED_FROM: Final = 20_000  # rows of a store; below, scanning every vector takes well under a millisecond
TARGET: Final = 0.99
CANDIDATES: Final = (300, 600, 1_000, 2_000, 4_000)
PROBES: Final = (10, 15, 20, 30, 40, 60, 80, 120, 160, 240)  # of 1,000 lists
EVERY_LIST: Final = 1_000
SELDOM: Final = 0.05  # of queries may search the codes twice: at a million rows that is most of what a search costs
OFTEN: Final = 0.5  # of queries may visit more lists than the first: two small searches cost less than one of many
_NOISE: Final = np.array([0, 0.5, 0.5, 1, 0], np.float32)  # by style of query: how much of it is no row's
_OTHER: Final = np.array([0, 0, 0, 0, 0.7], np.float32)  # and how much is another row's
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
    if not len(sample):
        return None
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
        return Effort(0, EVERY_LIST, 1.0)
    asked = _queries([one.vectors for one in side.segments], queries, seed)
    everything = side.select([None] * len(side.segments), by_codes=True)
    bars = _bars(side, asked, everything)
    loss = 1 - target
    enough = 1 - loss * 0.75  # part of the loss is left to chance, which chose the queries
    effort = Effort(0, EVERY_LIST, 1.0)
    for candidates in CANDIDATES:
        recall, widened = _measure(side, asked, bars, everything, Effort(candidates, EVERY_LIST))
        # Candidates from few lists are nearer ones than as many from all: of a split side those few decide, below.
        if recall >= (target if side.is_split else enough):
            effort = Effort(candidates, EVERY_LIST, recall)
            if widened <= SELDOM:
                break
    if not effort.candidates or not side.is_split:
        return effort
    for probes in PROBES:
        recall, widened = _measure(side, asked, bars, everything, Effort(effort.candidates, probes))
        if recall >= enough and widened <= OFTEN:
            return Effort(effort.candidates, probes, recall)
    return effort


def _measure(
    side: VectorSide, queries: Matrix, bars: Matrix, everything: Selection, effort: Effort
) -> tuple[float, float]:
    """Recall, and the share of queries that had to look twice."""
    hits, widened, depth = 0, 0, min(DEPTH, side.coded_rows)
    for query, bar in zip(queries, bars, strict=True):
        found, more = side.look(query, depth, everything, effort)
        hits += min(sum(int(np.count_nonzero(scores >= bar)) for _, scores in found), depth)
        widened += more > 0
    return hits / (depth * len(queries)), widened / len(queries)


def _bars(side: VectorSide, queries: Matrix, everything: Selection) -> Matrix:
    """For each query the score that a row must reach to be among the best ten coded ones."""
    best = np.full((len(queries), DEPTH), -np.inf, np.float32)
    for number, pool in enumerate(side.pools):
        if pool.coded:
            if pool.check is not None:
                pool.check(slice(0, len(pool.matrix)))
            named = everything.named[number]
            matrix = pool.matrix if named is None else pool.matrix[named]
            more = best_scores_of_many(matrix, queries, DEPTH, everything.filters[number])
            best = -np.sort(-np.concatenate([best, more], axis=1), axis=1)[:, :DEPTH]
    return np.asarray(best[:, min(DEPTH, side.coded_rows) - 1] - _SAME, np.float32)


def _queries(segments: Sequence[Matrix], count: int, seed: int) -> Matrix:
    chance = np.random.default_rng(seed + 1)
    rows, others = _sample(segments, count, seed + 2), _sample(segments, count, seed + 3)
    others = others[chance.permutation(len(others))]
    noise = chance.standard_normal(rows.shape).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    style = np.arange(len(rows)) % len(_NOISE)
    asked = rows + noise * _NOISE[style, None] + others * _OTHER[style, None]
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
