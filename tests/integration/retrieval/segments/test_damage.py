"""No damage to a segment's file is ever answered from: it is found when it is met, and always before."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from retrieval.catalog.rows import SegmentRow
from retrieval.errors import ObjectMissing, SegmentDamaged
from retrieval.segments.layout import BLOCK_BYTES, HEAD_BYTES
from retrieval.segments.postings import unpacked
from retrieval.segments.reader import Segment, open_segment
from retrieval.storage.directory import Directory
from tests.support.rows import path_of, rows_of, unit_vectors, write_rows

ROWS, WIDTH = 600, 96
TEXTS = [f"row {row} speaks of word{row % 7} and word{row % 11}, part AB-{row}" for row in range(ROWS)]


@pytest.fixture
def written(tmp_path: Path) -> tuple[SegmentRow, Path]:
    directory = Directory(tmp_path)
    row = write_rows(directory, rows_of(TEXTS, documents=[n // 10 for n in range(ROWS)], width=WIDTH))
    return row, path_of(directory, row)


def flip(path: Path, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ (1 << bit % 8)]))


def read_everything(segment: Segment) -> tuple[object, ...]:
    found = [unpacked(segment.postings.packed(term)) for term in ("row", "word3", "ab12", "nothing")]
    return (
        segment.verified_vectors().tobytes(),
        segment.runs.numbers.tolist(),
        segment.runs.starts.tolist(),
        segment.postings.lengths.tolist(),
        [(rows.tolist(), often.tolist()) for rows, often in found],
        [segment.chunk(row) for row in range(0, ROWS, 97)],
    )


def search_a_little(segment: Segment, chance: random.Random) -> tuple[object, ...]:
    """What one search touches: some vectors, one word, a few chunks."""
    rows = np.array(sorted(chance.sample(range(ROWS), 5)))
    segment.check_rows(rows)
    words, often = unpacked(segment.postings.packed(f"word{chance.randrange(7)}"))
    chunks = [segment.chunk(int(row)) for row in rows]
    return segment.vectors[rows].tobytes(), words.tolist(), often.tolist(), chunks


def test_a_thousand_flipped_bits_are_all_detected(written: tuple[SegmentRow, Path]) -> None:
    row, path = written
    chance = random.Random(7)
    with open_segment(row, path) as segment:
        whole = read_everything(segment)
    for round_ in range(1000):
        bit = chance.randrange(8 * row.bytes)
        flip(path, bit)
        with pytest.raises(SegmentDamaged, match=row.id), open_segment(row, path) as segment:
            segment.verify_all()
        seed = round_
        try:
            with open_segment(row, path) as segment:
                answer = search_a_little(segment, random.Random(seed))
        except SegmentDamaged:
            answer = None
        flip(path, bit)
        if answer is not None:
            with open_segment(row, path) as segment:
                assert answer == search_a_little(segment, random.Random(seed)), f"bit {bit}"
    with open_segment(row, path) as segment:
        assert read_everything(segment) == whole


@pytest.mark.parametrize("cut", [1, 8, BLOCK_BYTES, 100_000])
def test_a_file_of_another_length_is_not_opened(written: tuple[SegmentRow, Path], cut: int) -> None:
    row, path = written
    content = path.read_bytes()
    for changed in (content[:-cut], content + bytes(cut), b"", content[: HEAD_BYTES // 2]):
        path.write_bytes(changed)
        with pytest.raises(SegmentDamaged, match="bytes, the catalog says"):
            open_segment(row, path)


def test_a_missing_file_is_missing(written: tuple[SegmentRow, Path]) -> None:
    row, path = written
    path.unlink()
    with pytest.raises(ObjectMissing, match=row.id):
        open_segment(row, path)


def test_another_segments_file_is_not_taken_for_this_one(tmp_path: Path, written: tuple[SegmentRow, Path]) -> None:
    row, path = written
    directory = Directory(tmp_path)
    twin = write_rows(directory, rows_of(TEXTS, documents=[n // 10 for n in range(ROWS)], width=WIDTH))
    assert twin.bytes == row.bytes
    shutil.copy(path_of(directory, twin), path)
    with pytest.raises(SegmentDamaged, match="head"):
        open_segment(row, path)


@pytest.mark.parametrize(
    "overwrite",
    [
        lambda content: bytes(len(content)),
        lambda content: content[:HEAD_BYTES] + bytes(len(content) - HEAD_BYTES),
        lambda content: content[:-4096] + bytes(4096),
        lambda content: b"{}" * (len(content) // 2) + b"x" * (len(content) % 2),
    ],
    ids=["zeros", "head only", "a lost page", "another format"],
)
def test_a_file_with_foreign_content_is_damaged(
    written: tuple[SegmentRow, Path], overwrite: Callable[[bytes], bytes]
) -> None:
    row, path = written
    path.write_bytes(overwrite(path.read_bytes()))
    with pytest.raises(SegmentDamaged), open_segment(row, path) as segment:
        segment.verify_all()


def test_damage_after_opening_is_found_where_it_was_not_yet_read(written: tuple[SegmentRow, Path]) -> None:
    row, path = written
    with open_segment(row, path) as segment:
        segment.check_rows(np.array([0]))
        flip(path, 8 * (HEAD_BYTES + 4 * WIDTH * 500))  # row 500, in another block
        segment.check_rows(np.array([0, 1]))
        with pytest.raises(SegmentDamaged, match=f"block {4 * WIDTH * 500 // BLOCK_BYTES} "):
            segment.check_rows(np.array([3, 500]))
        with pytest.raises(SegmentDamaged, match=f"block {4 * WIDTH * 500 // BLOCK_BYTES} "):
            segment.check_range(490, 510)
        with pytest.raises(SegmentDamaged, match=f"block {4 * WIDTH * 500 // BLOCK_BYTES} "):
            segment.verified_vectors()


def test_verifying_again_finds_damage_to_what_was_right_before(written: tuple[SegmentRow, Path]) -> None:
    row, path = written
    with open_segment(row, path) as segment:
        segment.verify_all()
        flip(path, 8 * (HEAD_BYTES + 5))
        with pytest.raises(SegmentDamaged, match="block 0"):
            segment.verify_all()
        with pytest.raises(SegmentDamaged, match="block 0"):
            segment.check_rows(np.array([0]))


def test_a_row_that_promises_another_shape_is_refused(written: tuple[SegmentRow, Path]) -> None:
    row, path = written
    wrong = SegmentRow(row.id, row.store_id, row.rows + 1, row.width, row.bytes, row.checksum, row.created_at)
    with pytest.raises(SegmentDamaged, match="600"):
        open_segment(wrong, path)


def test_a_vector_wider_than_a_block_is_checked_whole(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    wide = rows_of(["one", "two", "three"], width=40_000)
    row = write_rows(directory, wide)
    flip(path_of(directory, row), 8 * (HEAD_BYTES + 160_000 + 100_000))  # in the middle of the second vector
    with open_segment(row, path_of(directory, row)) as segment:
        segment.check_rows(np.array([0]))
        assert np.array_equal(segment.vectors[0], unit_vectors(3, 40_000)[0])
        with pytest.raises(SegmentDamaged):
            segment.check_rows(np.array([1]))
