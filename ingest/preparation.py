"""Bytes -> Prepared: parsed and split, ready to be embedded. Pure: the same bytes give the same chunks.

This is what a child does with a document. It may take all the memory and time there is, or take the process
down with it; whoever cannot afford that asks `ingest.children`.
"""

from collections import Counter

from ingest.chunking.chunk import ChunkLimits
from ingest.chunking.split import split
from ingest.chunking.tokens import Tokenizer
from ingest.document import BlockKind
from ingest.errors import EmptyDocument
from ingest.parsing.limits import Limits, Source
from ingest.parsing.registry import parse
from ingest.prepared import Prepared


def prepare(source: Source, name: str, limits: Limits, chunking: ChunkLimits, tokenizer: Tokenizer) -> Prepared:
    """Raises a leaf of `DocumentError` when the document is to blame. There is always a chunk."""
    document = parse(source, name, limits)
    chunks = split(document, chunking, tokenizer, most_tokens=limits.tokens)
    if not chunks:
        raise EmptyDocument("This file holds no text.")
    counted = Counter(block.kind for block in document.blocks)
    return Prepared(
        text=document.text,
        media_type=document.media_type,
        title=document.title,
        place_kind=document.place_kind,
        place_count=document.place_count,
        blocks=tuple((kind, counted[kind]) for kind in BlockKind if counted[kind]),
        chunks=chunks,
        warnings=document.warnings,
    )
