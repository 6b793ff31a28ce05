"""Windows of long texts: complete, within bounds, at sentences, shared by overlapping chunks."""

import re
import time

import numpy as np
import pytest

from ingest.embedding.windows import WindowLimits, pool, split

LIMITS = WindowLimits(whole_tokens=60, most_tokens=50, calm_tokens=12)


def words(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


def prose(sentences: int) -> str:
    return " ".join(f"Sentence {number} speaks of thing {number * 7919 % 1000}." for number in range(sentences))


def test_a_text_that_can_be_read_whole_stays_whole() -> None:
    text = prose(5)
    assert split(text, words(text), LIMITS) == [text]


def test_windows_joined_are_the_text_and_none_is_too_long() -> None:
    text = prose(200)
    windows = split(text, words(text), LIMITS)
    assert "".join(windows) == text
    assert max(len(words(window)) for window in windows) <= LIMITS.most_tokens


def test_windows_end_where_sentences_end() -> None:
    text = prose(200)
    assert all(window.endswith(". ") for window in split(text, words(text), LIMITS)[:-1])


def test_overlapping_chunks_share_the_windows_inside_their_overlap() -> None:
    text = prose(400)
    spans = words(text)
    chunks = [text[spans[start][0] : spans[start + 399][1]] for start in (0, 200)]
    first, second = (split(chunk, words(chunk), LIMITS) for chunk in chunks)
    shared = set(first) & set(second)
    assert sum(len(words(window)) for window in shared) > 120  # of 200 that overlap


def test_a_text_without_sentences_is_cut_between_words() -> None:
    text = "word " * 500
    windows = split(text, words(text), LIMITS)
    assert "".join(windows) == text
    assert all(window.endswith(" ") for window in windows)
    assert max(len(words(window)) for window in windows) <= LIMITS.most_tokens


def test_one_endless_word_is_cut_all_the_same() -> None:
    text = "!" * 500
    windows = split(text, words(text), LIMITS)
    assert "".join(windows) == text
    assert max(map(len, windows)) <= LIMITS.most_tokens


def test_sentences_of_scripts_without_spaces_are_seen() -> None:
    text = "これは文章です。" * 40
    spans = [(at, at + 1) for at in range(len(text))]
    assert all(window.endswith("。") for window in split(text, spans, LIMITS))


@pytest.mark.parametrize("text", ["." * 300_000, "\n" * 300_000, ". " * 150_000, '."' * 150_000, "。」" * 150_000])
def test_marks_without_end_take_linear_time(text: str) -> None:
    spans = [(at, at + 1) for at in range(0, len(text), 1000)]
    began = time.process_time()
    assert "".join(split(text, spans, LIMITS)) == text
    assert time.process_time() - began < 20  # quadratic would take hours


def test_pooling_counts_each_window_by_its_tokens() -> None:
    pooled = pool(np.eye(2, dtype=np.float32), [3, 4])
    np.testing.assert_allclose(pooled, [0.6, 0.8], atol=1e-7)
    assert pooled.dtype == np.float32


def test_windows_that_cancel_out_still_give_a_unit_row() -> None:
    pooled = pool(np.array([[1, 0], [-1, 0]], dtype=np.float32), [5, 5])
    assert np.linalg.norm(pooled) == pytest.approx(1.0)


@pytest.mark.parametrize("readable", [8, 64, 254, 512, 513, 8190])
def test_limits_of_any_model_let_it_read_every_window(readable: int) -> None:
    limits = WindowLimits.of_model(readable)
    assert 1 <= limits.most_tokens <= limits.whole_tokens == readable
    assert limits.calm_tokens * 2 < limits.most_tokens
