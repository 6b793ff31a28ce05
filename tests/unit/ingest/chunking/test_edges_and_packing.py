"""`auto` cuts where a reader would, and nowhere else if it can be helped."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.chunking.chunk import Chunk, ChunkLimits
from ingest.chunking.edges import AFTER_HEADING, BLOCK, SECTION, SENTENCE, Edges, Sizes, find_edges
from ingest.chunking.packing import ALONE, HEADING_INSIDE, pack
from ingest.chunking.split import USUAL, WANTED_TOKENS, split
from ingest.document import Block, Document, PlaceKind
from tests.support.outlines import (
    CODE,
    HEADING,
    LIST_ITEM,
    NOTES,
    PARAGRAPH,
    TABLE_ROW,
    Part,
    document,
    sentences,
    words,
)
from tests.support.tokenizers import tokenizer

MOST_USUAL = int(WANTED_TOKENS * USUAL)
H1, H2 = Block(0, 0, level=1), Block(0, 0, level=2)


def auto(of: Document) -> tuple[Chunk, ...]:
    return split(of, ChunkLimits(), tokenizer())


def texts(of: Document) -> list[str]:
    return [chunk.text for chunk in auto(of)]


def test_small_documents_are_one_chunk() -> None:
    assert texts(document([(HEADING, "Title", H1), (PARAGRAPH, "A line."), (LIST_ITEM, "- a point")])) == [
        "Title\n\nA line.\n\n- a point"
    ]


def test_text_without_blocks_is_packed_all_the_same() -> None:
    chunks = auto(Document(sentences(60), (), "text/plain"))
    assert all(chunk.text.endswith(".") for chunk in chunks)
    assert all(chunk.text.startswith("The") for chunk in chunks)


def test_chunks_end_with_sentences_and_keep_near_the_size_wanted() -> None:
    chunks = auto(document([(PARAGRAPH, sentences(200))]))
    assert all(WANTED_TOKENS / 2 <= chunk.tokens <= MOST_USUAL for chunk in chunks)
    assert all(chunk.text.endswith("word.") for chunk in chunks)


def test_paragraphs_are_preferred_to_sentences() -> None:
    paragraphs = [sentences(13) for _ in range(12)]
    assert all(chunk in paragraphs for chunk in texts(document([(PARAGRAPH, each) for each in paragraphs])))


def test_sections_that_can_stand_alone_never_share_a_chunk() -> None:
    parts = [
        (HEADING, f"Section {number}", H1) if part == 0 else (PARAGRAPH, sentences(8))
        for number in range(6)
        for part in (0, 1)
    ]
    chunks = texts(document(parts))
    assert [chunk.split("\n")[0] for chunk in chunks] == [f"Section {number}" for number in range(6)]


def test_sections_too_small_to_stand_alone_share_a_chunk() -> None:
    parts = [
        (HEADING, f"Section {number}", H1) if part == 0 else (PARAGRAPH, words(20))
        for number in range(9)
        for part in (0, 1)
    ]
    chunks = texts(document(parts))
    assert len(chunks) < 3
    assert all(chunk.startswith("Section") for chunk in chunks)


def test_a_heading_stays_with_what_follows_it() -> None:
    for before in range(5, 40):
        chunks = texts(
            document(
                [
                    (PARAGRAPH, sentences(before)),
                    (HEADING, "First", H1),
                    (HEADING, "Second", H2),
                    (PARAGRAPH, sentences(20)),
                ]
            )
        )
        (holding,) = [chunk for chunk in chunks if "First" in chunk]
        assert "First\n\nSecond\n\nThe word" in holding


def test_a_document_of_nothing_but_headings_is_cut_between_them() -> None:
    chunks = auto(document([(HEADING, f"Heading number {number}", H1) for number in range(400)]))
    assert all(chunk.text.startswith("Heading") and chunk.tokens <= MOST_USUAL for chunk in chunks)


def test_slides_are_sections_and_keep_their_notes() -> None:
    parts = [
        part
        for slide in range(1, 6)
        for part in (
            (PARAGRAPH, sentences(7), Block(0, 0, place=slide)),
            (NOTES, sentences(3), Block(0, 0, place=slide)),
        )
    ]
    chunks = auto(document(parts, place_kind=PlaceKind.SLIDE))
    assert [chunk.place for chunk in chunks] == [1, 2, 3, 4, 5]


def test_table_rows_stay_whole_and_carry_their_header() -> None:
    row = "| " + " | ".join(f"value {column}" for column in range(20)) + " |"
    header = "| " + " | ".join(f"column {column}" for column in range(20)) + " |"
    rows: list[Part] = [(TABLE_ROW, header), *((TABLE_ROW, row, Block(0, 0, table_header=header)) for _ in range(40))]
    chunks = auto(document(rows, between="\n"))
    assert len(chunks) > 5
    assert chunks[0].text.startswith(header + "\n" + row)
    assert chunks[0].table_header == ""
    for chunk in chunks[1:]:
        assert set(chunk.text.split("\n")) == {row}
        assert chunk.table_header == header
        assert chunk.text_to_embed == f"{header}\n{chunk.text}"
        assert chunk.text_to_index == chunk.text


def test_a_header_row_is_not_left_alone() -> None:
    row = "| " + "value " * 150 + "|"
    parts: list[Part] = [
        (PARAGRAPH, sentences(14)),
        (TABLE_ROW, "| a | b |"),
        (TABLE_ROW, row, Block(0, 0, table_header="| a | b |")),
    ]
    assert texts(document(parts))[-1].startswith("| a | b |\n\n| value")


@pytest.mark.parametrize("tokens", [300, 500, 780])
def test_a_row_longer_than_usual_stays_whole_up_to_the_limit(tokens: int) -> None:
    row = words(tokens)
    assert row in texts(document([(PARAGRAPH, sentences(9)), (TABLE_ROW, row), (PARAGRAPH, sentences(9))]))


def test_a_row_longer_than_the_limit_is_cut() -> None:
    chunks = auto(document([(TABLE_ROW, words(3_000))]))
    assert all(chunk.tokens <= MOST_USUAL for chunk in chunks)


def test_code_that_fits_stays_whole() -> None:
    code = "def f():\n" + "    x = compute(x) + 1\n\n" * 38 + "    return x"
    assert MOST_USUAL < tokenizer().count(code) <= 2 * WANTED_TOKENS
    assert code in texts(document([(PARAGRAPH, sentences(9)), (CODE, code), (PARAGRAPH, sentences(9))]))


def test_long_code_is_cut_between_lines_where_indentation_is_least() -> None:
    body = "".join("    if x:\n        x = compute(x) + 1\n        y = f(x)\n" for _ in range(5))
    code = "\n".join(f"def function_{number}():\n{body}    return x\n" for number in range(30))
    chunks = texts(document([(CODE, code)]))
    assert len(chunks) > 5
    assert all(chunk.startswith("def function_") for chunk in chunks)


def test_a_closing_bracket_does_not_begin_a_chunk() -> None:
    code = "\n".join("call(\n" + "    argument_one,\n" * 30 + ")" for _ in range(30))
    assert not any(chunk.startswith(")") for chunk in texts(document([(CODE, code)])))


def test_what_is_introduced_by_a_colon_stays_with_its_introduction() -> None:
    parts = [(PARAGRAPH, sentences(12)), (PARAGRAPH, words(12)[:-1] + " as follows:"), (LIST_ITEM, "- " + sentences(4))]
    chunks = texts(document(parts))
    assert not any(chunk.endswith("as follows:") for chunk in chunks)


def test_lines_wrapped_within_sentences_are_no_places_to_cut() -> None:
    sentence = "This sentence is wrapped by hand\nafter some words and then it\ngoes on to the next line."
    chunks = texts(document([(PARAGRAPH, "\n".join([sentence] * 60))]))
    assert len(chunks) > 3
    assert all(chunk.endswith("line.") for chunk in chunks)


@pytest.mark.parametrize(
    "text",
    [
        "word " * 3_000,
        "คำภาษาไทย" * 700,
        "漢字仮名交じり文" * 500,
        "x" * 20_000,
        "👨‍👩‍👧" * 800,
        "a,b;c:" * 2_000,
        "e\u0301\u0323" * 3_000,
        "\u0301" * 5_000,
    ],
    ids=["words", "Thai", "Japanese", "one word", "families", "clauses", "accents", "only accents"],
)
def test_text_without_sentences_is_cut_into_usual_sizes(text: str) -> None:
    chunks = auto(Document(text, (), "text/plain"))
    assert all(chunk.tokens <= 1.1 * MOST_USUAL for chunk in chunks)
    assert sum(chunk.tokens for chunk in chunks) / len(chunks) > WANTED_TOKENS / 2


def test_families_of_emoji_are_not_parted() -> None:
    assert all(
        chunk.startswith("👨") and chunk.endswith("👧") for chunk in texts(document([(PARAGRAPH, "👨‍👩‍👧" * 800)]))
    )


def test_a_smaller_limit_makes_smaller_chunks() -> None:
    chunks = split(document([(PARAGRAPH, sentences(100))]), ChunkLimits("auto", 100), tokenizer())
    assert all(40 <= chunk.tokens <= 100 for chunk in chunks)


def test_repeated_context_is_bounded() -> None:
    path = tuple(f"{level} " + "x" * 5_000 for level in range(30))
    row = (TABLE_ROW, words(50), Block(0, 0, heading_path=path, table_header="y" * 100_000))
    (chunk,) = auto(document([row], title="t" * 9_999))
    assert len(chunk.context) < 2_000
    assert len(chunk.table_header) <= 1_000
    assert chunk.heading_path[-1].startswith("29 x")


SIZES = Sizes(20, 30, 80)


@st.composite
def some_edges(draw: st.DrawFn) -> Edges:
    steps = draw(st.lists(st.integers(1, 12), min_size=1, max_size=10))
    prices = draw(
        st.lists(st.sampled_from([SECTION, BLOCK, SENTENCE, AFTER_HEADING]), min_size=len(steps), max_size=len(steps))
    )
    tokens = np.cumsum([0, *steps])
    return Edges(tokens * 4, tokens, np.array([SECTION, *prices[:-1], SECTION]))


def between_long_sections(edges: Edges) -> set[int]:
    begins = [at for at, price in enumerate(edges.price) if price == SECTION]
    sizes = [int(edges.tokens[after] - edges.tokens[before]) for before, after in pairwise(begins)]
    return {
        at
        for at, (before, after) in zip(begins[1:], pairwise(sizes), strict=False)
        if min(before, after) >= SIZES.wanted * ALONE
    }


def cost(edges: Edges, cuts: tuple[int, ...]) -> float:
    """What packing.py says it minimises, added up one chunk at a time; infinite where a rule is broken."""
    total = 0.0
    for start, end in pairwise(cuts):
        size = int(edges.tokens[end] - edges.tokens[start])
        inside = [int(edges.tokens[at]) for at in range(start + 1, end) if edges.price[at] == SECTION]
        alone = SIZES.wanted * ALONE
        shared = any(at - edges.tokens[start] >= alone and edges.tokens[end] - at >= alone for at in inside)
        walls = any(wall in range(start + 1, end) for wall in between_long_sections(edges))
        shared = shared or walls
        with_headings = size <= SIZES.most and all(edges.price[at] == AFTER_HEADING for at in range(start + 1, end))
        if (size > SIZES.usual or shared) and end - start > 1 and not with_headings:
            return float("inf")
        total += (size / SIZES.wanted - 1) ** 2 + HEADING_INSIDE * len(inside) + float(edges.price[end])
    return total


@settings(max_examples=150, deadline=None)
@given(edges=some_edges())
def test_no_other_way_to_cut_is_cheaper(edges: Edges) -> None:
    last = len(edges.at) - 1
    ways = [(0, *(at for at in range(1, last) if chosen >> at & 1), last) for chosen in range(0, 2**last, 2)]
    found = tuple(pack(edges, SIZES))
    assert cost(edges, found) == pytest.approx(min(cost(edges, way) for way in ways))


def test_neighbouring_edges_are_never_far_apart() -> None:
    of = document([(PARAGRAPH, words(2_000)), (CODE, "x = 1 " * 2_000), (PARAGRAPH, "x" * 9_000)])
    sizes = Sizes(200, 260, 800)
    edges = find_edges(of, tokenizer().tokenize(of.text), sizes)
    assert (edges.at[0], edges.at[-1]) == (0, len(of.text))
    assert np.all(np.diff(edges.at) > 0)
    assert np.diff(edges.tokens).max() <= sizes.wanted // 2
