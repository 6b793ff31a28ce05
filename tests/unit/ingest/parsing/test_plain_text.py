import pytest

from ingest.document import BlockKind, Document
from ingest.errors import EmptyDocument
from ingest.parsing.limits import Limits
from ingest.parsing.text import parse_text


def read(text: str) -> Document:
    return parse_text(text.encode(), Limits())


def blocks_of(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


def test_a_blank_line_ends_a_paragraph() -> None:
    document = read("one\nstill one\n\ntwo\n \t\nthree\n")
    assert blocks_of(document) == ["one\nstill one", "two", "three"]
    assert document.text == "one\nstill one\n\ntwo\n \t\nthree\n"


@pytest.mark.parametrize("ending", ["\r\n", "\r"])
def test_line_ends_of_windows_and_old_macs_are_line_ends(ending: str) -> None:
    document = read(f"one{ending}{ending}two")
    assert blocks_of(document) == ["one", "two"]
    assert document.text == f"one{ending}{ending}two"


def test_lines_with_the_same_bars_are_a_table_with_its_header() -> None:
    document = read("prose | with a bar\n\nname | age\nann | 3\nbob | 4\n\nlast")
    assert [block.kind for block in document.blocks] == [
        BlockKind.PARAGRAPH,
        BlockKind.TABLE_ROW,
        BlockKind.TABLE_ROW,
        BlockKind.TABLE_ROW,
        BlockKind.PARAGRAPH,
    ]
    assert [block.table_header for block in document.blocks] == ["", "", "name | age", "name | age", ""]


def test_lines_with_different_bars_are_prose() -> None:
    assert len(read("a | b\nc | d | e\n").blocks) == 1


@pytest.mark.parametrize("source", [b"", b" \n\t\r\n ", "\u3000\u00a0\n".encode(), b"\xef\xbb\xbf \n"])
def test_nothing_but_white_space_is_an_empty_document(source: bytes) -> None:
    with pytest.raises(EmptyDocument):
        parse_text(source, Limits())


def test_white_space_in_great_numbers_takes_no_quadratic_time() -> None:
    assert len(read("a" + " " * 1_000_000 + "\n" * 1_000_000 + " " * 1_000_000 + "b").blocks) == 2
