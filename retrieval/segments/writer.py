"""Rows and vectors -> one immutable segment file, durable and read back before anyone hears of it.

A file that could not be written whole is never visible; one that reads back differently is removed again. The row
that is returned is what the catalog publishes: until then the segment exists for nobody but its writer.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.rows import SegmentRow
from retrieval.errors import SegmentDamaged
from retrieval.ids import SegmentId, StoreId
from retrieval.segments import layout
from retrieval.segments.layout import SegmentFacts, segment_name
from retrieval.segments.postings import PostingsBuilder
from retrieval.segments.rows import NewRows, StoredChunk, Vectors
from retrieval.segments.strings import Strings
from retrieval.segments.tensors import MappedTensors, TensorWriter
from retrieval.storage.objects import Storage

_SLICE_ROWS = 4096  # text encoded at once

UNIT_TOLERANCE = 1e-3


def write_segment(storage: Storage, new: NewRows, *, store: StoreId, segment: SegmentId, created_at: int) -> SegmentRow:
    """Write one segment under a new id; raises `StorageFull`, `StorageUnavailable` or `SegmentDamaged`."""
    check_vectors(new.vectors)
    if len(new.chunks) > layout.MOST_ROWS:
        raise ValueError(f"{len(new.chunks)} rows; a segment holds at most {layout.MOST_ROWS}")
    strings = Strings()
    rows = np.array([_row(chunk, strings) for chunk in new.chunks], np.uint32)
    builder = PostingsBuilder()
    for text in new.words:
        builder.add(text)
    words = builder.finish()
    with storage.draft() as draft:
        file = TensorWriter(draft)
        file.write(layout.VECTORS, [new.vectors], width=new.vectors.shape[1])
        file.write(layout.ROWS, [rows], width=len(layout.ROW_COLUMNS))
        write_runs(file, [(number, len(list(run))) for number, run in groupby(c.document for c in new.chunks)])
        lengths: list[int] = []
        file.write(layout.TEXT, _encoded(new.chunks, lengths))
        file.write(layout.TEXT_OFFSETS, [offsets_of(lengths)])
        write_strings(file, strings)
        file.write(layout.WORD_LENGTHS, [words.lengths])
        file.write(layout.WORD_POSTINGS, [words.postings])
        file.write(layout.WORD_TERMS, [words.terms])
        file.write(layout.WORD_OFFSETS, [words.offsets])
        size, checksum = file.finish(SegmentFacts(segment, store, created_at, int(words.lengths.sum(dtype=np.int64))))
        row = SegmentRow(segment, store, len(rows), new.vectors.shape[1], size, checksum, created_at)
        draft.create(segment_name(store, segment))
    read_back(storage, row)
    return row


def read_back(storage: Storage, row: SegmentRow, name: str | None = None) -> None:
    """Open what was written and compare every byte with its checksum; a file that fails goes."""
    name = name or segment_name(row.store_id, row.id)
    try:
        with storage.local(name) as path:
            file = MappedTensors(row, path)
            try:
                file.verify_all()
            finally:
                file.close()
    except SegmentDamaged:
        storage.delete(name)
        raise


def write_runs(file: TensorWriter, runs: Sequence[tuple[int, int]]) -> None:
    """Runs as (document number, rows), in the order of the rows."""
    file.write(layout.RUN_NUMBERS, [np.array([number for number, _ in runs], np.int64)])
    file.write(layout.RUN_STARTS, [offsets_of([rows for _, rows in runs])])


def write_strings(file: TensorWriter, strings: Strings) -> None:
    encoded = [encode(string) for string in strings.strings]
    file.write(layout.STRINGS, [np.frombuffer(b"".join(encoded), np.uint8)])
    file.write(layout.STRING_OFFSETS, [offsets_of([len(string) for string in encoded])])
    file.write(layout.PATHS, [np.array([number for path in strings.paths for number in path], np.uint32)])
    file.write(layout.PATH_OFFSETS, [offsets_of([len(path) for path in strings.paths])])


def offsets_of(lengths: Iterable[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    counted = lengths if isinstance(lengths, np.ndarray) else np.array(list(lengths), np.int64)
    return np.concatenate([[0], np.cumsum(counted)]).astype(np.int64)


def encode(text: str) -> bytes:
    """UTF-8; half a surrogate pair, which no UTF-8 can hold, becomes a question mark."""
    return text.encode("utf-8", "replace")


def _encoded(chunks: Sequence[StoredChunk], lengths: list[int]) -> Iterator[NDArray[np.uint8]]:
    for first in range(0, len(chunks), _SLICE_ROWS):
        texts = [encode(chunk.text) for chunk in chunks[first : first + _SLICE_ROWS]]
        lengths += map(len, texts)
        yield np.frombuffer(b"".join(texts), np.uint8)


def _row(chunk: StoredChunk, strings: Strings) -> tuple[int, ...]:
    """In the order of `layout.ROW_COLUMNS`."""
    return (
        chunk.ordinal,
        chunk.start,
        chunk.end,
        chunk.place or 0,
        chunk.tokens,
        strings.string(chunk.title),
        strings.path(chunk.heading_path),
        strings.string(chunk.table_header),
    )


def check_vectors(vectors: Vectors) -> None:
    """A vector of another length would rank wrongly for ever after."""
    for first, last in pairwise([*range(0, len(vectors), _SLICE_ROWS), len(vectors)]):
        part = vectors[first:last]
        lengths = np.einsum("ij,ij->i", part, part)
        wrong = np.flatnonzero(~(np.abs(lengths - 1) <= 2 * UNIT_TOLERANCE))
        if len(wrong):
            raise ValueError(f"vector {first + wrong[0]} has length {float(lengths[wrong[0]]) ** 0.5:.4g}, not 1")
