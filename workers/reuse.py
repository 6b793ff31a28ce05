"""Vectors that a store holds already: those of the document that a new one is to replace.

A changed document mostly consists of chunks that it had before. Their vectors lie in the living segment, computed by
the store's own model; so they are paid for once, whatever has become of the cache, and on whichever node.
"""

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.chunking.chunk import Chunk
from retrieval.catalog.rows import Predecessor
from retrieval.errors import RetrievalError
from retrieval.ids import FileId, SegmentId, StoreId
from retrieval.segments.reader import Segment, open_stored
from retrieval.segments.rows import StoredChunk
from workers.resources import WorkerResources

KnownVectors = Mapping[str, NDArray[np.float32]]  # by the text that was embedded

log = logging.getLogger(__name__)


def vectors_of_predecessors(
    store: StoreId, files: Sequence[FileId], edition: int, resources: WorkerResources
) -> dict[FileId, KnownVectors]:
    """For each file that replaces a document, the vectors of that document's chunks. What cannot be read is embedded
    anew: this saves work and decides nothing. Vectors of another edition are of another model, and serve none."""
    with resources.catalog.reading() as tx:
        if tx.manifests.serving_edition(store) != edition:
            return {}
        replaced = tx.claims.predecessors(store, files)
        rows = {row.id: row for row in tx.manifests.segments(store)} if replaced else {}
    by_segment: dict[SegmentId, list[Predecessor]] = defaultdict(list)
    for one in replaced:
        by_segment[one.segment_id].append(one)
    found: dict[FileId, KnownVectors] = {}
    for segment, documents in by_segment.items():
        if segment not in rows:
            continue
        try:
            with open_stored(resources.storage, rows[segment]) as opened:
                found |= {one.file_id: _vectors(opened, one.document) for one in documents}
        except RetrievalError as error:
            log.warning("old vectors not reused", extra={"segment": segment, "why": type(error).__name__})
    return found


def _vectors(segment: Segment, document: int) -> KnownVectors:
    runs = segment.runs
    found: dict[str, NDArray[np.float32]] = {}
    for run in np.flatnonzero(runs.numbers == document):
        start, stop = int(runs.starts[run]), int(runs.starts[run + 1])
        segment.check_range(start, stop)
        for row in range(start, stop):
            found[_text_to_embed(segment.chunk(row))] = segment.vectors[row].copy()
    return found


def _text_to_embed(stored: StoredChunk) -> str:
    return Chunk(
        ordinal=stored.ordinal,
        start=stored.start,
        end=stored.end,
        text=stored.text,
        tokens=stored.tokens,
        title=stored.title,
        heading_path=stored.heading_path,
        table_header=stored.table_header,
    ).text_to_embed
