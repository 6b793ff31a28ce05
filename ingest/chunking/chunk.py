"""ChunkLimits and Chunk: what the splitter is asked for and what it returns.

A chunk has three texts. `text` is returned to the user: exactly `document.text[start:end]`. What is embedded
has the document's title, the heading path and, for tables, the header row in front; what is indexed for
keywords has title and headings but not the table header (repeating it drowns the cells).
"""

from dataclasses import dataclass
from typing import Literal

LEAST_CHUNK_TOKENS = 100
MOST_CHUNK_TOKENS = 4096
AUTO_MOST_TOKENS = 800


@dataclass(frozen=True, slots=True)
class ChunkLimits:
    """`auto` packs along structure, up to `max_tokens`; `static` cuts windows of exactly that size."""

    strategy: Literal["auto", "static"] = "auto"
    max_tokens: int = AUTO_MOST_TOKENS
    overlap_tokens: int = 0

    def __post_init__(self) -> None:
        if not LEAST_CHUNK_TOKENS <= self.max_tokens <= MOST_CHUNK_TOKENS:
            raise ValueError(f"max_tokens must be {LEAST_CHUNK_TOKENS}..{MOST_CHUNK_TOKENS}, not {self.max_tokens}")
        if not 0 <= self.overlap_tokens <= self.max_tokens // 2:
            raise ValueError(f"overlap_tokens must be 0..{self.max_tokens // 2}, not {self.overlap_tokens}")


@dataclass(frozen=True, slots=True)
class Chunk:
    ordinal: int  # 0, 1, 2, … within the document
    start: int
    end: int
    text: str
    tokens: int  # cl100k tokens of `text`
    place: int | None = None  # page, slide or sheet on which the chunk starts
    title: str = ""
    heading_path: tuple[str, ...] = ()
    table_header: str = ""

    @property
    def context(self) -> str:
        """Title and headings, one line; what a reader would need to place the chunk."""
        parts = [self.title, *self.heading_path] if self.title not in self.heading_path[:1] else [*self.heading_path]
        return " > ".join(part for part in parts if part)

    @property
    def text_to_embed(self) -> str:
        return "\n".join(part for part in (self.context, self.table_header, self.text) if part)

    @property
    def text_to_index(self) -> str:
        return "\n".join(part for part in (self.context, self.text) if part)
