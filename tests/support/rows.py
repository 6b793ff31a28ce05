"""Rows for segments: made up from a seed, or around given texts."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.rows import SegmentRow
from retrieval.ids import SegmentId, StoreId, new_segment_id
from retrieval.segments.layout import segment_name
from retrieval.segments.reader import Segment, open_segment
from retrieval.segments.rows import NewRows, StoredChunk
from retrieval.segments.writer import write_segment
from retrieval.storage.directory import Directory
from retrieval.storage.objects import Storage

STORE = StoreId("vs_test")


def unit_vectors(rows: int, width: int, seed: int = 0) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return np.ascontiguousarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def rows_of(texts: Sequence[str], *, documents: Sequence[int] | None = None, width: int = 8, seed: int = 0) -> NewRows:
    """One chunk a text; all of one document unless told otherwise."""
    numbers = documents or [1] * len(texts)
    chunks = [
        StoredChunk(number, index, 10 * index, 10 * index + len(text), text, len(text.split()), index % 3 or None)
        for index, (number, text) in enumerate(zip(numbers, texts, strict=True))
    ]
    return NewRows(chunks, texts, unit_vectors(len(texts), width, seed))


def write_rows(storage: Storage, new: NewRows, segment: SegmentId | None = None) -> SegmentRow:
    return write_segment(storage, new, store=STORE, segment=segment or new_segment_id(), created_at=1_700_000_000)


def path_of(directory: Directory, row: SegmentRow) -> Path:
    return directory.path(segment_name(row.store_id, row.id))


def open_row(storage: Storage, row: SegmentRow) -> Segment:
    with storage.local(segment_name(row.store_id, row.id)) as path:
        return open_segment(row, path)
