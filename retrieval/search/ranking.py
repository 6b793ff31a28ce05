"""From two kinds of scores to one order: fuse, rerank, threshold. Pure.

Every score is absolute, 0..1: it does not depend on what else was found, so a threshold keeps its meaning. The
rerank looks at the words of the best candidates as a reader would: how many of the question's words are there,
and how many of its neighbouring pairs stand close together.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CANDIDATES_EACH = 200  # taken from each side before fusing
RERANKED_AT_LEAST = 50
RERANK_WEIGHT = 0.2
MOST_PLACES = 20  # of one word in one text
CLOSE_CHARACTERS = 80
CLOSE_WORDS = 3  # neighbours in the question this near in the text count as together

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Rows that either side put forward, each with the scores of both sides. `rows` are (segment, row) pairs."""

    segments: NDArray[np.int64]
    rows: NDArray[np.int64]
    vector: Scores
    keyword: Scores

    def __len__(self) -> int:
        return len(self.rows)


def fuse(candidates: Candidates, vector_weight: float, keyword_weight: float) -> Scores:
    """The weighted mean of both scores; a negative cosine counts as nothing in common."""
    total = vector_weight + keyword_weight
    fused: Scores = np.clip(candidates.vector, 0, 1) * np.float32(vector_weight / total)
    fused += candidates.keyword * np.float32(keyword_weight / total)
    return fused


def order(scores: Scores, candidates: Candidates, most: int) -> NDArray[np.int64]:
    """Places of the best `most`, best first; equal scores keep the store's own order, so that pages are stable."""
    return np.lexsort((candidates.rows, candidates.segments, -scores))[:most]


class Rereader:
    """Scores texts by the presence and the nearness of one question's words."""

    def __init__(self, words: Sequence[str]) -> None:
        """`words`: the question's distinct words in order, as stems that a word of the text begins with."""
        self._words = [_Word(word, not word.isascii()) for word in words]

    def score(self, text: str) -> float:
        """0..1: half for the share of words present, half for the share of neighbours found close together."""
        if not self._words:
            return 0.0
        folded = text.casefold()
        find = folded.find
        # Most words are in few of the texts, and a text is looked at for each: the first look is all that is spent.
        firsts = [at if (at := find(word[0])) <= 0 else _beginning(word, folded, at) for word in self._words]
        share = sum(at >= 0 for at in firsts) / len(firsts)
        if len(firsts) == 1:
            return share
        return (share + self._together(firsts, folded) / (len(firsts) - 1)) / 2

    def _together(self, firsts: Sequence[int], folded: str) -> int:
        """How many neighbours stand close together: only where both are present is either looked for again."""
        together, left, left_at = 0, None, -1
        for number, (one, other) in enumerate(pairwise(firsts)):
            if one < 0 or other < 0:
                continue
            if left is None or left_at != number:
                left = _places(self._words[number], folded, one)
            right = _places(self._words[number + 1], folded, other)
            together += _close(left, right, folded)
            left, left_at = right, number + 1
        return together


class _Word(NamedTuple):
    stem: str
    anywhere: bool  # scripts without spaces have no word beginnings to hold on to


def _beginning(word: _Word, text: str, at: int) -> int:
    """Where a word of the text begins with `word`, from `at` on, where it stands; -1: nowhere."""
    stem, anywhere = word
    while at > 0 and not anywhere and text[at - 1].isalnum():
        at = text.find(stem, at + 1)
    return at


def _places(word: _Word, text: str, first: int) -> Sequence[int]:
    """Where words of the text begin with `word`, as at `first`; a few are enough."""
    places = [first]
    while len(places) < MOST_PLACES and (at := text.find(word.stem, places[-1] + 1)) >= 0:
        if (at := _beginning(word, text, at)) < 0:
            break
        places.append(at)
    return places


def _close(left: Sequence[int], right: Sequence[int], text: str) -> bool:
    """Whether some two of these places, both ascending, have at most CLOSE_WORDS words between them."""
    for one in left:
        for other in right[bisect_left(right, one - CLOSE_CHARACTERS) :]:
            if other > one + CLOSE_CHARACTERS:
                break
            if len(text[min(one, other) : max(one, other)].split()) <= CLOSE_WORDS:
                return True
    return False


def reranked(fused: float, reading: float) -> float:
    return (1 - RERANK_WEIGHT) * fused + RERANK_WEIGHT * reading
