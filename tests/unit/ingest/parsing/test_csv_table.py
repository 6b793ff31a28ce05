from contextlib import suppress

import pytest

from ingest.document import BlockKind, Document
from ingest.errors import DocumentTooLarge, EmptyDocument
from ingest.parsing.csv_table import parse_csv, parse_tsv
from ingest.parsing.limits import Limits


def read(text: str) -> Document:
    return parse_csv(text.encode(), Limits())


def rows(document: Document) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks]


def test_each_row_is_a_block_that_knows_the_header() -> None:
    document = read("name,age\nAnn,3\nBob,4\n")
    assert rows(document) == ["name,age", "Ann,3", "Bob,4"]
    assert [block.table_header for block in document.blocks] == ["", "name,age", "name,age"]
    assert {block.kind for block in document.blocks} == {BlockKind.TABLE_ROW}


def test_line_breaks_inside_quotation_marks_end_no_row() -> None:
    assert rows(read('a,b\r\n1,"x\r\ny, ""z"""\r\n\r\n2,w')) == ["a,b", '1,"x\r\ny, ""z"""', "2,w"]


def test_a_stray_quotation_mark_costs_its_field_only() -> None:
    assert rows(read('a,b\n1,"never closed\n2,6" pipe\n"3,4\n')) == ["a,b", '1,"never closed', '2,6" pipe', '"3,4']


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter: str) -> None:
    document = read(delimiter.join("abc") + "\n" + delimiter.join(("1,5", "x", "y")).replace(",5", ".5") + "\n")
    assert document.blocks[1].table_header == delimiter.join("abc")


def test_decimal_commas_do_not_hide_semicolons() -> None:
    assert rows(read('n;v\n"A;B";1,5\nC;2,5\n'))[1] == '"A;B";1,5'


def test_rows_of_data_have_no_header() -> None:
    assert [block.table_header for block in read("1,2\n3,4\n").blocks] == ["", ""]
    assert [block.table_header for block in read("Ann,Ann\nBob,Eve\n").blocks] == ["", ""]
    assert [block.table_header for block in read("2024-01-02,x\n2024-01-03,y\n").blocks] == ["", ""]


def test_a_title_above_the_table_is_no_header() -> None:
    document = read("Report of May\n\nname,age\nAnn,3\nBob,4\n")
    assert document.blocks[0].kind is BlockKind.PARAGRAPH
    assert [block.table_header for block in document.blocks] == ["", "", "name,age", "name,age"]


def test_ragged_rows_are_rows() -> None:
    assert rows(read("a,b,c\n1\n1,2,3,4\n,,\n5,6,7\n")) == ["a,b,c", "1", "1,2,3,4", ",,", "5,6,7"]


def test_tabs_alone_separate_a_tsv() -> None:
    document = parse_tsv(b"name\tnote\nAnn\ta, b, c\n", Limits())
    assert document.blocks[1].table_header == "name\tnote"


def test_carriage_returns_alone_end_rows() -> None:
    assert rows(read("a,b\r1,2\r")) == ["a,b", "1,2"]


@pytest.mark.parametrize("row", [",".join(f"c{n}" for n in range(1_000_000)), "," * 1_000_000, '"a",' * 50_000])
def test_a_row_of_too_many_columns_is_refused(row: str) -> None:
    with pytest.raises(DocumentTooLarge, match="columns"):
        read(row + "\n1,2\n")


def test_delimiters_inside_one_field_are_no_columns() -> None:
    assert len(read('a,b\n1,"' + "," * 50_000 + '"\n').blocks) == 2


@pytest.mark.parametrize("field", ['"', '""', '"a', '""",', ',"', 'a"b"', '" "', '"\n"'])
def test_quotation_marks_without_end_take_no_quadratic_time(field: str) -> None:
    with suppress(DocumentTooLarge):  # of some of them, columns are made
        assert read("x,y\n" + field * 300_000).blocks


def test_nothing_in_it_is_an_empty_document() -> None:
    with pytest.raises(EmptyDocument):
        read(" \n\n")
