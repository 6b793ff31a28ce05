"""The lexical half of a search: BM25 over the postings of every segment, under the same row masks as the vectors.

A score is given as a share of the best that the query could reach (every word present at full weight), so it
lies in 0..1, means the same for every query, and is small by itself when few of the query's words are found.
Word statistics are summed over all rows of the snapshot; rows that died since the last merge still count.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.index.columns import Mask

SATURATION = 1.2  # k1: how soon more of the same word stops helping
LENGTH_WEIGHT = 0.75  # b: how much a long chunk is discounted
BLOCK = 128  # scores are searched block by block: k maxima of blocks are k rows, and the best k are no worse

Scores = NDArray[np.float32]


class Postings(Protocol):
    """What one segment knows of its words; see segments/postings.py."""

    @property
    def rows(self) -> int: ...

    @property
    def lengths(self) -> NDArray[np.uint32]: ...

    @property
    def total_length(self) -> int: ...

    # The rows that hold a term, ascending, and how often each does: arrays of the caller's own.
    def find(self, term: str) -> tuple[NDArray[np.int64], Scores]: ...


@dataclass(frozen=True, slots=True)
class KeywordScores:
    """One query's scores, 0..1, for every row of every segment; nothing where a segment holds none of the words."""

    by_segment: tuple[Scores | None, ...]

    def at(self, segment: int, rows: NDArray[np.int64]) -> Scores:
        scores = self.by_segment[segment]
        return np.zeros(len(rows), np.float32) if scores is None else scores[rows]

    def best(self, k: int) -> list[tuple[int, NDArray[np.int64], Scores]]:
        """The best `k` rows above zero over all segments, as (segment, rows, scores); in no order."""
        found = [
            (segment, *_best_of(scores, k)) for segment, scores in enumerate(self.by_segment) if scores is not None
        ]
        everything = np.concatenate([scores for _, _, scores in found]) if found else np.empty(0, np.float32)
        if len(everything) <= k:
            return found
        bar = np.partition(everything, len(everything) - k)[len(everything) - k]
        return [(segment, rows[scores >= bar], scores[scores >= bar]) for segment, rows, scores in found]


def score_keywords(terms: Sequence[str], segments: Sequence[Postings], masks: Sequence[Mask | None]) -> KeywordScores:
    """BM25 of the distinct `terms`, as a share of the best possible; rows outside their mask score zero."""
    rows = sum(postings.rows for postings in segments)
    if not terms or not rows:
        return KeywordScores((None,) * len(segments))
    average = max(sum(postings.total_length for postings in segments) / rows, 1.0)
    found = [[postings.find(term) for term in terms] for postings in segments]
    weights = [_rarity(sum(len(columns[index][0]) for columns in found), rows) for index in range(len(terms))]
    best_possible = sum(weights) * (SATURATION + 1)
    scored: list[Scores | None] = []
    for postings, columns, mask in zip(segments, found, masks, strict=True):
        present = [(weight, *column) for weight, column in zip(weights, columns, strict=True) if len(column[0])]
        if not present or (mask is not None and not mask.any()):
            scored.append(None)
            continue
        scores = np.zeros(postings.rows, np.float32)
        for weight, places, often in present:
            discount = postings.lengths.take(places).astype(np.float32)
            discount *= SATURATION * LENGTH_WEIGHT / average
            discount += SATURATION * (1 - LENGTH_WEIGHT)
            discount += often
            gain = np.multiply(often, weight * (SATURATION + 1) / best_possible, out=often)
            gain /= discount
            np.add.at(scores, places, gain)  # half of what `scores[places] += gain` takes
        if mask is not None:
            scores *= mask
        scored.append(scores)
    return KeywordScores(tuple(scored))


def _rarity(holding: int, rows: int) -> float:
    return math.log(1 + (rows - holding + 0.5) / (holding + 0.5))


def _best_of(scores: Scores, k: int) -> tuple[NDArray[np.int64], Scores]:
    """The best `k` rows above zero of one segment."""
    whole = len(scores) // BLOCK * BLOCK
    if whole // BLOCK <= k:
        rows = np.flatnonzero(scores)
    else:
        maxima = scores[:whole].reshape(-1, BLOCK).max(axis=1)
        bar = np.partition(maxima, len(maxima) - k)[len(maxima) - k]
        rows = np.flatnonzero(scores >= bar if bar > 0 else scores)
    if len(rows) > k:
        rows = rows[np.argpartition(scores[rows], len(rows) - k)[len(rows) - k :]]
    return rows, scores[rows]
