import pytest

from ingest.document import BlockKind, Document
from ingest.errors import DamagedDocument, EmptyDocument, HostileDocument
from ingest.parsing.limits import Limits
from ingest.parsing.rtf import parse_rtf


def read(body: bytes) -> Document:
    return parse_rtf(rb"{\rtf1\ansi\ansicpg1252\deff0 " + body + b"}", Limits())


def texts(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


def test_paragraphs_and_formatting() -> None:
    assert texts(read(rb"Hello \b bold\b0  world.\par Second\line line.\par")) == [
        "Hello bold world.",
        "Second\nline.",
    ]


def test_what_is_no_text_of_the_body_is_passed_over() -> None:
    body = (
        rb"{\fonttbl{\f0 Times;}}{\colortbl;\red0;}{\stylesheet{\s1 Heading;}}{\*\generator Word;}"
        rb"{\info{\title The Title}{\author Ann}}{\header Page 1}{\pict\pngblip 0a0b}{\*\unknown{\deep x}}body"
    )
    document = read(body)
    assert texts(document) == ["body"]
    assert document.title == "The Title"


def test_characters_of_every_kind() -> None:
    assert (
        read(rb"\'e9t\'e9 \u8364?\u-10179?\u-8704? {\uc2\u945ab}x \endash\emdash \{\\\}~").text == "été €😀 αx –—{\\}~"
    )


def test_the_code_page_of_a_font_counts() -> None:
    body = rb"{\fonttbl{\f0 A;}{\f1\fcharset204 B;}}{\f1 \'cf\'f0\'e8\'e2\'e5\'f2} \'e9"
    assert read(body).text == "Привет é"


def test_headings_by_outline_level() -> None:
    document = read(rb"\pard\outlinelevel0 Top\par\pard\outlinelevel1 Sub\par\pard text\par")
    assert [(block.kind, block.level) for block in document.blocks[:2]] == [
        (BlockKind.HEADING, 1),
        (BlockKind.HEADING, 2),
    ]
    assert document.blocks[2].heading_path == ("Top", "Sub")


def test_tables_become_rows() -> None:
    document = read(rb"\trowd\cellx1\cellx2 Name\cell Age\cell\row\trowd Ann\cell 3\cell\row\pard after\par")
    assert texts(document) == ["Name | Age", "Ann | 3", "after"]
    assert document.blocks[1].table_header == "Name | Age"


def test_list_items() -> None:
    document = read(rb"{\listtext\bullet\tab}one\par{\listtext\bullet\tab}two\par")
    assert [block.kind for block in document.blocks] == [BlockKind.LIST_ITEM, BlockKind.LIST_ITEM]


def test_binary_data_is_jumped_over() -> None:
    assert read(b"a{\\pict\\bin6 {{{{{{}b").text == "ab"


def test_a_cut_off_document_gives_what_it_has_and_says_so() -> None:
    document = parse_rtf(rb"{\rtf1 Hello {\b wor", Limits())
    assert document.text == "Hello wor"
    assert "cut off" in document.warnings[0]
    with pytest.raises(DamagedDocument):
        parse_rtf(rb"{\rtf1 {\fonttbl", Limits())


def test_deep_groups_are_refused() -> None:
    with pytest.raises(HostileDocument):
        read(b"{" * 100_000)


def test_no_text_is_an_empty_document() -> None:
    with pytest.raises(EmptyDocument):
        read(rb"{\pict 00}\par\par")


def test_half_of_a_character_is_replaced() -> None:
    assert read(rb"a\u-10179?b").text == "a�b"
