"""Document -> chunks within the limits asked for; `split` is the only door.

Chunks come in reading order. What lies in no chunk is white space, no chunk counts more tokens than its limit
when its text is counted by itself, and the same document gives the same chunks.
"""

from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise

from ingest.chunking.chunk import Chunk, ChunkLimits
from ingest.chunking.edges import Sizes, find_edges
from ingest.chunking.packing import pack
from ingest.chunking.static import edge_before, windows
from ingest.chunking.tokens import Tokenizer, Tokens
from ingest.document import Block, BlockKind, Document

WANTED_TOKENS = 220  # recall is flat from 200 to 250 tokens; below, five chunks hold too little, above, too much
USUAL = 1.3  # times the size wanted

# A heading of a megabyte, or a header of 20,000 columns, would otherwise be repeated in front of every chunk.
HEADING_CHARACTERS = 200
HEADER_CHARACTERS = 1_000
PATH_HEADINGS = 8


def split(
    document: Document, limits: ChunkLimits, tokenizer: Tokenizer, *, most_tokens: int | None = None
) -> tuple[Chunk, ...]:
    """Raises DocumentTooLarge when the text holds more than `most_tokens`. White space alone gives no chunks."""
    tokens = tokenizer.tokenize(document.text, most=most_tokens)
    spans = windows(tokens, limits) if limits.strategy == "static" else _packed(document, tokens, limits)
    describe = _Describer(document)
    return tuple(describe(ordinal, *span) for ordinal, span in enumerate(spans))


def _packed(document: Document, tokens: Tokens, limits: ChunkLimits) -> Iterator[tuple[int, int, int]]:
    wanted = min(WANTED_TOKENS, int(limits.max_tokens / USUAL))
    sizes = Sizes(wanted, int(wanted * USUAL), limits.max_tokens)
    edges = find_edges(document, tokens, sizes)
    cuts = edges.at[pack(edges, sizes)].tolist()
    for start, end in pairwise(cuts):
        yield from _within(tokens, start, end, limits.max_tokens)


def _within(tokens: Tokens, start: int, end: int, most: int) -> Iterator[tuple[int, int, int]]:
    """The span without its outer white space, halved until it counts at most `most`."""
    text = tokens.text[start:end]
    start, end = start + len(text) - len(text.lstrip()), end - len(text) + len(text.rstrip())
    if start >= end:
        return
    count = tokens.count(start, end)
    if count <= most:
        yield start, end, count
        return
    first, last = tokens.starts.searchsorted((start, end)).tolist()
    middle = int(tokens.starts[edge_before(tokens, (first + last) // 2, first + 1)])
    yield from _within(tokens, start, middle, most)
    yield from _within(tokens, middle, end, most)


class _Describer:
    """Says of each span where it stands: place, headings, table header."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._title = _shortened(document.title, HEADING_CHARACTERS)
        self._starts = [block.start for block in document.blocks]
        self._paths: dict[tuple[str, ...], tuple[str, ...]] = {}

    def __call__(self, ordinal: int, start: int, end: int, tokens: int) -> Chunk:
        text = self._document.text[start:end]
        block = self._block_at(start, end)
        if block is None:
            return Chunk(ordinal, start, end, text, tokens, title=self._title)
        path = self._paths.get(block.heading_path)
        if path is None:
            path = tuple(_shortened(heading, HEADING_CHARACTERS) for heading in block.heading_path[-PATH_HEADINGS:])
            self._paths[block.heading_path] = path
        header = ""
        if block.kind is BlockKind.TABLE_ROW and block.table_header not in text:
            header = _shortened(block.table_header, HEADER_CHARACTERS)
        return Chunk(ordinal, start, end, text, tokens, block.place, self._title, path, header)

    def _block_at(self, start: int, end: int) -> Block | None:
        """The block in which the span's first character lies that is not white space."""
        blocks = self._document.blocks
        index = bisect_right(self._starts, start) - 1
        if index >= 0 and start < blocks[index].end:
            return blocks[index]
        index += 1
        return blocks[index] if index < len(blocks) and blocks[index].start < end else None


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
