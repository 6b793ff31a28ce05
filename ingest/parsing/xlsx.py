"""Workbooks -> Document: a sheet is a place and a heading, a row of cells is a row of a table.

Sheets are streamed row by row. Formulas are read as the values they had when the workbook was saved. An empty row
ends a table; the first row of the next one is its header if it is all words.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from lxml import etree

from ingest.document import BlockKind, Document, PlaceKind
from ingest.errors import DamagedDocument, DocumentTooLarge
from ingest.parsing.assembly import Assembly, row_text
from ingest.parsing.limits import Limits, Source
from ingest.parsing.opc import RELATIONSHIP_ID, Package
from ingest.parsing.safe_xml import stream_elements
from ingest.parsing.xlsx_numbers import EPOCH_1900, EPOCH_1904, Format, S, cell_formats, written

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
ROW, CELL, VALUE, INLINE, TEXT, RUN = f"{S}row", f"{S}c", f"{S}v", f"{S}is", f"{S}t", f"{S}r"
BOOLEANS = {"1": "TRUE", "0": "FALSE"}
MOST_COLUMNS = 16_384  # of any workbook; a cell beyond is damage


@dataclass(frozen=True, slots=True)
class Row:
    number: int
    cells: tuple[str, ...]  # from column A
    all_words: bool  # every filled cell holds text


@dataclass(slots=True)
class Table:
    """What is known of the table that the last row belonged to."""

    header: str = ""
    before: str = ""  # the header of the table above the gap
    last_row: int = 0
    started: bool = False


class Workbook:
    """What the cells of all sheets share: strings, formats and the day dates are counted from."""

    def __init__(self, package: Package, main: str) -> None:
        root = package.xml(main)
        properties = root.find(f"{S}workbookPr")
        since_1904 = properties is not None and properties.get("date1904") in ("1", "true")
        self.epoch: datetime = EPOCH_1904 if since_1904 else EPOCH_1900
        self.sheets = [(entry.get("name", ""), entry.get(RELATIONSHIP_ID, "")) for entry in root.iter(f"{S}sheet")]
        styles = package.related(main, "styles")
        self.formats = cell_formats(package.xml(styles) if styles is not None else None)
        strings = package.related(main, "sharedStrings")
        self.strings = list(_shared_strings(package, strings)) if strings is not None else []


def parse_xlsx(source: Source, limits: Limits) -> Document:
    package = Package(source, limits)
    main = package.main_part("xl/", "a workbook")
    workbook = Workbook(package, main)
    relationships = package.relationships(main)
    assembly = Assembly(limits)
    for place, (name, identity) in enumerate(workbook.sheets, start=1):
        relationship = relationships.get(identity)
        if relationship is None or not package.has(relationship.target):
            raise DamagedDocument(f"Sheet {place} of this workbook is missing. Save it again.")
        if relationship.kind != "worksheet":
            continue  # a sheet that is one chart, or a dialogue
        part = package.name(relationship.target)
        rows = _rows(stream_elements(package.archive.stream(part), (ROW,), part=part), workbook, limits)
        _read_sheet(rows, name, place, assembly)
    return assembly.finish(
        MEDIA_TYPE, title=package.title(), place_kind=PlaceKind.SHEET, place_count=len(workbook.sheets)
    )


def _shared_strings(package: Package, part: str) -> Iterator[str]:
    name = package.name(part)
    for element in stream_elements(package.archive.stream(name), (f"{S}si",), part=part):
        yield _text_of(element)


def _text_of(element: etree._Element) -> str:
    """Plain text, or the runs of rich text; phonetic guides say the same again."""
    parts = []
    for part in element:
        if part.tag == TEXT:
            parts.append(part.text or "")
        elif part.tag == RUN:
            parts += [run.text or "" for run in part if run.tag == TEXT]
    return "".join(parts)


def _rows(elements: Iterator[etree._Element], workbook: Workbook, limits: Limits) -> Iterator[Row]:
    number = 0
    for element in elements:
        said = element.get("r", "")
        number = int(said) if said.isascii() and said.isdigit() and len(said) < 9 else number + 1
        cells: list[str] = []
        all_words = True
        for cell in element:
            if cell.tag != CELL:
                continue
            text, is_text = _cell_text(cell, workbook)
            if not text:
                continue
            column = _column(cell.get("r", ""), len(cells))
            if column >= min(limits.columns, MOST_COLUMNS):
                raise DocumentTooLarge(f"A sheet of this workbook has more than {limits.columns:,} columns.")
            if column >= len(cells):
                cells += [""] * (column - len(cells))
                cells.append(text)
            else:
                cells[column] = text
            all_words = all_words and is_text
        if cells:
            yield Row(number, tuple(cells), all_words)


def _column(reference: str, otherwise: int) -> int:
    """`BC7` is column 54, from 0."""
    column = 0
    for character in reference:
        if not "A" <= character <= "Z":
            break
        column = column * 26 + ord(character) - 64
        if column > MOST_COLUMNS:
            break
    return column - 1 if column else otherwise


def _cell_text(cell: etree._Element, workbook: Workbook) -> tuple[str, bool]:
    """The cell's text, and whether it holds words rather than a number."""
    kind = cell.get("t", "n")
    value = ""
    for part in cell:
        if part.tag == VALUE:
            value = part.text or ""
        elif part.tag == INLINE:
            return _text_of(part).strip(), True
    if kind == "s":
        if value.isascii() and value.isdigit() and int(value) < len(workbook.strings):
            return workbook.strings[int(value)].strip(), True
        return "", True
    if kind == "n":
        return written(value, _format_of(cell, workbook), workbook.epoch), False
    if kind == "b":
        return BOOLEANS.get(value, value), False
    return value.strip(), kind == "str"


def _format_of(cell: etree._Element, workbook: Workbook) -> Format:
    said = cell.get("s", "")
    at = int(said) if said.isascii() and said.isdigit() else -1
    return workbook.formats[at] if 0 <= at < len(workbook.formats) else Format.PLAIN


def _read_sheet(rows: Iterator[Row], name: str, place: int, assembly: Assembly) -> None:
    table = Table()
    named = False
    for row in rows:
        if not named:  # an empty sheet leaves no trace
            assembly.forget_headings()
            assembly.add(name, BlockKind.HEADING, level=1, place=place)
            named = True
        if row.number > table.last_row + 1:
            table = Table(before=table.header or table.before)
        table.last_row = row.number
        filled = sum(1 for cell in row.cells if cell)
        if not table.started and filled == 1 and row.all_words:
            assembly.add(next(cell for cell in row.cells if cell), place=place)  # a line above a table
            continue
        if not table.started and not row.all_words:
            table.header = table.before  # the same columns go on behind a gap
        assembly.add_row(row.cells, place=place, table_header=table.header)
        if not table.started and row.all_words:
            table.header = row_text(row.cells)
        table.started = True
