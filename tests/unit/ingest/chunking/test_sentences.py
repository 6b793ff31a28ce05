"""Sentences, in any script, without being fooled by the other uses of a full stop."""

from itertools import pairwise

import pytest

from ingest.chunking.sentences import has_capitals, sentence_starts


def sentences(text: str) -> list[str]:
    edges = [0, *sentence_starts(text), len(text)]
    return [text[start:end].strip() for start, end in pairwise(edges)]


@pytest.mark.parametrize(
    "expected",
    [
        ["One here.", "Two there!", "Three?", "Four…", "Five"],
        ["Dr. Smith met Prof. J. R. Jones in the U.S. Senate.", "They talked."],
        ["It costs 3.14 dollars, e.g. at approx. noon.", "See Fig. 3 and pp. 4 there.", "No. 5 is out."],
        ['He said "No!"', "Then he left.)", "Gone."],
        ["Use file.txt or example.com/a.b now.", "Done."],
        ["他说：“好。”", "然后走了！", "再见。"],
        ["これは文です。", "次の文？", "「はい。」", "終わり"],
        ["هل هذا صحيح؟", "نعم۔", "انتهى"],
        ["यह एक वाक्य है।", "यह दूसरा है।"],
        ["the whole is in lower case.", "like some reports.", "nothing helps."],
        ["It moved. . . slowly, approx. so."],
        ["ไทยไม่มีจุด แต่มีช่องว่าง"],
    ],
)
def test_sentences_are_told_apart(expected: list[str]) -> None:
    spaced = " " if expected[0].isascii() or " " in "".join(expected) else ""
    assert sentences(spaced.join(expected)) == expected


def test_the_numbers_of_a_list_belong_to_their_items() -> None:
    assert sentences("Steps:\n1. Open it.\n2. Close it.") == ["Steps:\n1. Open it.", "2. Close it."]


def test_a_year_may_end_a_sentence() -> None:
    assert sentences("That was in 2019. Then it ended.") == ["That was in 2019.", "Then it ended."]


def test_only_the_part_asked_for_is_searched() -> None:
    text = "One. Two. Three. Four."
    assert sentence_starts(text) == [5, 10, 17]
    assert sentence_starts(text, 5, 17) == [10]
    assert sentence_starts(text, 0, 5) == []


def test_capitals_are_judged_by_letters_that_have_a_case() -> None:
    assert has_capitals("中文没有大小写")
    assert has_capitals("Ordinary Text")
    assert not has_capitals("no capitals anywhere 123 中文")


def test_long_runs_of_stops_take_one_step() -> None:
    assert sentence_starts("." * 100_000) == []
    assert sentence_starts("!" * 100_000 + " x") == [100_001]
    assert sentence_starts("。" * 100_000) == []
