import datetime as dt
import io
import zipfile
from contextlib import suppress
from itertools import pairwise

import openpyxl
import pytest
from openpyxl.cell.rich_text import CellRichText, TextBlock
from openpyxl.cell.text import InlineFont
from openpyxl.utils.datetime import CALENDAR_MAC_1904

from ingest.document import BlockKind, Document, PlaceKind
from ingest.errors import DamagedDocument, DocumentError, DocumentTooLarge, EmptyDocument, HostileDocument
from ingest.parsing.limits import Limits
from ingest.parsing.xlsx import parse_xlsx
from ingest.parsing.xlsx_numbers import Format, read_code
from tests.support.readings import block_with, lawful, text_of, texts

LIMITS = Limits()
SHEET = "xl/worksheets/sheet1.xml"
Value = str | int | float | bool | dt.date | dt.time | dt.timedelta | None


def saved(book: openpyxl.Workbook) -> bytes:
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def with_rows(*rows: list[Value]) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    return book


def read(book: openpyxl.Workbook | bytes) -> Document:
    return lawful(parse_xlsx(book if isinstance(book, bytes) else saved(book), LIMITS))


def with_sheet(rows: str) -> bytes:
    """A workbook whose first sheet holds these rows as XML."""
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    sheet = f'<worksheet xmlns="{namespace}"><sheetData>{rows}</sheetData></worksheet>'
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(with_rows(["a"])))) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            after.writestr(name, sheet if name == SHEET else before.read(name))
    return target.getvalue()


def test_sheets_are_places_and_their_names_headings() -> None:
    book = with_rows(["a", "b"], ["c", "d"])
    book.active.title = "First"
    book.create_sheet("Nothing here")
    book.create_sheet("Third").append(["e", "f"])
    found = read(book)
    assert [(text_of(found, block), block.kind, block.place) for block in found.blocks] == [
        ("First", BlockKind.HEADING, 1),
        ("a | b", BlockKind.TABLE_ROW, 1),
        ("c | d", BlockKind.TABLE_ROW, 1),
        ("Third", BlockKind.HEADING, 3),
        ("e | f", BlockKind.TABLE_ROW, 3),
    ]
    assert (found.place_kind, found.place_count) == (PlaceKind.SHEET, 3)
    assert block_with(found, "e | f").heading_path == ("Third",)


def test_the_first_row_of_words_is_the_header() -> None:
    found = read(with_rows(["name", "units"], ["apples", 3], ["pears", 4]))
    assert [block.table_header for block in found.blocks] == ["", "", "name | units", "name | units"]


def test_a_first_row_with_numbers_is_no_header() -> None:
    found = read(with_rows(["apples", 3], ["pears", 4]))
    assert {block.table_header for block in found.blocks} == {""}


def test_lines_above_a_table_are_paragraphs() -> None:
    found = read(with_rows(["Report of 2024"], [], ["name", "units"], ["apples", 3]))
    assert block_with(found, "Report").kind is BlockKind.PARAGRAPH
    assert block_with(found, "apples").table_header == "name | units"


def test_an_empty_row_ends_a_table_and_its_header_goes_on_only_without_another() -> None:
    found = read(with_rows(["a", "b"], ["x", 1], [], ["y", 2], [], ["c", "d"], ["z", 3]))
    assert block_with(found, "y | 2").table_header == "a | b"
    assert block_with(found, "z | 3").table_header == "c | d"
    assert block_with(found, "c | d").table_header == ""


def test_cells_stand_in_their_columns() -> None:
    book = with_rows(["a", "b", "c"])
    book.active["C2"] = "only c"
    book.active["AA3"] = "far"
    assert texts(read(book), BlockKind.TABLE_ROW) == ["a | b | c", "|  | only c", "|  " * 25 + "| far"]


def test_dates_and_times_are_readable() -> None:
    found = read(
        with_rows(
            [
                1,
                dt.date(2024, 2, 29),
                dt.datetime(2024, 2, 29, 13, 5, 7),  # noqa: DTZ001 - sheets know no time zones
                dt.time(7, 30),
                dt.timedelta(hours=30, minutes=5),
            ]
        )
    )
    assert texts(found)[1] == "1 | 2024-02-29 | 2024-02-29 13:05:07 | 07:30:00 | 30:05:00"


def test_dates_may_be_counted_from_1904() -> None:
    book = with_rows([1, dt.date(2024, 2, 29)])
    book.epoch = CALENDAR_MAC_1904
    assert texts(read(book))[1] == "1 | 2024-02-29"


def test_numbers_are_written_as_a_reader_would() -> None:
    book = with_rows([1, 2.5, 0.1 + 0.2, 1e20, -3, True, False])
    book.active.append([0.125, 1234.5])
    book.active["A2"].number_format = "0.0%"
    book.active["B2"].number_format = '#,##0.00 "per day"'
    assert texts(read(book))[1:] == ["1 | 2.5 | 0.3 | 100000000000000000000 | -3 | TRUE | FALSE", "12.5% | 1234.5"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("General", Format.PLAIN),
        ("0.00", Format.PLAIN),
        ('0 "days"', Format.PLAIN),
        ("[Red]0;[Blue]-0", Format.PLAIN),
        ("_-* #,##0.00 [$€-407]_-", Format.PLAIN),
        ("yyyy\\-mm\\-dd", Format.DATE),
        ("[$-409]d-mmm-yy;@", Format.DATE),
        ("mmm", Format.DATE),
        ("hh:mm", Format.TIME),
        ("mm:ss.0", Format.TIME),
        ("dd/mm/yyyy hh:mm", Format.MOMENT),
        ("[h]:mm:ss", Format.DURATION),
        ("0%", Format.PERCENT),
    ],
)
def test_format_codes_are_understood(code: str, expected: Format) -> None:
    assert read_code(code) is expected


