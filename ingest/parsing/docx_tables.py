"""The grid of a Word table: rows, cells, what they span, and which rows are its header."""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from ingest.parsing.docx_styles import VAL, W, child, is_on, number

FIRST_ROW = 0x0020  # of `tblLook`: the table's style sets its first row apart
MOST_SPANNED = 1000
ROW, CELL, CELL_PROPERTIES = f"{W}tr", f"{W}tc", f"{W}tcPr"
MERGED, SPAN = f"{W}vMerge", f"{W}gridSpan"
WRAPPERS = (f"{W}sdt", f"{W}sdtContent", f"{W}ins", f"{W}customXml", f"{W}moveTo")


@dataclass(frozen=True, slots=True)
class Cell:
    element: etree._Element
    columns: int
    goes_on: bool  # belongs to the cell above


@dataclass(frozen=True, slots=True)
class Row:
    cells: tuple[Cell, ...]
    skipped: int  # columns before the first cell
    repeated: bool  # marked to be shown on every page


def rows_of(table: etree._Element) -> list[Row]:
    return [_row(element) for element in _inside(table, ROW)]


def is_frame(rows: list[Row]) -> bool:
    """One cell a row: not a table but a frame around ordinary text."""
    return all(len(row.cells) <= 1 for row in rows)


def header_rows(table: etree._Element, rows: list[Row]) -> frozenset[int]:
    """The rows marked as header; without a mark the first, unless the table says it is like any other."""
    marked = []
    for at, row in enumerate(rows):
        if not row.repeated:
            break
        marked.append(at)
    if len(rows) < 2 or len(marked) == len(rows):
        return frozenset()
    if marked:
        return frozenset(marked)
    look = table.find(f"{W}tblPr/{W}tblLook")
    if look is not None and not _sets_first_row_apart(look):
        return frozenset()
    first = 1 if len(rows[0].cells) == 1 and len(rows) > 2 else 0  # a caption over the whole width
    return frozenset({first})


def _sets_first_row_apart(look: etree._Element) -> bool:
    if (said := look.get(f"{W}firstRow")) is not None:
        return said in ("1", "true", "on")
    try:
        return bool(int(look.get(VAL, "0020"), 16) & FIRST_ROW)
    except ValueError:
        return True


def _row(element: etree._Element) -> Row:
    properties = child(element, f"{W}trPr")
    skipped, repeated = 0, False
    if properties is not None:
        skipped = min(max(number(properties.find(f"{W}gridBefore"), 0), 0), MOST_SPANNED)
        repeated = is_on(properties.find(f"{W}tblHeader"))
    return Row(tuple(_cell(cell) for cell in _inside(element, CELL)), skipped, repeated)


def _cell(element: etree._Element) -> Cell:
    properties = child(element, CELL_PROPERTIES)
    if properties is None:
        return Cell(element, 1, goes_on=False)
    merged = child(properties, MERGED)
    span = min(max(number(child(properties, SPAN), 1), 1), MOST_SPANNED)
    return Cell(element, span, goes_on=merged is not None and merged.get(VAL, "continue") != "restart")


def _inside(container: etree._Element, tag: str) -> Iterator[etree._Element]:
    """Children with `tag`, also where a form field or a tracked change stands around them."""
    for element in container:
        if element.tag == tag:
            yield element
        elif element.tag in WRAPPERS:
            yield from _inside(element, tag)
