"""The lexical half of a search: BM25 over the postings of every segment, under the same row masks as the vectors.

A score is given as a share of the best that the query could reach (every word present at full weight), so it
lies in 0..1, means the same for every query, and is small by itself when few of the query's words are found.
Word statistics are summed over all rows of the snapshot; rows that died since the last merge still count.

Words are taken up from the rarest to the commonest. Once the best rows are so far ahead that no other could catch up
with what is left, the words left are looked up for those few rows alone: the commonest words, which stand in most
rows and say the least, cost next to nothing, and the best rows and their scores are the same.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.index.columns import Mask
from retrieval.segments.postings import ROW_MASK, unpacked

SATURATION: Final = 1.2  # k1: how soon more of the same word stops helping
LENGTH_WEIGHT: Final = 0.75  # b: how much a long chunk is discounted
UNLESS_LONG: Final = np.float32(SATURATION * (1 - LENGTH_WEIGHT))
GROUP: Final = 32  # rows: k maxima of groups are k rows, and the best k are no worse
COMMON: Final = 3  # a word in less than a row of so many costs less than finding out whether it is needed
LOOK_UP: Final = 80  # times what taking up one place of a word costs
ROUNDING: Final = 1e-5  # scores are sums of 32-bit floats

Scores = NDArray[np.float32]
Numbers = NDArray[np.int64]
Packed = NDArray[np.uint32]
RowScores = tuple[int, Numbers, Scores]  # a segment, rows of it, their scores


class Postings(Protocol):
    """What one segment knows of its words; see segments/postings.py."""

    @property
    def rows(self) -> int: ...

    @property
    def lengths(self) -> NDArray[np.uint32]: ...

    @property
    def total_length(self) -> int: ...

    # The rows that hold a term, ascending, and how often each does, packed as they are stored.
    def packed(self, term: str) -> Packed: ...


@dataclass(frozen=True, slots=True)
class _Word:
    share: float  # of the best possible, that it adds at most: where it stands again and again
    packed: tuple[Packed, ...]  # by segment

    @property
    def places(self) -> int:
        return sum(map(len, self.packed))


class _Scoring:
    """One segment's part: `scores` of the words taken up so far, nothing while it holds none of them."""

    def __init__(self, postings: Postings, mask: Mask | None, average_length: float) -> None:
        self._postings = postings
        self._mask = mask
        self._by_length = np.float32(SATURATION * LENGTH_WEIGHT / average_length)
        self.scores: Scores | None = None
        self._left: list[tuple[float, Packed, Packed]] = []  # words that are not taken up: share, postings, rows

    def take_up(self, share: float, packed: Packed) -> None:
        rows, often = unpacked(packed)
        if self._mask is not None:
            allowed = self._mask[rows]
            rows, often = rows[allowed], often[allowed]
        if not len(rows):
            return
        if self.scores is None:
            self.scores = np.zeros(self._postings.rows, np.float32)
        np.add.at(self.scores, rows, self._gain(share, rows, often))  # half of what `scores[rows] +=` takes

    def leave(self, share: float, packed: Packed) -> None:
        """Look it up where it is asked for, from now on."""
        if len(packed):
            self._left.append((share, packed, packed & np.uint32(ROW_MASK)))

    def maxima(self) -> Scores:
        """Of groups of rows: each is the score of another row."""
        if self.scores is None:
            return np.empty(0, np.float32)
        whole = len(self.scores) // GROUP * GROUP
        return np.concatenate([self.scores[:whole].reshape(GROUP, -1).max(axis=0), self.scores[whole:]])

    def count_from(self, bar: float) -> int:
        return 0 if self.scores is None else int(np.count_nonzero(self.scores >= bar))

    def at(self, rows: Numbers) -> Scores:
        found = np.zeros(len(rows), np.float32) if self.scores is None else self.scores[rows]
        for share, packed, holding in self._left:
            found += self._looked_up(rows, share, packed, holding)
        if self._left and self._mask is not None:
            found *= self._mask[rows]
        return found

    def from_bar(self, bar: float) -> tuple[Numbers, Scores]:
        """The rows that may reach `bar`, which is more than the words left could add, and their whole scores."""
        if self.scores is None:
            return np.empty(0, np.int64), np.empty(0, np.float32)
        missing = sum(share for share, _, _ in self._left)
        rows = np.flatnonzero(self.scores >= bar - missing if bar > missing else self.scores > 0)
        scores = self.scores[rows]
        for share, packed, holding in self._left:
            scores += self._looked_up(rows, share, packed, holding)
            missing -= share
            reaching = scores >= bar - missing
            rows, scores = rows[reaching], scores[reaching]
        return rows, scores

    def _looked_up(self, rows: Numbers, share: float, packed: Packed, holding: Packed) -> Scores:
        wanted = rows.astype(np.uint32)
        places = holding.searchsorted(wanted)
        places[places == len(holding)] = 0
        found = np.flatnonzero(holding[places] == wanted)
        gains = np.zeros(len(rows), np.float32)
        gains[found] = self._gain(share, *unpacked(packed[places[found]]))
        return gains

    def _gain(self, share: float, rows: Numbers, often: Scores) -> Scores:
        discount = self._postings.lengths.take(rows).astype(np.float32)
        discount *= self._by_length
        discount += UNLESS_LONG
        discount += often
        often *= np.float32(share)
        often /= discount
        return often


