"""`static` gives the numbers that were asked for."""

from itertools import pairwise

import pytest

from ingest.chunking.characters import splits_a_character
from ingest.chunking.chunk import Chunk, ChunkLimits
from ingest.chunking.split import split
from ingest.document import Block, BlockKind, Document
from tests.support.tokenizers import genuine, recount, tokenizer

PROSE = "".join(f"Sentence number {number} speaks of things, of people and of places. " for number in range(400))


def windows(text: str, most: int, overlap: int) -> tuple[Chunk, ...]:
    return split(Document(text, (), "text/plain"), ChunkLimits("static", most, overlap), tokenizer())


@pytest.mark.parametrize(("most", "overlap"), [(800, 400), (100, 0), (100, 50), (4096, 2048), (333, 71)])
def test_windows_are_the_slices_of_the_genuine_tokens(most: int, overlap: int) -> None:
    encoding = genuine()
    ids = encoding.encode_ordinary(PROSE)
    starts = range(0, max(1, len(ids) - overlap), most - overlap)
    expected = [encoding.decode(ids[start : start + most]) for start in starts]
    found = windows(PROSE, most, overlap)
    assert [chunk.text for chunk in found] == [text for text in expected if text.strip()]
    assert all(chunk.tokens == most for chunk in found[:-1])


def test_a_short_document_is_one_window_as_it_stands() -> None:
    (only,) = windows("  two words\n", 800, 400)
    assert (only.text, only.start, only.end) == ("  two words\n", 0, 12)


@pytest.mark.parametrize("text", ["", "   ", "\n\n\t" * 5_000])
def test_blank_documents_have_no_windows(text: str) -> None:
    assert windows(text, 100, 50) == ()


def test_blank_windows_are_left_out() -> None:
    chunks = windows("before" + "\n \t" * 2_000 + "after", 100, 50)
    assert "before" in chunks[0].text
    assert "after" in chunks[-1].text
    assert all(chunk.text.strip() for chunk in chunks)
    assert len(chunks) <= 4


@pytest.mark.parametrize(
    "character", ["𠀀", "👨‍👩‍👧", "e\u0301", "🇩🇪", "हिन्दी "], ids=["rare", "family", "accent", "flag", "vowel sign"]
)
def test_no_window_begins_or_ends_inside_a_character(character: str) -> None:
    text = character * 200
    edges = {at for chunk in windows(text, 101, 50) for at in (chunk.start, chunk.end)}
    assert not [at for at in edges if splits_a_character(text, at)]


def test_a_window_that_counts_more_alone_than_in_its_place_is_shortened() -> None:
    # Three digits make one token; cut off from its first digit, a number groups its digits otherwise.
    text = "".join(f"{number:07d}" for number in range(900))
    chunks = windows(text, 100, 33)
    assert all(chunk.tokens == recount(chunk.text) <= 100 for chunk in chunks)
    assert all(before.end >= after.start for before, after in pairwise(chunks))


def test_a_window_knows_where_it_begins() -> None:
    blocks = (
        Block(0, 6, BlockKind.HEADING, 1, place=1),
        Block(8, 8 + 2_000, place=1, heading_path=("Title",)),
        Block(2_010, 4_010, place=2, heading_path=("Title", "Part")),
    )
    text = "Title\n\n\n" + "word " * 400 + "\n\n" + "more " * 400
    chunks = split(Document(text, blocks, "text/plain", title="Title"), ChunkLimits("static", 200, 0), tokenizer())
    assert [(chunk.place, chunk.heading_path) for chunk in chunks] == [
        (1, ()),
        (1, ("Title",)),
        (1, ("Title",)),
        (2, ("Title", "Part")),
        (2, ("Title", "Part")),
    ]
    assert chunks[3].context == "Title > Part"


@pytest.mark.parametrize(("most", "overlap"), [(99, 0), (4097, 0), (800, 401), (800, -1)])
def test_numbers_outside_the_contract_are_refused(most: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        ChunkLimits("static", most, overlap)
