"""A segment file that came from outside: every place, offset and number in it is looked at before it may be used.

A file of our own is vouched for by its checksums. Whoever makes a file can make its checksums too, so here nothing is
taken on trust: after this, no reader can be led beyond the end of a tensor, and no text fails to decode.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from math import prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.rows import SegmentRow
from retrieval.errors import SegmentDamaged
from retrieval.segments import layout
from retrieval.segments.layout import Head, NotASegment, TensorPlace, decode_head
from retrieval.segments.postings import ROW_BITS, ROW_MASK
from retrieval.segments.tensors import MappedTensors, Tensor
from retrieval.segments.writer import UNIT_TOLERANCE

_ROWS_AT_ONCE: Final = 16_384
_POSTINGS_AT_ONCE: Final = 1 << 22


def check_head(head: bytes, row: SegmentRow) -> Head:
    """The head, if the places that it names lie one behind the other and fill the file."""
    try:
        read = decode_head(head)
    except (NotASegment, RecursionError) as error:
        raise SegmentDamaged(row.id, str(error) or "its head is nested") from error
    places = list(read.tensors.values())
    known = [place.name for place in places if not place.name.startswith(layout.PADDING)]
    if sorted(known) != sorted(layout.DTYPES):
        raise SegmentDamaged(row.id, "its tensors are not those of a segment")
    at = 0
    for place in places:
        _check_place(row, place, at)
        at = place.stop
    table = read.tensors[layout.CHECKSUMS]
    blocks = -(-table.start // read.block_bytes)
    if places[-1] is not table or layout.HEAD_BYTES + at != row.bytes or table.shape != (blocks,):
        raise SegmentDamaged(row.id, "its table of checksums is not at its end, or not as long as the file")
    _check_shapes(row, {name: read.tensors[name].shape for name in layout.DTYPES})
    return read


def _check_place(row: SegmentRow, place: TensorPlace, at: int) -> None:
    padding = place.name.startswith(layout.PADDING)
    dtype = "U8" if padding else layout.DTYPES[place.name]
    numbers = (*place.shape, place.start, place.stop)
    if place.dtype != dtype or not all(type(number) is int and 0 <= number <= row.bytes for number in numbers):
        raise SegmentDamaged(row.id, f"the tensor {place.name} has another type or size than it may have")
    size = prod(place.shape) * layout.NUMPY_DTYPES[dtype].itemsize
    if place.start != at or place.stop - place.start != size or (not padding and at % layout.ALIGNMENT):
        raise SegmentDamaged(row.id, f"the tensor {place.name} does not lie where it should")


def _check_shapes(row: SegmentRow, shapes: Mapping[str, tuple[int, ...]]) -> None:
    n = row.rows
    wanted = {
        layout.VECTORS: (n, row.width),
        layout.ROWS: (n, len(layout.ROW_COLUMNS)),
        layout.TEXT_OFFSETS: (n + 1,),
        layout.WORD_LENGTHS: (n,),
    }
    for name, shape in wanted.items():
        if shapes[name] != shape:
            raise SegmentDamaged(row.id, f"the tensor {name} is not of shape {shape}")
    if any(len(shapes[name]) != 1 for name in shapes if name not in wanted):
        raise SegmentDamaged(row.id, "a tensor has more dimensions than it may have")
    for more, fewer in (
        (layout.RUN_STARTS, layout.RUN_NUMBERS),
        (layout.WORD_OFFSETS, layout.WORD_TERMS),
    ):
        if shapes[more][0] != shapes[fewer][0] + 1:
            raise SegmentDamaged(row.id, f"the tensor {more} does not fit {fewer}")
    if min(shapes[layout.STRING_OFFSETS][0], shapes[layout.PATH_OFFSETS][0]) < 2:
        raise SegmentDamaged(row.id, "it lacks the empty string or the empty path")


def check_content(file: MappedTensors, row: SegmentRow, chunks: Mapping[int, int]) -> None:
    """Everything behind a head that was checked. `chunks`: how many rows which document has in it."""
    file.verify_all()
    _check_offsets(row, file.tensor(layout.RUN_STARTS), row.rows, layout.RUN_STARTS, rising=True)
    _check_offsets(row, file.tensor(layout.TEXT_OFFSETS), len(file.tensor(layout.TEXT)), layout.TEXT_OFFSETS)
    strings = file.tensor(layout.STRING_OFFSETS)
    _check_offsets(row, strings, len(file.tensor(layout.STRINGS)), layout.STRING_OFFSETS)
    paths = file.tensor(layout.PATH_OFFSETS)
    _check_offsets(row, paths, len(file.tensor(layout.PATHS)), layout.PATH_OFFSETS)
    _check_offsets(row, file.tensor(layout.WORD_OFFSETS), len(file.tensor(layout.WORD_POSTINGS)), layout.WORD_OFFSETS)
    if len(file.tensor(layout.PATHS)) and int(file.tensor(layout.PATHS).max()) >= len(strings) - 1:
        raise SegmentDamaged(row.id, "a path names a string that is not there")
    _check_documents(file, row, chunks)
    for first, last in pairwise(_steps(row.rows, _ROWS_AT_ONCE)):
        _check_rows(file, row, first, last, len(strings) - 1, len(paths) - 1)
        _check_vectors(row, file.tensor(layout.VECTORS)[first:last])
        _check_text(row, file.tensor(layout.TEXT), file.tensor(layout.TEXT_OFFSETS)[first : last + 1])
    for first, last in pairwise(_steps(len(strings) - 1, _ROWS_AT_ONCE)):
        _check_text(row, file.tensor(layout.STRINGS), strings[first : last + 1])
    _check_words(file, row)


def _steps(count: int, size: int) -> list[int]:
    return [*range(0, count, size), count]


def _check_offsets(row: SegmentRow, offsets: Tensor, end: int, name: str, *, rising: bool = False) -> None:
    steps = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != end or (len(steps) and int(steps.min()) < int(rising)):
        raise SegmentDamaged(row.id, f"the offsets {name} do not lead through what they divide")


def _check_documents(file: MappedTensors, row: SegmentRow, chunks: Mapping[int, int]) -> None:
    """Each document has the rows that it says it has, and each row its own ordinal within it."""
    numbers = np.repeat(file.tensor(layout.RUN_NUMBERS), np.diff(file.tensor(layout.RUN_STARTS)))
    found, counts = np.unique(numbers, return_counts=True)
    if dict(zip(found.tolist(), counts.tolist(), strict=True)) != dict(chunks):
        raise SegmentDamaged(row.id, "it does not hold the chunks that the list of files says")
    ordinals = file.tensor(layout.ROWS)[:, layout.ORDINAL].astype(np.int64)
    order = np.lexsort((ordinals, numbers))
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    if not np.array_equal(ordinals[order], np.arange(row.rows) - np.repeat(starts, counts)):
        raise SegmentDamaged(row.id, "the chunks of a document are not numbered one by one")


def _check_rows(file: MappedTensors, row: SegmentRow, first: int, last: int, strings: int, paths: int) -> None:
    columns = file.tensor(layout.ROWS)[first:last]
    named = max(int(columns[:, layout.TITLE].max()), int(columns[:, layout.TABLE_HEADER].max()))
    if named >= strings or int(columns[:, layout.PATH].max()) >= paths:
        raise SegmentDamaged(row.id, "a row names a string or a path that is not there")
    if (columns[:, layout.START] > columns[:, layout.END]).any():
        raise SegmentDamaged(row.id, "a row ends before it begins")


def _check_vectors(row: SegmentRow, vectors: NDArray[np.float32]) -> None:
    lengths = np.einsum("ij,ij->i", vectors, vectors)
    if not (np.abs(lengths - 1) <= 2 * UNIT_TOLERANCE).all():
        raise SegmentDamaged(row.id, "a vector is not of length one")


def _check_text(row: SegmentRow, text: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
    begin, end = int(offsets[0]), int(offsets[-1])
    inner = offsets[(offsets > begin) & (offsets < end)]
    try:
        text[begin:end].tobytes().decode()
    except UnicodeDecodeError as error:
        raise SegmentDamaged(row.id, "a text is not UTF-8") from error
    if ((text[inner] & 0xC0) == 0x80).any():
        raise SegmentDamaged(row.id, "a text begins within a character")


def _check_words(file: MappedTensors, row: SegmentRow) -> None:
    lengths = file.tensor(layout.WORD_LENGTHS)
    if int(lengths.sum(dtype=np.int64)) != file.head.facts.total_length:
        raise SegmentDamaged(row.id, "its rows have not as many words as its head says")
    terms = file.tensor(layout.WORD_TERMS)
    if (terms[1:] <= terms[:-1]).any():
        raise SegmentDamaged(row.id, "its words are not in order")
    for first, postings, begins in _postings(file):
        rows, often = postings & ROW_MASK, postings >> ROW_BITS
        if int(rows.max(initial=0)) >= row.rows or not often.all():
            raise SegmentDamaged(row.id, "a word is said to stand in a row that is not there")
        falls = np.flatnonzero(rows[1:] <= rows[:-1]) + first + 1
        if not np.isin(falls, begins).all():
            raise SegmentDamaged(row.id, "the rows of a word are not in order")


def _postings(file: MappedTensors) -> Iterator[tuple[int, NDArray[np.uint32], Sequence[int] | NDArray[np.int64]]]:
    """Stretches of postings that overlap by one, where each begins, and where words begin in it."""
    postings, offsets = file.tensor(layout.WORD_POSTINGS), file.tensor(layout.WORD_OFFSETS)
    for first, last in pairwise(_steps(len(postings), _POSTINGS_AT_ONCE)):
        begin = max(first - 1, 0)
        low, high = np.searchsorted(offsets, [begin, last])
        yield begin, postings[begin:last], offsets[low:high]
