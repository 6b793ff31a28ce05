"""Segments that a forger made: every checksum is right, and something in them is not."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retrieval.catalog.rows import SegmentRow
from retrieval.errors import SegmentDamaged
from retrieval.ids import SegmentId
from retrieval.segments import layout
from retrieval.segments.checking import check_content, check_head
from retrieval.segments.layout import HEAD_BYTES, SegmentFacts, segment_name
from retrieval.segments.tensors import MappedTensors, Tensor, TensorWriter
from retrieval.storage.directory import Directory
from tests.support.rows import STORE, path_of, rows_of, write_rows

TEXTS = ["one word", "zwei Wörter", "three more words", "vier"]
DOCUMENTS = [5, 5, 9, 9]
CHUNKS = {5: 2, 9: 2}
Tensors = dict[str, Tensor]


@pytest.fixture
def storage(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def tensors_of(storage: Directory) -> tuple[SegmentRow, Tensors]:
    row = write_rows(storage, rows_of(TEXTS, documents=DOCUMENTS))
    file = MappedTensors(row, path_of(storage, row))
    found = {name: np.array(file.tensor(name)) for name in layout.DTYPES if name != layout.CHECKSUMS}
    file.close()
    found[layout.ROWS][:, layout.ORDINAL] = [0, 1, 0, 1]  # within each document
    return row, found


def forged(storage: Directory, tensors: Tensors, *, total_length: int | None = None, rows: int = 4) -> SegmentRow:
    segment = SegmentId("seg_forged")
    length = int(tensors[layout.WORD_LENGTHS].sum()) if total_length is None else total_length
    with storage.draft() as draft:
        file = TensorWriter(draft)
        for name, tensor in tensors.items():
            file.write(name, [tensor], width=tensor.shape[1] if tensor.ndim == 2 else None)
        size, checksum = file.finish(SegmentFacts(segment, STORE, 1, length))
        draft.create(segment_name(STORE, segment))
    return SegmentRow(segment, STORE, rows, 8, size, checksum, 1)


def look(storage: Directory, row: SegmentRow, chunks: dict[int, int] | None = None) -> None:
    path = path_of(storage, row)
    check_head(path.read_bytes()[:HEAD_BYTES], row)
    file = MappedTensors(row, path)
    try:
        check_content(file, row, chunks or CHUNKS)
    finally:
        file.close()


def test_a_segment_of_our_own_passes(storage: Directory) -> None:
    _, tensors = tensors_of(storage)
    look(storage, forged(storage, tensors))


def change(name: str, at: Any, value: Any) -> Callable[[Tensors], None]:
    def act(tensors: Tensors) -> None:
        tensors[name][at] = value

    return act


def _swap_postings(tensors: Tensors) -> None:
    """The rows of a word that stands in several, the wrong way round."""
    offsets = tensors[layout.WORD_OFFSETS]
    many = int(np.flatnonzero(np.diff(offsets) > 1)[0])
    first = int(offsets[many])
    postings = tensors[layout.WORD_POSTINGS]
    postings[[first, first + 1]] = postings[[first + 1, first]]


def _shorter(name: str) -> Callable[[Tensors], None]:
    def act(tensors: Tensors) -> None:
        tensors[name] = tensors[name][:-1]

    return act


FORGERIES: dict[str, Callable[[Tensors], None]] = {
    "a vector of another length": change(layout.VECTORS, (1, 0), 7.0),
    "a vector that is no number": change(layout.VECTORS, (2, 3), np.nan),
    "an infinite vector": change(layout.VECTORS, (2, 3), np.inf),
    "text beyond its end": change(layout.TEXT_OFFSETS, -1, 10_000),
    "text before its beginning": change(layout.TEXT_OFFSETS, 0, -5),
    "text that runs backwards": change(layout.TEXT_OFFSETS, 2, 1),
    "a row within a character": change(layout.TEXT_OFFSETS, 2, len("one wordzwei W") + 1),
    "text that is no UTF-8": change(layout.TEXT, 0, 0xFF),
    "strings beyond their end": change(layout.STRING_OFFSETS, -1, 99),
    "paths beyond their end": change(layout.PATH_OFFSETS, -1, 99),
    "a title that is not there": change(layout.ROWS, (0, layout.TITLE), 50),
    "a table header that is not there": change(layout.ROWS, (0, layout.TABLE_HEADER), 50),
    "a path that is not there": change(layout.ROWS, (3, layout.PATH), 50),
    "a row that ends before it begins": change(layout.ROWS, (0, layout.START), 5_000),
    "an ordinal twice": change(layout.ROWS, (1, layout.ORDINAL), 0),
    "an ordinal left out": change(layout.ROWS, (1, layout.ORDINAL), 7),
    "runs beyond the rows": change(layout.RUN_STARTS, -1, 9),
    "an empty run": change(layout.RUN_STARTS, 1, 0),
    "another document": change(layout.RUN_NUMBERS, 0, 6),
    "words beyond their end": change(layout.WORD_OFFSETS, -1, 9_999),
    "a word in a row that is not there": change(layout.WORD_POSTINGS, 0, (1 << 24) | 4),
    "a word that occurs never": change(layout.WORD_POSTINGS, 0, 0),
    "words out of order": change(layout.WORD_TERMS, 0, 2**64 - 1),
    "rows of a word out of order": _swap_postings,
    "rows without a length": _shorter(layout.WORD_LENGTHS),
    "terms without postings": _shorter(layout.WORD_TERMS),
    "a row less": _shorter(layout.ROWS),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_what_is_wrong_behind_right_checksums_is_found(storage: Directory, kind: str) -> None:
    _, tensors = tensors_of(storage)
    FORGERIES[kind](tensors)
    row = forged(storage, tensors)
    with pytest.raises(SegmentDamaged):
        look(storage, row)


def test_chunks_that_the_list_of_files_does_not_know_are_found(storage: Directory) -> None:
    row = forged(storage, tensors_of(storage)[1])
    look(storage, row)
    for chunks in ({5: 2}, {5: 2, 9: 3}, {5: 1, 9: 2}, {5: 2, 9: 2, 11: 1}, {6: 2, 9: 2}):
        with pytest.raises(SegmentDamaged):
            look(storage, row, chunks)


def test_more_words_than_there_are_is_found(storage: Directory) -> None:
    _, tensors = tensors_of(storage)
    with pytest.raises(SegmentDamaged):
        look(storage, forged(storage, tensors, total_length=10**9))


HEADS: dict[str, Callable[[bytes], bytes]] = {
    "a tensor of another type": lambda head: head.replace(b'"F32"', b'"F64"'),
    "a shape that is not whole": lambda head: head.replace(b'"shape":[4,8]', b'"shape":[4.,8]', 1),
    "a shape below zero": lambda head: head.replace(b'"shape":[4,8]', b'"shape":[-4,8]'.ljust(13), 1),
    "an unknown tensor": lambda head: head.replace(b'"text"', b'"test"'),
    "another format": lambda head: head.replace(b"carrel.segment", b"carrel.segmemt"),
    "a later version": lambda head: head.replace(b'"version":"1"', b'"version":"2"'),
    "nested without end": lambda head: head[:8] + b"[" * (HEAD_BYTES - 8),
    "no JSON": lambda head: head[:8] + b"\0" * (HEAD_BYTES - 8),
    "a list": lambda head: head[:8] + b"[]".ljust(HEAD_BYTES - 8),
}


@pytest.mark.parametrize("kind", HEADS)
def test_heads_that_say_what_cannot_be_are_refused(storage: Directory, kind: str) -> None:
    row, _ = tensors_of(storage)
    head = path_of(storage, row).read_bytes()[:HEAD_BYTES]
    forgery = HEADS[kind](head)
    assert forgery != head
    check_head(head, row)
    with pytest.raises(SegmentDamaged):
        check_head(forgery, row)


def test_places_that_overlap_or_leave_the_file_are_refused(storage: Directory) -> None:
    row, tensors = tensors_of(storage)
    head = path_of(storage, row).read_bytes()[:HEAD_BYTES]
    read = layout.decode_head(head)
    for name in (layout.VECTORS, layout.TEXT, layout.CHECKSUMS):
        place = read.tensors[name]
        said = f'"data_offsets":[{place.start},{place.stop}]'.encode()
        assert said in head
        for start, stop in (
            (place.start, place.stop + 64),
            (place.start + 64, place.stop + 64),
            (-1, place.stop),
            (0, 10**12),
        ):
            other = f'"data_offsets":[{start},{stop}]'.encode()
            with pytest.raises(SegmentDamaged):
                check_head(head.replace(said, other), row)
    assert tensors
