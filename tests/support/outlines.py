"""Documents with structure, written down as a list of blocks."""

from collections.abc import Iterable
from dataclasses import replace

from ingest.document import Block, BlockKind, Document, PlaceKind

HEADING, PARAGRAPH, LIST_ITEM = BlockKind.HEADING, BlockKind.PARAGRAPH, BlockKind.LIST_ITEM
TABLE_ROW, CODE, NOTES = BlockKind.TABLE_ROW, BlockKind.CODE, BlockKind.NOTES


Part = tuple[BlockKind, str] | tuple[BlockKind, str, Block]


def document(
    parts: Iterable[Part],
    *,
    title: str = "",
    place_kind: PlaceKind | None = None,
    between: str = "\n\n",
) -> Document:
    """Blocks one after the other; a third member gives the block's other fields."""
    text, blocks = "", []
    for kind, body, *rest in parts:
        text += between if text else ""
        blocks.append(replace(rest[0] if rest else Block(0, 0), start=len(text), end=len(text) + len(body), kind=kind))
        text += body
    return Document(text, tuple(blocks), "text/plain", title=title, place_kind=place_kind)


def words(count: int, word: str = "word") -> str:
    """One sentence of so many tokens, near enough."""
    return "The" + f" {word}" * (count - 2) + "."


def sentences(count: int, each: int = 15) -> str:
    return " ".join(words(each) for _ in range(count))
