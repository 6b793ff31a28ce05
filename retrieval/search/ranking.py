"""From two kinds of scores to one order: fuse, rerank, threshold. Pure.

Every score is absolute, 0..1: it does not depend on what else was found, so a threshold keeps its meaning. The
rerank looks at the words of the best candidates as a reader would: how many of the question's words are there,
and how many of its neighbouring pairs stand close together.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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
        firsts = [at if (at := find(word.stem)) <= 0 else _beginning(word, folded, at) for word in self._words]
        share = (len(firsts) - firsts.count(-1)) / len(firsts)
        if len(firsts) == 1:
            return share
        return (share + self._together(firsts, folded) / (len(firsts) - 1)) / 2

    def _together(self, firsts: Sequence[int], folded: str) -> int:
        """How many neighbours stand close together, where both are present at all."""
        words, count, last = self._words, 0, -1
        for number, first in enumerate(firsts):  # a plain loop: an iterator over pairs takes as long as all finding
            if first >= 0 and last >= 0 and _are_close(words[number - 1], words[number], folded, last, first):
                count += 1
            last = first
        return count


class _Word(NamedTuple):
    stem: str
    anywhere: bool  # scripts without spaces have no word beginnings to hold on to


def _beginning(word: _Word, text: str, at: int) -> int:
    """Where a word of the text begins with `word`, from `at` on, where it stands; -1: nowhere."""
    stem, anywhere = word
    while at > 0 and not anywhere and text[at - 1].isalnum():
        at = text.find(stem, at + 1)
    return at


def _are_close(left: _Word, right: _Word, text: str, one: int, other: int) -> bool:
    """Whether some two of their places, the first of which are given, have at most CLOSE_WORDS words between them.

    Whichever stands first goes on to its next place: so all that are neighbours meet, and no two others are closer.
    """
    left_more = right_more = MOST_PLACES - 1
    while one >= 0 and other >= 0:
        low, high = (one, other) if one < other else (other, one)
        if high - low <= CLOSE_CHARACTERS and len(text[low:high].split()) <= CLOSE_WORDS:
            return True
        if one < other:
            one = _beginning(left, text, text.find(left.stem, one + 1)) if left_more else -1
            left_more -= 1
        else:
            other = _beginning(right, text, text.find(right.stem, other + 1)) if right_more else -1
            right_more -= 1
    return False


def reranked(fused: float, reading: float) -> float:
    return (1 - RERANK_WEIGHT) * fused + RERANK_WEIGHT * reading
