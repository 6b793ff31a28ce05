"""Assembly: a Document put together block by block, so that every parser keeps the laws of `Document` alike.

Blocks are added in reading order; white space between them is written here, and belongs to no block.
"""

import re
from collections.abc import Sequence

from ingest.document import Block, BlockKind, Document, PlaceKind
from ingest.errors import DocumentTooLarge, EmptyDocument
from ingest.parsing.allowance import TextAllowance
from ingest.parsing.limits import Limits
from ingest.parsing.outline import Outline

CELL_SEPARATOR = " | "
CLOSE_KINDS = (BlockKind.TABLE_ROW, BlockKind.LIST_ITEM)
ALLOWANCE_PIECE = 1 << 18
# NUL breaks databases, lone surrogates cannot be written as UTF-8, soft hyphens and word joiners split words in search.
UNWANTED = re.compile("[\0-\x08\x0e-\x1f\xad\u2060\ufeff\ufffe\uffff\ud800-\udfff]+")


class Assembly:
    def __init__(self, limits: Limits) -> None:
        self._allowance = TextAllowance(limits)
        self._columns = limits.columns
        self._parts: list[str] = []
        self._blocks: list[Block] = []
        self._length = self._unjudged = self._judged_parts = 0
        self._outline = Outline()
        self.warnings: list[str] = []

    def add(
        self,
        text: str,
        kind: BlockKind = BlockKind.PARAGRAPH,
        *,
        level: int = 0,
        place: int | None = None,
        table_header: str = "",
    ) -> None:
        """Text without anything to read in it is passed over."""
        text = clean(text)
        text = text.strip("\r\n").rstrip() if kind is BlockKind.CODE else text.strip()
        if not text or text.isspace():
            return
        if self._blocks:
            close = kind in CLOSE_KINDS and self._blocks[-1].kind is kind and (self._blocks[-1].place == place)
            self._write("\n" if close else "\n\n")
        start = self._length
        self._write(text)
        path = self._outline.path
        if kind is BlockKind.HEADING:
            path = self._outline.enter(level, " ".join(text.split()))
        header = clean(table_header).strip()
        self._blocks.append(Block(start, self._length, kind, level, place, heading_path=path, table_header=header))

    def add_row(self, cells: Sequence[str], *, place: int | None = None, table_header: str = "") -> None:
        """One row of a table; the header row itself comes with an empty `table_header`."""
        if len(cells) > self._columns:
            raise DocumentTooLarge(f"A table of this document has more than {self._columns:,} columns.")
        self.add(row_text(cells), BlockKind.TABLE_ROW, place=place, table_header=table_header)

    def forget_headings(self, level: int = 1) -> None:
        """What follows stands under no heading so far, of this level or deeper: a new slide, a new sheet."""
        self._outline.leave(level)

    def finish(
        self, media_type: str, *, title: str = "", place_kind: PlaceKind | None = None, place_count: int = 0
    ) -> Document:
        if not self._blocks:
            raise EmptyDocument("This document holds no text.")
        self._judge()
        text = "".join(self._parts)
        title = " ".join(clean(title).split()) or self._outline.title
        return Document(text, tuple(self._blocks), media_type, title, place_kind, place_count, tuple(self.warnings))

    def _write(self, text: str) -> None:
        self._parts.append(text)
        self._length += len(text)
        self._unjudged += len(text)
        if self._unjudged > ALLOWANCE_PIECE:
            self._judge()

    def _judge(self) -> None:
        """Counting in large pieces costs a tenth of counting every block."""
        self._allowance.take("".join(self._parts[self._judged_parts :]))
        self._judged_parts, self._unjudged = len(self._parts), 0


def clean(text: str) -> str:
    return UNWANTED.sub("", text)


def row_text(cells: Sequence[str]) -> str:
    """Cells on one line; empty ones keep their column, except behind the last that is not."""
    texts = [" ".join(cell.split()) for cell in cells]
    while texts and not texts[-1]:
        texts.pop()
    return CELL_SEPARATOR.join(texts)
