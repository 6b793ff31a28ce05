"""Markdown -> Document: headings, paragraphs, nested lists, tables with their header, code.

The text stays exactly as it was written, but for HTML comments and embedded binary data, which are cut out.
Lines are read once, from top to bottom; what a line is depends on its first character and on the open block.
"""

import re
from dataclasses import dataclass

from ingest.document import Block, BlockKind, Document
from ingest.errors import EmptyDocument
from ingest.parsing.encoding import decode
from ingest.parsing.limits import Limits, Source
from ingest.parsing.outline import Outline
from ingest.parsing.pipe_tables import piped_rows
from ingest.parsing.text import with_line_feeds

_LINE = re.compile(r"^([^\S\n]*+)(\S)[^\n]*", re.MULTILINE)  # one line that is not blank
_FRONT_MATTER = re.compile(
    r"\A(---|\+\+\+)[ \t]*\r?\n(?=[\w\"'-]+[ \t]*[:=])(?s:(.{0,20000}?\n))(?:\1|\.\.\.)[ \t]*\r?(?:\n|\Z)"
)
_FRONT_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*(\S[^\n]*)", re.MULTILINE | re.IGNORECASE)
_ATX_HEADING = re.compile(r"(#{1,6})(?:[ \t]+([^\n]*))?$")
_CLOSING_HASHES = re.compile(r"(?:^|[ \t]+)#+$")
_WIKI_HEADING = re.compile(r"(=(?: ?=){0,5}) +(\S[^\n]{0,300}?) +(=(?: ?=){0,5})$")
_WIKI_HEADING_LINE = re.compile(r"^[ \t]*=(?: ?=){0,5} +\S[^\n]{0,300} =[ \t\r]*$", re.MULTILINE)
_ATX_LINE = re.compile(r"^ {0,3}#{1,6}[ \t]", re.MULTILINE)
_FENCE = re.compile(r"(`{3,}+)[^`\n]*$|(~{3,})")
_UNDERLINE = re.compile(r"=+$|-+$")
_RULE = re.compile(r"(?:-[ \t]*){3,}$|(?:\*[ \t]*){3,}$|(?:_[ \t]*){3,}$")
_LIST_MARKER = re.compile(r"(?:[-*+]|(\d{1,9})[.)])(?:[ \t]+|$)")
_DELIMITER_ROW = re.compile(r"\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?$")
_COMMENT_CONTEXT = re.compile(r"^ {0,3}(`{3,}|~{3,})|`[^`\n]+`|<!--", re.MULTILINE)
_EMBEDDED_DATA = re.compile(r"(data:[\w.+-]{1,40}/[\w.+-]{1,80};base64,)[A-Za-z0-9+/=]{200,}+")


def parse_markdown(source: Source, limits: Limits) -> Document:
    decoded = decode(source, limits)
    return markdown_document(decoded.text, decoded.warnings)


def markdown_document(written: str, warnings: tuple[str, ...] = ()) -> Document:
    text = without_comments(written)
    if "base64," in text:
        text = _EMBEDDED_DATA.sub(r"\1", text)
    if not text.strip():
        raise EmptyDocument("The file holds no text.")
    reader = _Reader(with_line_feeds(text))
    reader.read()
    return Document(
        text,
        tuple(reader.blocks),
        "text/markdown",
        title=reader.front_title or reader.outline.title,
        warnings=warnings,
    )


def without_comments(text: str) -> str:
    """The text without `<!-- … -->`, except where code shows one."""
    if "<!--" not in text:
        return text
    kept = []
    done = at = 0
    while found := _COMMENT_CONTEXT.search(text, at):
        if found.group() == "<!--":
            end = text.find("-->", found.end())
            if end < 0:
                break
            kept.append(text[done : found.start()])
            done = at = end + 3
        elif fence := found.group(1):
            close = re.compile(rf"^ {{0,3}}{re.escape(fence)}[`~]*[ \t\r]*$", re.MULTILINE).search(text, found.end())
            if not close:
                break
            at = close.end()
        else:
            at = found.end()
    return "".join([*kept, text[done:]])


