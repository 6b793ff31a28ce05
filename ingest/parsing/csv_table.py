"""CSV and TSV -> Document: one block a row, each knowing the header row. The text stays exactly as it was written.

Rows are found with one regular expression that cannot backtrack. A quotation mark counts only where it opens a
field and closes it, so a stray one costs its own field and not the rest of the file.
"""

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from ingest.document import Block, BlockKind, Document
from ingest.errors import DocumentTooLarge, EmptyDocument
from ingest.parsing.encoding import decode
from ingest.parsing.limits import Limits, Source
from ingest.parsing.text import with_line_feeds

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE_CHARACTERS = 64 * 1024
_SAMPLE_ROWS = 100
_MOST_NAME_CHARACTERS = 120  # of a column's name; longer is data
_MOST_HEADER_CHARACTERS = 2_000  # a header repeated above every chunk must leave room for rows
_VALUE = re.compile(r"[-+]?[$€£]?\s*\d[\d.,:/ -]*\s*%?$|\d{4}-\d\d-\d\d\D|true$|false$", re.IGNORECASE)


def parse_csv(source: Source, limits: Limits) -> Document:
    return _parse(source, limits, _DELIMITERS, "text/csv")


def parse_tsv(source: Source, limits: Limits) -> Document:
    return _parse(source, limits, ("\t",), "text/tab-separated-values")


def _parse(source: Source, limits: Limits, delimiters: tuple[str, ...], media_type: str) -> Document:
    decoded = decode(source, limits)
    text = with_line_feeds(decoded.text)
    if not text.strip():
        raise EmptyDocument("The file holds no text.")
    layout = _sniffed(text, delimiters)
    blocks = []
    above = ()  # rows of text that stand before the table
    for number, (start, end) in enumerate(_rows(text, layout.delimiter)):
        _refuse_wide(text, start, end, layout.delimiter, limits)
        kind = BlockKind.TABLE_ROW if number >= layout.first_row else BlockKind.PARAGRAPH
        header = layout.header if number > layout.first_row else ""
        blocks.append(Block(start, end, kind, heading_path=above, table_header=header))
    return Document(decoded.text, tuple(blocks), media_type, warnings=decoded.warnings)


@dataclass(frozen=True, slots=True)
class _Layout:
    delimiter: str
    first_row: int  # of the table; before it may stand a title
    header: str  # "" if the first row is data like the others


@lru_cache(maxsize=8)
def _row_pattern(delimiter: str) -> re.Pattern[str]:
    d = re.escape(delimiter)
    quoted = (
        rf'"(?:[^"]++|"")*+"(?=[ \t\r]*+(?:{d}|\n|\Z))[ \t\r]*+'
        if delimiter != "\t"
        else rf'"(?:[^"]++|"")*+"(?=\r?(?:{d}|\n|\Z))\r?'
    )
    plain = rf"[^{d}\n]*+"
    return re.compile(rf"(?:(?:{quoted}|{plain}){d})*+(?:{quoted}|{plain})")


@lru_cache(maxsize=8)
def _field_pattern(delimiter: str) -> re.Pattern[str]:
    d = re.escape(delimiter)
    return re.compile(rf'(?:\A|{d})(?:"((?:[^"]++|"")*+)"(?=[ \t\r]*+(?:{d}|\Z))|([^{d}\n]*+))')


def _rows(text: str, delimiter: str) -> list[tuple[int, int]]:
    """Where each row that is not blank starts and ends, its line break aside."""
    match = _row_pattern(delimiter).match
    rows = []
    at, length = 0, len(text)
    while at < length:
        found = match(text, at)
        end = found.end() if found else length
        row = text[at:end]
        if row and not row.isspace():
            rows.append((at, at + len(row.rstrip("\r"))))
        at = end + 1
    return rows


def _fields(row: str, delimiter: str) -> list[str]:
    return [
        (found.group(1).replace('""', '"') if found.group(1) is not None else found.group(2)).strip()
        for found in _field_pattern(delimiter).finditer(row)
    ]


def _refuse_wide(text: str, start: int, end: int, delimiter: str, limits: Limits) -> None:
    if end - start <= limits.columns or text.count(delimiter, start, end) < limits.columns:
        return
    columns = len(_fields(text[start:end], delimiter))
    if columns > limits.columns:
        raise DocumentTooLarge(f"A row has {columns:,} columns; the most that is read is {limits.columns:,}.")


def _sniffed(text: str, delimiters: tuple[str, ...]) -> _Layout:
    """The delimiter that most rows agree on, the row where the table starts, and its header."""
    sample = text[:_SAMPLE_CHARACTERS]
    best: tuple[tuple[float, int], str, int, list[tuple[int, int]]] | None = None
    for delimiter in delimiters:
        rows = _rows(sample, delimiter)[:_SAMPLE_ROWS]
        if len(sample) < len(text) and len(rows) > 1:
            rows.pop()  # it may be cut
        widths = Counter(len(_fields(sample[start:end], delimiter)) for start, end in rows)
        width, agreeing = max(widths.items(), key=lambda item: (item[0] > 1, item[1], item[0]), default=(1, 0))
        score = (agreeing / max(1, len(rows)) if width > 1 else 0.0, width)
        if best is None or score > best[0]:
            best = (score, delimiter, width, rows)
    if best is None:
        raise AssertionError("a table has at least one possible delimiter")
    _, delimiter, width, rows = best
    table = [_fields(sample[start:end], delimiter) for start, end in rows]
    first = next((number for number, fields in enumerate(table) if len(fields) == width), 0)
    header = ""
    if _is_header(table[first:]):
        header = sample[slice(*rows[first])].strip()[:_MOST_HEADER_CHARACTERS]
    return _Layout(delimiter, first, header)


def _is_header(table: list[list[str]]) -> bool:
    """Names rather than data: short, different, none of them a number; and there is something below them."""
    if len(table) < 2:
        return False
    names = [name for name in table[0] if name]
    if not names or len(names) * 2 < len(table[0]) or len(set(names)) < len(names):
        return False
    return not any(len(name) > _MOST_NAME_CHARACTERS or _VALUE.match(name) for name in names)
