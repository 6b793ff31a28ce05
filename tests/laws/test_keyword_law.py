"""BM25 over postings equals the textbook formula, and the best k are the best k."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retrieval.index.keyword import LENGTH_WEIGHT, SATURATION, score_keywords
from retrieval.segments.postings import ROW_BITS


@dataclass(frozen=True)
class Rows:
    """Postings counted anew at every question."""

    texts: list[list[str]]

    @property
    def rows(self) -> int:
        return len(self.texts)

    @property
    def lengths(self) -> NDArray[np.uint32]:
        return np.array([len(words) for words in self.texts], np.uint32)

    @property
    def total_length(self) -> int:
        return sum(map(len, self.texts))

    def packed(self, term: str) -> NDArray[np.uint32]:
        counts = [(row, Counter(words)[term]) for row, words in enumerate(self.texts) if term in words]
        return np.array([count << ROW_BITS | row for row, count in counts], np.uint32)


def textbook(terms: list[str], segments: list[Rows]) -> list[list[float]]:
    everything = [words for segment in segments for words in segment.texts]
    average = sum(map(len, everything)) / len(everything)
    holding = {term: sum(term in words for words in everything) for term in terms}
    rarity = {term: math.log(1 + (len(everything) - holding[term] + 0.5) / (holding[term] + 0.5)) for term in terms}
    best = sum(rarity.values()) * (SATURATION + 1)

    def score(words: list[str]) -> float:
        total = 0.0
        for term in terms:
            often = words.count(term)
            norm = SATURATION * (1 - LENGTH_WEIGHT + LENGTH_WEIGHT * len(words) / max(average, 1))
            total += rarity[term] * often * (SATURATION + 1) / (often + norm)
        return total / best

    return [[score(words) for words in segment.texts] for segment in segments]


WORDS = st.sampled_from("abcdefg")
SEGMENTS = st.lists(st.lists(st.lists(WORDS, max_size=12), min_size=1, max_size=20), min_size=1, max_size=4)


@settings(deadline=None)
@given(
    segments=SEGMENTS,
    terms=st.lists(st.sampled_from("abcdexyz"), min_size=1, max_size=5, unique=True),
    k=st.integers(1, 30),
)
def test_scores_are_the_textbooks_and_lie_between_zero_and_one(segments: list, terms: list[str], k: int) -> None:  # type: ignore[type-arg]
    rows = [Rows(texts) for texts in segments]
    expected = textbook(terms, rows)
    found = score_keywords(terms, rows, [None] * len(rows), k)
    for segment, scores in enumerate(expected):
        got = found.at(segment, np.arange(len(scores)))
        assert np.allclose(got, scores, atol=1e-5)
        assert (got >= 0).all()
        assert (got <= 1).all()
    flat = sorted((score for scores in expected for score in scores if score > 0), reverse=True)
    best = sorted((float(score) for _, _, scores in found.best() for score in scores), reverse=True)
    assert np.allclose(best[:k], flat[:k], atol=1e-5)
    assert len(best) >= min(k, len(flat))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), k=st.integers(1, 40), share=st.floats(0, 1))
def test_the_best_of_many_rows_are_found_block_by_block_and_never_outside_the_mask(
    seed: int, k: int, share: float
) -> None:
    chance = np.random.default_rng(seed)
    size = 9000
    texts = [["a"] * int(count) + ["b"] * int(rest) for count, rest in chance.integers(0, 9, (size, 2))]
    mask = chance.random(size) < share
    found = score_keywords(["a"], [Rows(texts)], [mask], k)
    everything = found.at(0, np.arange(size))
    assert not everything[~mask].any()
    best = np.concatenate([scores for _, _, scores in found.best()] or [np.empty(0, np.float32)])
    assert np.array_equal(
        np.sort(best)[::-1][:k], np.sort(everything[everything > 0])[::-1][: min(k, (everything > 0).sum())]
    )


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1), k=st.integers(1, 60), segments=st.integers(1, 4), share=st.sampled_from([0.3, 1.0])
)
def test_words_that_are_left_for_the_best_alone_change_neither_rows_nor_scores(
    seed: int, k: int, segments: int, share: float
) -> None:
    """Rare words and common ones, as a text has them; a scan that takes every word up is the measure."""
    chance = np.random.default_rng(seed)
    words = "abcdefgh"
    weights = [0.004, 0.01, 0.03, 0.5, 0.7, 0.9, 0.95, 0.98]
    texts = [
        [
            [word for word, weight in zip(words, weights, strict=True) for _ in range(_times(chance, weight))]
            for _ in range(int(chance.integers(500, 3000)))
        ]
        for _ in range(segments)
    ]
    masks = [chance.random(len(rows)) < share for rows in texts]
    rows = [Rows(one) for one in texts]
    found = score_keywords(words, rows, masks, k)
    expected = [np.where(mask, scores, 0) for mask, scores in zip(masks, textbook(list(words), rows), strict=True)]
    for segment, scores in enumerate(expected):
        assert np.allclose(found.at(segment, np.arange(len(scores))), scores, atol=1e-5)
    everything = np.sort(np.concatenate(expected))[::-1]
    best = found.best()
    assert np.allclose(np.sort(np.concatenate([scores for *_, scores in best]))[::-1][:k], everything[:k], atol=1e-5)
    for segment, numbers, scores in best:
        assert np.allclose(scores, expected[segment][numbers], atol=1e-5)


def test_rows_without_the_rarest_word_win_where_the_common_ones_say_more() -> None:
    """As long as what is left could bring another row to the front, it is not left."""
    size, k = 9_000, 30
    often, seldom = ["b"] * 9 + ["c"] * 9 + ["d"] * 9, ["a", *["x"] * 110]  # a long row: its word says little
    texts = [seldom if row % 225 == 0 else often if row % 5 < 3 else ["x"] * 10 for row in range(size)]
    found = score_keywords("abcd", [Rows(texts)], [None], k)
    expected = np.array(textbook(list("abcd"), [Rows(texts)])[0])
    [(_, rows, scores)] = found.best()
    assert np.allclose(scores, expected[rows], atol=1e-5)
    assert len(rows) >= k
    assert scores.min() >= np.sort(expected)[-k] - 1e-5


def _times(chance: np.random.Generator, weight: float) -> int:
    return int(chance.geometric(0.5)) if chance.random() < weight else 0