@dataclass(slots=True)
class _OpenBlock:
    """A paragraph or list item that the next line may still belong to."""

    start: int
    end: int
    kind: BlockKind
    level: int
    last_line: int  # where it starts
    lines: int = 1
    piped_lines: int = 0


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.blocks: list[Block] = []
        self.outline = Outline()
        self.front_title = ""
        self._open: _OpenBlock | None = None
        self._list_indents: list[int] = []  # where the content of each open list begins, outermost first
        self._indented_code: Block | None = None  # which the next indented line goes on with, if nothing is between
        self._table_header = ""  # of the table that the last line belongs to
        headings = _WIKI_HEADING_LINE.findall(text, 0, 1_000_000) if "=" in text else []
        self._wiki_headings = len(headings) >= 2 and len(headings) > len(_ATX_LINE.findall(text, 0, 1_000_000))

    def read(self) -> None:
        at = self._read_front_matter()
        blank_from = at
        while found := _LINE.search(self.text, at):
            line = found.group().strip()
            after_blank = self.text.count("\n", blank_from, found.start()) > 1 or found.start() == 0
            at = self._read_line(found.start(), found.end(), len(found.group(1).expandtabs(4)), line, after_blank)
            blank_from = at
        self._close()

    def _read_front_matter(self) -> int:
        found = _FRONT_MATTER.match(self.text)
        if not found:
            return 0
        if title := _FRONT_TITLE.search(found.group(2)):
            self.front_title = title.group(1).strip().strip("\"'")
        self._add(0, len(found.group().rstrip()), BlockKind.PARAGRAPH)
        return found.end() - 1 if found.group().endswith("\n") else found.end()

    def _read_line(self, start: int, end: int, indent: int, line: str, after_blank: bool) -> int:
        """Deal with one line; returns where to go on, which is past the whole block for fenced code."""
        if after_blank:
            self._end_paragraph(indent)
        first = line[0]
        shallow = (
            indent - (self._list_indents[-1] if self._list_indents and indent >= self._list_indents[-1] else 0) < 4
        )
        if not shallow and not (self._open and not after_blank):
            return self._add_indented_code(start, end)
        if shallow:
            if first in "`~" and (fence := _FENCE.match(line)):
                return self._add_fenced_code(start, end, fence.group(1) or fence.group(2))
            if first in "#=-*_+0123456789|:" and self._is_special(first, start, end, indent, line, after_blank):
                return end
        self._continue(start, end, indent, line, after_blank)
        return end

    def _is_special(self, first: str, start: int, end: int, indent: int, line: str, after_blank: bool) -> bool:
        if first == "#" and (heading := _ATX_HEADING.match(line)):
            self._add_heading(start, end, len(heading.group(1)), _CLOSING_HASHES.sub("", heading.group(2) or ""))
            return True
        if first == "=" and self._wiki_headings and (heading := _WIKI_HEADING.match(line)):
            depth = heading.group(1).count("=")
            if depth == heading.group(3).count("="):
                self._add_heading(start, end, depth, heading.group(2))
                return True
        if (
            first in "=-"
            and not after_blank
            and _UNDERLINE.match(line)
            and self._underline(end, 1 if first == "=" else 2)
        ):
            return True
        if first in "|:-" and not after_blank and "|" in line and self._start_table(end, line):
            return True
        if first in "-*_" and _RULE.match(line):
            self._close()
            self._add(start, end, BlockKind.PARAGRAPH)
            return True
        marker = _LIST_MARKER.match(line) if first in "-*+0123456789" else None
        # A number that happens to begin a line of prose starts no list, unless it is a 1.
        if marker and (after_blank or not self._in_paragraph() or marker.group(1) in (None, "1")):
            self._start_item(start, end, indent, indent + len(marker.group()))
            return True
        return False

    def _in_paragraph(self) -> bool:
        return self._open is not None and self._open.kind is BlockKind.PARAGRAPH

    def _add_heading(self, start: int, end: int, level: int, heading: str) -> None:
        self._close()
        self._list_indents.clear()
        above = self.outline.enter(level, heading.strip())
        self.blocks.append(Block(start, end, BlockKind.HEADING, level, heading_path=above))

    def _underline(self, end: int, level: int) -> bool:
        """A line of = or - under a paragraph of one line makes it a heading; under more, it is a rule."""
        if not self._open or not self._in_paragraph() or self._open.lines > 1:
            return False
        opened, self._open = self._open, None
        self._add_heading(opened.start, end, level, self.text[opened.start : opened.end])
        return True

    def _start_table(self, end: int, line: str) -> bool:
        opened = self._open
        if not opened or not _DELIMITER_ROW.match(line) or "|" not in self.text[opened.last_line : opened.end]:
            return False
        if opened.last_line > opened.start:
            before = self.text[opened.start : opened.last_line].rstrip()
            self._add(opened.start, opened.start + len(before), opened.kind, opened.level)
        self._open = None
        self._table_header = self.text[opened.last_line : opened.end].strip()
        self._add(opened.last_line, end, BlockKind.TABLE_ROW)
        return True

    def _start_item(self, start: int, end: int, indent: int, content: int) -> None:
        self._close()
        while self._list_indents and indent < self._list_indents[-1]:
            self._list_indents.pop()
        self._list_indents.append(max(content, indent + 2))
        self._open = _OpenBlock(start, end, BlockKind.LIST_ITEM, len(self._list_indents), start)

    def _continue(self, start: int, end: int, indent: int, line: str, after_blank: bool) -> None:
        piped = "|" in line
        if self._table_header and not after_blank and piped:
            self._add(start, end, BlockKind.TABLE_ROW, header=self._table_header)
            return
        self._table_header = ""
        if self._open:
            self._open.end, self._open.last_line = end, start
            self._open.lines += 1
            self._open.piped_lines += piped
            return
        if after_blank and not (self._list_indents and indent >= self._list_indents[0]):
            self._list_indents.clear()
        self._open = _OpenBlock(start, end, BlockKind.PARAGRAPH, 0, start, piped_lines=int(piped))

    def _end_paragraph(self, indent: int) -> None:
        """A blank line ends what is open, except a list item that the next line, indented, goes on with."""
        self._table_header = ""
        if self._open and self._open.kind is BlockKind.LIST_ITEM and indent >= self._list_indents[-1]:
            return
        self._close()

    def _add_fenced_code(self, start: int, end: int, fence: str) -> int:
        self._close()
        close = re.compile(rf"^[ \t>]*{re.escape(fence)}{re.escape(fence[0])}*[ \t\r]*$", re.MULTILINE)
        found = close.search(self.text, end)
        stop = found.end() if found else len(self.text)
        self._add(start, start + len(self.text[start:stop].rstrip()), BlockKind.CODE)
        return stop

    def _add_indented_code(self, start: int, end: int) -> int:
        self._close()
        if self._indented_code and self.blocks[-1] is self._indented_code:
            start = self.blocks.pop().start
        self._add(start, end, BlockKind.CODE)
        self._indented_code = self.blocks[-1]
        return end

    def _close(self) -> None:
        opened, self._open = self._open, None
        if not opened:
            return
        if opened.piped_lines == opened.lines > 1:
            self.blocks.extend(rows := piped_rows(self.text, opened.start, opened.end, self.outline.path))
            if rows:
                return
        self._add(opened.start, opened.end, opened.kind, opened.level)

    def _add(self, start: int, end: int, kind: BlockKind, level: int = 0, *, header: str = "") -> None:
        self.blocks.append(Block(start, end, kind, level, heading_path=self.outline.path, table_header=header))
