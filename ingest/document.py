"""Document and Block: the one shape every parser returns.

Positions are character offsets into `Document.text`. Blocks come in reading order, never overlap, and
together cover every character of the text that is not white space.
"""

from dataclasses import dataclass, field
from enum import StrEnum


class BlockKind(StrEnum):
    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE_ROW = "table_row"
    CODE = "code"
    NOTES = "notes"  # a slide's speaker notes


class PlaceKind(StrEnum):
    """What `Block.place` counts, from 1."""

    PAGE = "page"
    SLIDE = "slide"
    SHEET = "sheet"


@dataclass(frozen=True, slots=True)
class Block:
    """One piece of structure: `text[start:end]`, and where it stands."""

    start: int
    end: int
    kind: BlockKind = BlockKind.PARAGRAPH
    level: int = 0  # headings: 1 is the top; list items: depth from 1; otherwise 0
    place: int | None = None  # page, slide or sheet, from 1
    heading_path: tuple[
        str, ...
    ] = ()  # headings above this block, outermost first; a heading's own path excludes itself
    table_header: str = ""  # the header row above a table row, so that a chunk of rows can be embedded with it


@dataclass(frozen=True, slots=True)
class Document:
    text: str
    blocks: tuple[Block, ...]
    media_type: str
    title: str = ""  # from the document's own properties or first heading; never the file name
    place_kind: PlaceKind | None = None
    place_count: int = 0
    warnings: tuple[str, ...] = field(default=())  # parts that were left out, in sentences for the operator
