"""Prepared: a document as its child hands it over, parsed and split, ready to be embedded.

Apart from `preparation` so that whoever only receives it need not load every parser.
"""

from dataclasses import dataclass

from ingest.chunking.chunk import Chunk
from ingest.document import BlockKind, PlaceKind


@dataclass(frozen=True, slots=True)
class Prepared:
    text: str
    media_type: str
    title: str
    place_kind: PlaceKind | None
    place_count: int
    blocks: tuple[tuple[BlockKind, int], ...]  # how many of each kind, in the order of BlockKind
    chunks: tuple[Chunk, ...]
    warnings: tuple[str, ...]

    @property
    def block_count(self) -> int:
        return sum(count for _, count in self.blocks)

    @property
    def tokens(self) -> int:
        """Of all chunks together: tokens that overlapping chunks share are counted in each."""
        return sum(chunk.tokens for chunk in self.chunks)
