"""Folding: several segments' living rows as one new segment, without embedding or reading words again.

Everything streams from mapping to file. Beside the files' own pages a fold holds some 150 MB, 30 bytes for each row
and 16 for each distinct word. Every byte is compared with its checksum on the way.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.rows import SegmentRow
from retrieval.ids import SegmentId, StoreId
from retrieval.segments import layout
from retrieval.segments.layout import SegmentFacts, segment_name
from retrieval.segments.postings import PostingsMerge
from retrieval.segments.reader import Segment
from retrieval.segments.rows import Vectors
from retrieval.segments.strings import Strings
from retrieval.segments.tensors import TensorWriter
from retrieval.segments.writer import check_vectors, offsets_of, read_back, write_runs, write_strings
from retrieval.storage.objects import Storage


@dataclass(frozen=True, slots=True)
class Anew:
    """What a fold gives to the rows it keeps: documents' new numbers, and a new vector for each row in their order."""

    numbers: Mapping[int, int]
    vectors: Vectors


Living = Callable[[NDArray[np.int64]], NDArray[np.bool_]]  # document numbers -> which of them live

_SLICE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class _Source:
    segment: Segment
    living: NDArray[np.bool_]  # by row
    runs: Sequence[tuple[int, int]]  # (document number, rows) of living documents
    new_rows: NDArray[np.int64]  # by row: its number in the new segment, or -1


def fold_segments(
    storage: Storage,
    segments: Sequence[Segment],
    living: Living,
    *,
    store: StoreId,
    segment: SegmentId,
    created_at: int,
    name: str | None = None,
    anew: Anew | None = None,
) -> SegmentRow | None:
    """Write one segment with the living rows of several, in their order; None if no row lives. `name`: of the object,
    where it is not to be one of the store's own. With `anew`, words and texts are taken over and vectors are not."""
    name = name or segment_name(store, segment)
    widths = {source.row.width for source in segments}
    if len(widths) != 1 or any(source.row.store_id != store for source in segments):
        raise ValueError("only segments of one store and one width can be folded")
    sources = _sources(segments, living)
    rows = sum(int(source.living.sum()) for source in sources)
    if not rows:
        return None
    if rows > layout.MOST_ROWS:
        raise ValueError(f"{rows} rows; a segment holds at most {layout.MOST_ROWS}")
    width = widths.pop() if anew is None else anew.vectors.shape[1]
    if anew is not None:
        check_vectors(anew.vectors)
        if len(anew.vectors) != rows:
            raise ValueError(f"{len(anew.vectors)} vectors for {rows} rows")
    with storage.draft() as draft:
        file = TensorWriter(draft)
        strings = Strings()
        file.write(layout.VECTORS, _vectors(sources, width) if anew is None else [anew.vectors], width=width)
        file.write(layout.ROWS, _rows(sources, strings), width=len(layout.ROW_COLUMNS))
        runs = [run for source in sources for run in source.runs]
        write_runs(file, runs if anew is None else [(anew.numbers[number], size) for number, size in runs])
        lengths: list[NDArray[np.int64]] = []
        file.write(layout.TEXT, _text(sources, lengths))
        file.write(layout.TEXT_OFFSETS, [offsets_of(np.concatenate(lengths))])
        write_strings(file, strings)
        total_length = _write_words(file, sources)
        size, checksum = file.finish(SegmentFacts(segment, store, created_at, total_length))
        row = SegmentRow(segment, store, rows, width, size, checksum, created_at)
        draft.create(name)
    read_back(storage, row, name)
    return row


def _sources(segments: Sequence[Segment], living: Living) -> list[_Source]:
    found, before = [], 0
    for segment in segments:
        runs = segment.runs
        sizes = np.diff(runs.starts)
        lives = living(runs.numbers)
        mask = np.repeat(lives, sizes)
        new_rows = np.where(mask, np.cumsum(mask) - 1 + before, -1)
        kept = list(zip(runs.numbers[lives].tolist(), sizes[lives].tolist(), strict=True))
        found.append(_Source(segment, mask, kept, new_rows))
        before += int(mask.sum())
    return found


def _slices(source: _Source, row_bytes: int) -> Iterator[tuple[int, int, NDArray[np.bool_]]]:
    """Stretches of rows of some megabytes that hold living ones."""
    rows = len(source.segment)
    for start, stop in pairwise([*range(0, rows, max(1, _SLICE_BYTES // row_bytes)), rows]):
        mask = source.living[start:stop]
        if mask.any():
            yield start, stop, mask


def _vectors(sources: Sequence[_Source], width: int) -> Iterator[NDArray[np.float32]]:
    for source in sources:
        for start, stop, mask in _slices(source, 4 * width):
            source.segment.check_range(start, stop)
            vectors = source.segment.vectors[start:stop]
            yield vectors if mask.all() else vectors[mask]


def _rows(sources: Sequence[_Source], strings: Strings) -> Iterator[NDArray[np.uint32]]:
    for source in sources:
        known_strings: dict[int, int] = {0: 0}
        known_paths: dict[int, int] = {0: 0}
        for start, stop, mask in _slices(source, 4 * len(layout.ROW_COLUMNS)):
            rows = source.segment.rows(start, stop)[mask]
            for column in (layout.TITLE, layout.TABLE_HEADER):
                for number in np.unique(rows[:, column]).tolist():
                    if number not in known_strings:
                        known_strings[number] = strings.string(source.segment.string(number))
                rows[:, column] = _renamed(rows[:, column], known_strings)
            for number in np.unique(rows[:, layout.PATH]).tolist():
                if number not in known_paths:
                    known_paths[number] = strings.path(source.segment.path(number))
            rows[:, layout.PATH] = _renamed(rows[:, layout.PATH], known_paths)
            yield rows


def _renamed(numbers: NDArray[np.uint32], names: dict[int, int]) -> NDArray[np.uint32]:
    distinct, inverse = np.unique(numbers, return_inverse=True)
    return np.array([names[number] for number in distinct.tolist()], np.uint32)[inverse]


def _text(sources: Sequence[_Source], lengths: list[NDArray[np.int64]]) -> Iterator[NDArray[np.uint8]]:
    """Living rows' texts; rows that lie together are copied together."""
    for source in sources:
        offsets = source.segment.text_offsets()
        lengths.append(np.diff(offsets)[source.living])
        edges = np.flatnonzero(np.diff(source.living, prepend=False, append=False))
        for first, last in edges.reshape(-1, 2).tolist():
            begin, end = int(offsets[first]), int(offsets[last])
            for start in range(begin, end, _SLICE_BYTES):
                yield source.segment.text_bytes(start, min(start + _SLICE_BYTES, end))


def _write_words(file: TensorWriter, sources: Sequence[_Source]) -> int:
    """The postings' tensors; how many terms the rows have in all."""
    lengths = [source.segment.postings.lengths[source.living] for source in sources]
    file.write(layout.WORD_LENGTHS, lengths)
    merge = PostingsMerge([source.segment.postings for source in sources], [source.new_rows for source in sources])
    file.write(layout.WORD_POSTINGS, merge.pieces())
    file.write(layout.WORD_TERMS, merge.terms)
    file.write(layout.WORD_OFFSETS, [merge.offsets])
    return sum(int(part.sum(dtype=np.int64)) for part in lengths)