class KeywordScores:
    """One query's scores, 0..1: of the best rows over all segments, and of any row that is asked for."""

    def __init__(self, segments: Sequence[_Scoring], most: int) -> None:
        self._segments = segments
        self._most = most

    def at(self, segment: int, rows: Numbers) -> Scores:
        return self._segments[segment].at(rows) if self._segments else np.zeros(len(rows), np.float32)

    def best(self) -> list[RowScores]:
        """The best rows above zero, as many as were asked for, as (segment, rows, scores); in no order."""
        bar = _bar(self._segments, self._most)
        found = [(number, *one.from_bar(bar - ROUNDING)) for number, one in enumerate(self._segments)]
        found = [one for one in found if len(one[1])]
        everything = np.concatenate([scores for _, _, scores in found]) if found else np.empty(0, np.float32)
        if len(everything) <= self._most:
            return found
        least = np.partition(everything, len(everything) - self._most)[len(everything) - self._most]
        return [(segment, rows[scores >= least], scores[scores >= least]) for segment, rows, scores in found]


def score_keywords(
    terms: Sequence[str], segments: Sequence[Postings], masks: Sequence[Mask | None], most: int
) -> KeywordScores:
    """BM25 of the distinct `terms`, as a share of the best possible; rows outside their mask score zero."""
    rows = sum(postings.rows for postings in segments)
    if not terms or not rows:
        return KeywordScores((), most)
    average = max(sum(postings.total_length for postings in segments) / rows, 1.0)
    scoring = [_Scoring(postings, mask, average) for postings, mask in zip(segments, masks, strict=True)]
    words = _rarest_first(terms, segments, rows)
    leaving = False
    for at, word in enumerate(words):
        leaving = leaving or (word.places * COMMON > rows and _may_be_left(scoring, words[at:], most))
        for one, packed in zip(scoring, word.packed, strict=True):
            (one.leave if leaving else one.take_up)(word.share, packed)
    return KeywordScores(scoring, most)


def _rarest_first(terms: Sequence[str], segments: Sequence[Postings], rows: int) -> list[_Word]:
    found = [tuple(postings.packed(term) for postings in segments) for term in terms]
    weights = [_rarity(sum(map(len, packed)), rows) for packed in found]
    total = sum(weights)
    words = [_Word(weight / total, packed) for weight, packed in zip(weights, found, strict=True)]
    return sorted(words, key=lambda word: -word.share)


def _rarity(holding: int, rows: int) -> float:
    return math.log(1 + (rows - holding + 0.5) / (holding + 0.5))


def _may_be_left(segments: Sequence[_Scoring], words: Sequence[_Word], most: int) -> bool:
    """Whether no other row could come up with these words alone, and looking them up where it matters costs less."""
    bar, share = _bar(segments, most) - ROUNDING, sum(word.share for word in words)
    if bar <= share:
        return False
    looked_up = sum(one.count_from(bar - share) for one in segments) * len(words)
    return looked_up * LOOK_UP < sum(word.places for word in words)


def _bar(segments: Iterable[_Scoring], most: int) -> float:
    """What the best `most` rows reach at least, with the words taken up so far; zero where fewer hold any."""
    maxima = np.concatenate([one.maxima() for one in segments] or [np.empty(0, np.float32)])
    if len(maxima) < most:
        return 0.0
    return float(np.partition(maxima, len(maxima) - most)[len(maxima) - most])
