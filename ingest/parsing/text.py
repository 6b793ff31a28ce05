"""Plain text -> Document: a blank line ends a block. The text stays exactly as it was written."""

import re

from ingest.document import Block, Document
from ingest.errors import EmptyDocument
from ingest.parsing.encoding import decode
from ingest.parsing.limits import Limits, Source
from ingest.parsing.pipe_tables import piped_rows

_GAP = re.compile(r"\n\s*\n")
_FIRST_CHARACTER = re.compile(r"\S")


def parse_text(source: Source, limits: Limits) -> Document:
    decoded = decode(source, limits)
    if not decoded.text.strip():
        raise EmptyDocument("The file holds no text.")
    blocks = paragraphs(with_line_feeds(decoded.text), 0, len(decoded.text))
    return Document(decoded.text, tuple(blocks), "text/plain", warnings=decoded.warnings)


def with_line_feeds(text: str) -> str:
    """The same text, as long, for looking at lines: files of old Macs end them with a carriage return alone."""
    return text.replace("\r", "\n") if "\r" in text and "\n" not in text else text


def paragraphs(text: str, start: int, end: int, heading_path: tuple[str, ...] = ()) -> list[Block]:
    """What stands between blank lines, tables row by row."""
    blocks: list[Block] = []
    first = _FIRST_CHARACTER.search(text, start, end)
    at = first.start() if first else end
    while at < end:
        gap = _GAP.search(text, at, end)
        stop = gap.start() if gap else end
        rows = piped_rows(text, at, stop, heading_path) if text.find("|", at, stop) >= 0 else []
        blocks.extend(rows or [Block(at, at + len(text[at:stop].rstrip()), heading_path=heading_path)])
        following = _FIRST_CHARACTER.search(text, stop, end)
        at = following.start() if following else end
    return blocks
