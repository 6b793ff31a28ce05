"""Rows of `a | b | c` in plain text and Markdown -> table rows that know their header."""

import re
from collections.abc import Iterator

from ingest.document import Block, BlockKind

_LINE = re.compile(r"[^\n]+")
_MOST_HEADER_CHARACTERS = 500


def piped_rows(text: str, start: int, end: int, heading_path: tuple[str, ...]) -> list[Block]:
    """The paragraph as a table, its first line the header; nothing unless every line has the same number of bars."""
    bars = text.count("|", start, text.find("\n", start, end))
    if not bars or text.find("\n", start, end) < 0:
        return []
    lines = list(_lines(text, start, end))
    if len(lines) < 2 or any(text.count("|", first, last) != bars for first, last in lines):
        return []
    header = text[lines[0][0] : lines[0][1]].strip()[:_MOST_HEADER_CHARACTERS]
    return [
        Block(
            first,
            last,
            BlockKind.TABLE_ROW,
            heading_path=heading_path,
            table_header="" if first == lines[0][0] else header,
        )
        for first, last in lines
    ]


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    for line in _LINE.finditer(text, start, end):
        if not line.group().isspace():
            yield line.span()
