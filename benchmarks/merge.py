"""Segments: writing small and large ones, folding eight into one, and reading them coldly and warmly.

The yardstick is the disk itself: the same bytes written and synced by one plain loop, in the same run.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.figure import Figure
from retrieval.catalog.rows import SegmentRow
from retrieval.ids import StoreId, new_segment_id
from retrieval.segments.folding import fold_segments
from retrieval.segments.layout import segment_name
from retrieval.segments.postings import PostingsBuilder, unpacked
from retrieval.segments.reader import Segment, open_segment
from retrieval.segments.rows import NewRows, StoredChunk
from retrieval.segments.writer import write_segment
from retrieval.storage.directory import Directory

STORE = StoreId("vs_benchmark")
WIDTH = 384
CHUNK_WORDS = 200
VOCABULARY = 60_000
ROWS_PER_DOCUMENT = 20


def run(arguments: list[str]) -> Iterable[Figure]:
    """`merge [ROWS]`: rows of the large segment; the fold is of eight that hold as many together."""
    rows = int(arguments[0]) if arguments else 100_000
    with tempfile.TemporaryDirectory(dir=".") as folder:
        yield from _figures(Directory(Path(folder)), rows)


def _figures(directory: Directory, rows: int) -> Iterator[Figure]:
    make = _maker()
    small = make(100, 0)
    write_segment(directory, small, store=STORE, segment=new_segment_id(), created_at=1)
    times = [_seconds(lambda: _write(directory, small)) for _ in range(50)]
    yield _in_milliseconds("write 100 rows, p50 (words met before)", statistics.median(times), 5)

    new = make(rows, 0)
    words = _seconds(lambda: _counted(new))
    yield Figure(
        f"words of {CHUNK_WORDS}-word chunks", rows / words, "chunks/s", target="≥ 5,000", met=rows / words >= 5000
    )
    large: list[SegmentRow] = []
    whole = _seconds(lambda: large.append(_write(directory, new)))
    size = large[0].bytes
    yardstick = _raw_write_seconds(directory.root, size)
    besides = max(whole - words, 0.0)
    yield Figure(
        f"write {rows:,} rows besides words",
        besides,
        "s",
        f"raw write {yardstick:.2f} s",
        besides / yardstick,
        "≤ 2",
        besides <= 2,
    )
    parts = [_write(directory, make(rows // 8, part)) for part in range(8)]
    total = sum(part.bytes for part in parts)
    opened = [_open(directory, part) for part in parts]
    for name, living in (("all rows living", _all), ("every second document dead", _odd)):
        seconds = _seconds(lambda living=living: _fold(directory, opened, living))  # type: ignore[misc]
        rate = total / seconds / 1e6
        yardstick = _raw_write_seconds(directory.root, total)
        yield Figure(f"fold 8 segments, {name}", rate, "MB/s", "raw write", yardstick / seconds, "≥ 300", rate >= 300)
    yield from _reading(directory, large[0])


def _reading(directory: Directory, row: SegmentRow) -> Iterator[Figure]:
    opening = statistics.median(_seconds(lambda: _open(directory, row).close()) for _ in range(20))
    yield _in_milliseconds("open", opening, 10)
    segment = _open(directory, row)
    some = np.sort(np.random.default_rng(1).choice(row.rows, min(1000, row.rows), replace=False))
    yield _in_milliseconds("first check of 1,000 rows", _seconds(lambda: segment.check_rows(some)))
    yield _in_milliseconds("second check of 1,000 rows", _seconds(lambda: segment.check_rows(some)))
    yield _in_milliseconds("first check of all vectors", _seconds(segment.verified_vectors))
    yield _in_milliseconds("check of all vectors after that", _seconds(segment.verified_vectors))
    yield _in_milliseconds("first look-up of a word", _seconds(lambda: unpacked(segment.postings.packed("word"))))
    yield _in_milliseconds("look-up of a word", _seconds(lambda: unpacked(segment.postings.packed("other"))))
    yield _in_milliseconds("read 10 chunks", _seconds(lambda: [segment.chunk(int(at)) for at in some[:10]]))


def _maker() -> Callable[[int, int], NewRows]:
    chance = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    vocabulary = ["".join(chance.choice(letters, length)) for length in chance.integers(2, 11, VOCABULARY)]

    def make(rows: int, part: int) -> NewRows:
        vectors = chance.standard_normal((rows, WIDTH), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        drawn = np.minimum(chance.zipf(1.2, (rows, CHUNK_WORDS)), VOCABULARY) - 1
        texts = [" ".join(map(vocabulary.__getitem__, row)) for row in drawn.tolist()]
        chunks = [
            StoredChunk(part * rows + row // ROWS_PER_DOCUMENT, row % ROWS_PER_DOCUMENT, 0, len(text), text, 260)
            for row, text in enumerate(texts)
        ]
        return NewRows(chunks, texts, vectors)

    return make


def _write(directory: Directory, new: NewRows) -> SegmentRow:
    return write_segment(directory, new, store=STORE, segment=new_segment_id(), created_at=1)


def _open(directory: Directory, row: SegmentRow) -> Segment:
    with directory.local(segment_name(STORE, row.id)) as path:
        return open_segment(row, path)


def _fold(
    directory: Directory, segments: list[Segment], living: Callable[[NDArray[np.int64]], NDArray[np.bool_]]
) -> None:
    row = fold_segments(directory, segments, living, store=STORE, segment=new_segment_id(), created_at=2)
    assert row is not None


def _all(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.ones(len(numbers), np.bool_)


def _odd(numbers: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.asarray(numbers % 2 == 1, np.bool_)


def _counted(new: NewRows) -> None:
    builder = PostingsBuilder()
    for text in new.words:
        builder.add(text)
    builder.finish()


def _raw_write_seconds(folder: Path, size: int) -> float:
    piece = os.urandom(1 << 20)
    path = folder / "raw"

    def write() -> None:
        with path.open("wb", buffering=0) as file:
            for _ in range(size >> 20):
                file.write(piece)
            os.fsync(file.fileno())

    try:
        return _seconds(write)
    finally:
        path.unlink()


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def _in_milliseconds(name: str, seconds: float, most: float | None = None) -> Figure:
    value = 1000 * seconds
    return Figure(
        name, value, "ms", target="" if most is None else f"≤ {most:g}", met=None if most is None else value <= most
    )
