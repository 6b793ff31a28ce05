"""What a reader takes for one character is split only where nothing else is left."""

import pytest

from ingest.chunking.characters import splits_a_character


@pytest.mark.parametrize(
    "character",
    ["e\u0301", "👨‍👩‍👧", "👍🏽", "🇩🇪", "❤\ufe0f", "नि", "\r\n", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "ก็"],
    ids=["accent", "family", "skin tone", "flag", "variation", "vowel sign", "line end", "tags", "Thai mark"],
)
def test_no_place_inside_one_character_is_an_edge(character: str) -> None:
    text = f"a{character}b"
    assert [at for at in range(len(text) + 1) if not splits_a_character(text, at)] == [
        0,
        1,
        1 + len(character),
        2 + len(character),
    ]


def test_two_flags_part_between_the_flags() -> None:
    flags = "🇩🇪🇫🇷🇯🇵"
    assert [at for at in range(7) if not splits_a_character(flags, at)] == [0, 2, 4, 6]


def test_a_run_of_flags_is_judged_without_reading_it_all() -> None:
    endless = "🇩" * 200_000
    assert not splits_a_character(endless, 150_000)