def test_a_formula_is_read_as_its_stored_value() -> None:
    found = read(
        with_sheet('<row r="1"><c r="A1"><f>1+1</f><v>2</v></c><c r="B1" t="str"><f>A</f><v>words</v></c></row>')
    )
    assert texts(found)[1] == "2 | words"


def test_errors_stay_visible_and_inline_and_rich_text_is_read() -> None:
    found = read(
        with_sheet(
            '<row><c t="e"><v>#N/A</v></c><c t="inlineStr"><is><r><t>in</t></r><r><t>line</t></r>'
            "<rPh><t>kana</t></rPh></is></c></row>"
        )
    )
    assert texts(found)[1] == "#N/A | inline"
    book = openpyxl.Workbook()
    book.active["A1"] = CellRichText("plain ", TextBlock(InlineFont(b=True), "bold"))
    assert texts(read(book)) == ["Sheet", "plain bold"]


def test_rows_and_cells_without_addresses_follow_each_other() -> None:
    found = read(with_sheet("<row><c><v>1</v></c><c><v>2</v></c></row><row><c><v>3</v></c></row>"))
    assert texts(found)[1:] == ["1 | 2", "3"]


def test_a_far_cell_costs_no_sheet_of_empty_ones() -> None:
    found = read(
        with_sheet('<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>')
    )
    assert texts(found)[1] == "1"
    assert texts(found)[2].endswith("| 2")


def test_too_many_columns_are_refused() -> None:
    with pytest.raises(DocumentTooLarge, match="columns"):
        read(with_sheet('<row r="1"><c r="ZZZZ1"><v>1</v></c></row>'))
    with pytest.raises(DocumentTooLarge, match="more than 3 columns"):
        parse_xlsx(saved(with_rows([1, 2, 3, 4])), Limits(columns=3))


def with_shared_strings(strings: str, rows: str) -> bytes:
    """As spreadsheet programs write words: once, and by number."""
    namespace = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/sharedStrings"
    link = f'<Relationship Id="rIdS" Type="{kind}" Target="/xl/sharedStrings.xml"/></Relationships>'
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(with_sheet(rows))) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "xl/_rels/workbook.xml.rels":
                content = content.replace(b"</Relationships>", link.encode())
            after.writestr(name, content)
        after.writestr("xl/sharedStrings.xml", f'<sst xmlns="{namespace}">{strings}</sst>')
    return target.getvalue()


def test_shared_strings_are_found_by_their_number() -> None:
    strings = "<si><t>plain</t></si><si><r><t>rich </t></r><r><rPr><b/></rPr><t>text</t></r><rPh><t>kana</t></rPh></si>"
    cells = "".join(f'<c t="s"><v>{number}</v></c>' for number in (1, 0, 7, -1, "x"))
    assert texts(read(with_shared_strings(strings, f"<row>{cells}</row>")))[1] == "rich text | plain"


def test_one_long_string_used_often_is_refused_early() -> None:
    rows = '<row><c t="s"><v>0</v></c></row>' * 20_000
    source = with_shared_strings(f"<si><t>{'word ' * 6000}</t></si>", rows)
    with pytest.raises(DocumentTooLarge, match="tokens"):
        parse_xlsx(source, LIMITS)


def test_a_workbook_without_words_is_empty() -> None:
    with pytest.raises(EmptyDocument):
        read(openpyxl.Workbook())


def test_a_missing_sheet_is_damage() -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved(with_rows(["a"])))) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            if name != SHEET:
                after.writestr(name, before.read(name))
    with pytest.raises(DamagedDocument, match="missing"):
        read(target.getvalue())


def test_an_entity_in_a_sheet_is_refused() -> None:
    source = with_sheet("<row/>")
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(source)) as before, zipfile.ZipFile(target, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            after.writestr(name, b"<!DOCTYPE x>" + content if name == SHEET else content)
    with pytest.raises(HostileDocument, match="DOCTYPE"):
        read(target.getvalue())


def test_odd_values_end_in_a_document_error_or_in_text() -> None:
    values = ("", "x", "-1", "1e999", "nan", "99999999999", "-5", "60", "0.99999999", "1" * 400)
    for value in values:
        for attributes in ('t="s"', 't="b"', 't="n"', 't="d"', 't="?"', 's="1"', 's="-1"', 's="x"', 'r="1A"', 'r="A"'):
            with suppress(EmptyDocument):
                read(with_sheet(f'<row r="1"><c {attributes}><v>{value}</v></c></row>'))


def test_numbers_no_date_can_have_are_left_as_they_are() -> None:
    book = with_rows([1])
    book.active.append([-5, 99999999999])
    for cell in book.active[2]:
        cell.number_format = "yyyy-mm-dd"
    assert texts(read(book))[2] == "-5 | 99999999999"


def test_damage_anywhere_ends_in_a_document_error_or_in_text() -> None:
    source = saved(with_rows(["a", 1, dt.date(2024, 1, 1)], ["b", 2, None]))
    for part in (SHEET, "xl/workbook.xml", "xl/styles.xml"):
        content = zipfile.ZipFile(io.BytesIO(source)).read(part)
        for start, end in pairwise(range(0, len(content), 149)):
            target = io.BytesIO()
            with zipfile.ZipFile(io.BytesIO(source)) as before, zipfile.ZipFile(target, "w") as after:
                for name in before.namelist():
                    cut = content[:start] + content[end:]
                    after.writestr(name, cut if name == part else before.read(name))
            with suppress(DocumentError):
                lawful(parse_xlsx(target.getvalue(), LIMITS))
