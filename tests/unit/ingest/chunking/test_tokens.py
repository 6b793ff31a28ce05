"""Tokens are the genuine ones, whatever the text quotes, however long it is, and wherever it is cut."""

import tracemalloc
from itertools import pairwise
from pathlib import Path
from unittest import mock

import pytest
import tiktoken_ext.openai_public as published

from ingest.chunking import tokens
from ingest.chunking.seams import PIECE_CHARACTERS, pieces, seam_before, seam_from
from ingest.chunking.tokens import ENCODINGS, EncodingName, Tokenizer, TokenTableDamaged
from ingest.errors import DocumentTooLarge
from tests.support.tokenizers import genuine, recount, short_pieces, tokenizer

NAMES: list[EncodingName] = ["cl100k_base", "o200k_base"]
PROSE = "The quick brown fox — naïve, 東京 and 🦊 — jumps over 1,234.5 lazy dogs.\n\n"


@pytest.mark.parametrize("name", NAMES)
def test_an_encoding_is_what_its_publisher_defines(name: EncodingName) -> None:
    with mock.patch.object(published, "load_tiktoken_bpe", return_value={}) as load:
        definition = getattr(published, name)()
    assert definition["pat_str"] == ENCODINGS[name].pattern
    assert load.call_args.kwargs["expected_hash"] == ENCODINGS[name].sha256
    assert definition["special_tokens"]["<|endoftext|>"] == ENCODINGS[name].end_of_text


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_the_genuine_ones_over_many_pieces(name: EncodingName) -> None:
    text = PROSE * 3_000
    assert len(text) > 3 * PIECE_CHARACTERS
    assert tokenizer(name).count(text) == len(tokenizer(name).tokenize(text)) == recount(text, name)


def test_opening_needs_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("opened a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    assert Tokenizer().count("no network") == 2


def test_a_damaged_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ENCODINGS, "cl100k_base", tokens.EncodingSpec("0" * 64, r"\w+", 1))
    with pytest.raises(TokenTableDamaged, match=r"cl100k_base\.tiktoken\.xz"):
        Tokenizer()


def test_special_tokens_are_ordinary_text() -> None:
    quoted = "ends with <|endoftext|> and <|fim_prefix|>"
    assert tokenizer().count(quoted) == recount(quoted) > 10


def test_no_text_has_no_tokens() -> None:
    assert tokenizer().count("") == 0
    assert len(tokenizer().tokenize("")) == 0


def test_lone_surrogates_count_as_the_replacement_character() -> None:
    broken, mended = "a\ud800b\udfffc", "a\ufffdb\ufffdc"
    assert tokenizer().count(broken) == recount(mended)
    assert tokenizer().tokenize(broken).starts.tolist() == tokenizer().tokenize(mended).starts.tolist()
    assert tokenizer().tokenize(broken).count(1, 4) == recount(mended[1:4])


def test_a_character_of_several_tokens_is_never_split() -> None:
    text = "𠀀𠀁"
    located = tokenizer().tokenize(text)
    assert len(located) > 2
    assert located.starts.tolist()[:2] == [0, 1]  # inside the first character, the next cut lies behind it
    assert located.whole.tolist()[:2] == [True, False]
    assert {text[start:] for start in located.starts.tolist()} == {"𠀀𠀁", "𠀁", ""}


def test_decoding_gives_the_text_back_and_refuses_unknown_ids() -> None:
    ids = genuine().encode_ordinary(PROSE)
    assert tokenizer().decode(ids) == PROSE
    for unknown in (-1, 100_256, 100_257, 10**9):
        with pytest.raises(ValueError, match=str(unknown)):
            tokenizer().decode([*ids, unknown])


def test_counting_stops_early_when_told_how_many_matter() -> None:
    assert tokenizer().count("word " * 100, most=1_000) == 101
    assert 1_000 < tokenizer().count("word " * 1_000_000, most=1_000) < 20_000


def test_a_document_above_the_limit_is_refused_before_it_is_read_to_the_end() -> None:
    text = "word " * 4_000_000
    tracemalloc.start()
    try:
        with pytest.raises(DocumentTooLarge, match=r"more than 5,000 tokens"):
            tokenizer().tokenize(text, most=5_000)
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert len(tokenizer().tokenize("word " * 4_999, most=5_000)) == 5_000


@pytest.mark.parametrize("run", ["a", " ", "\n", "=", "0", "é", "中", "\u0301", "👍"])
def test_an_endless_run_is_cut_by_force_and_still_counted_well(run: str) -> None:
    text = "x " + run * (2 * PIECE_CHARACTERS + 100)
    located = tokenizer().tokenize(text)
    assert len(located.forced) >= 1
    assert abs(len(located) - recount(text)) <= 8 * len(located.forced)
    assert located.count(0, len(text)) == recount(text)


def test_pieces_cover_the_text_and_any_two_neighbours_are_long() -> None:
    text = ("word " * 7 + "x" * 90) * 5
    spans = list(pieces(text, 40))
    assert "".join(text[start:end] for start, end, _ in spans) == text
    for (start, _, _), (_, end, _) in pairwise(spans[:-1]):
        assert end - start > 40
    assert {forced for _, _, forced in spans} == {True, False}


def test_forced_cuts_do_not_change_what_a_slice_counts() -> None:
    text = "abcdefghij" * 12 + " then words"
    located = short_pieces().tokenize(text)
    assert located.forced
    for start, end in ((0, 60), (5, 100), (0, len(text)), (110, len(text))):
        assert located.count(start, end) == recount(text[start:end])


@pytest.mark.parametrize(
    ("text", "seams"),
    [
        ("one two", [3]),
        ("one  two", [3]),  # the second space belongs to the word
        ("one\ntwo", [4]),
        ("one\n\n two", []),  # the line feeds may share a token with the spaces
        ("it's", []),
        ("well, yes", [4, 5]),
        ("你好。再见", [2]),
        ("a\n/b", []),
        ("snake_case", []),
    ],
)
def test_seams_are_where_no_token_can_reach_over(text: str, seams: list[int]) -> None:
    found, at = [], 1
    while (seam := seam_from(text, at, len(text) - 1)) is not None:
        found.append(seam)
        at = seam + 1
    assert found == seams
    assert seam_before(text, 1, len(text) - 1) == (seams[-1] if seams else None)


def test_the_last_seam_is_found_however_far_back() -> None:
    text = "first " + "x" * 50_000
    assert seam_before(text, 0, len(text)) == 5
    assert seam_before(text, 6, len(text)) is None


def test_both_tables_ship_with_the_package() -> None:
    folder = Path(tokens.__file__).parent
    assert sorted(path.name for path in folder.glob("*.xz")) == [f"{name}.tiktoken.xz" for name in sorted(NAMES)]
