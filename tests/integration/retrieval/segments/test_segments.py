"""Segments over real files: what can be written, what stays readable, and what a fold refuses."""

from pathlib import Path

import numpy as np
import pytest

from retrieval.errors import ObjectExists, SegmentDamaged
from retrieval.ids import SegmentId, StoreId, new_segment_id
from retrieval.segments.folding import fold_segments
from retrieval.segments.postings import unpacked
from retrieval.segments.reader import open_segment
from retrieval.segments.rows import NewRows
from retrieval.segments.writer import write_segment
from retrieval.storage.directory import Directory, Disk
from retrieval.storage.objects import Storage
from tests.support.rows import STORE, open_row, path_of, rows_of, unit_vectors, write_rows
from tests.support.s3 import S3Server


def test_a_segment_outlives_its_file_and_its_arrays_outlive_it(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    new = rows_of(["one", "two"])
    row = write_rows(directory, new)
    segment = open_row(directory, row)
    path_of(directory, row).unlink()
    vectors = segment.verified_vectors()
    assert segment.chunk(1).text == "two"
    segment.close()
    assert np.array_equal(vectors, new.vectors)


def test_vectors_lie_aligned_and_cannot_be_written_to(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    for width in (3, 7, 384):
        with open_row(directory, write_rows(directory, rows_of(["a", "b", "c"], width=width))) as segment:
            assert segment.vectors.ctypes.data % 64 == 0
            assert segment.vectors.flags.c_contiguous
            with pytest.raises(ValueError, match="read-only"):
                segment.vectors[0, 0] = 1


def test_many_open_segments_take_no_private_memory_to_speak_of(tmp_path: Path) -> None:
    def private_bytes() -> int:
        fields = Path("/proc/self/smaps_rollup").read_text().splitlines()
        return sum(
            1024 * int(line.split()[1]) for line in fields if line.startswith(("Private_Dirty", "Private_Clean"))
        )

    directory = Directory(tmp_path)
    row = write_rows(directory, rows_of([f"text {n} of many" * 20 for n in range(2000)], width=512))
    assert row.bytes > 4_000_000
    with open_row(directory, row) as warm:
        warm.verify_all()
    before = private_bytes()
    segments = [open_segment(row, path_of(directory, row)) for _ in range(8)]
    for segment in segments:
        segment.verify_all()
        unpacked(segment.postings.packed("many"))
    # The mapping of one file in one process counts as private once; eight copies would be 32 MB.
    assert private_bytes() - before < 2 * row.bytes
    for segment in segments:
        segment.close()


def test_an_id_is_written_once(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    first = write_rows(directory, rows_of(["one"]), SegmentId("seg_1"))
    with pytest.raises(ObjectExists):
        write_rows(directory, rows_of(["two"]), SegmentId("seg_1"))
    with open_row(directory, first) as segment:
        assert segment.chunk(0).text == "one"


@pytest.mark.parametrize("spoil", ["long", "zero", "nan", "infinite"])
def test_a_vector_that_is_not_of_unit_length_is_our_own_bug(tmp_path: Path, spoil: str) -> None:
    vectors = unit_vectors(3, 8)
    vectors[1] = {"long": vectors[1] * 1.1, "zero": 0, "nan": np.nan, "infinite": np.inf}[spoil]
    new = rows_of(["a", "b", "c"])
    with pytest.raises(ValueError, match="vector 1 has length"):
        write_rows(Directory(tmp_path), NewRows(new.chunks, new.words, vectors))
    assert list(Directory(tmp_path).list()) == []


def test_rows_that_do_not_match_are_our_own_bug() -> None:
    new = rows_of(["a", "b"])
    with pytest.raises(ValueError, match="2 chunks, 1 texts"):
        NewRows(new.chunks, ["a"], new.vectors)
    with pytest.raises(ValueError, match="float32"):
        NewRows(new.chunks, new.words, new.vectors.astype(np.float64))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs rows"):
        NewRows([], [], np.empty((0, 8), np.float32))


def test_half_a_surrogate_pair_does_not_stop_a_segment(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    with open_row(directory, write_rows(directory, rows_of(["broken \ud83d text"]))) as segment:
        assert segment.chunk(0).text == "broken ? text"
        assert unpacked(segment.postings.packed("broken"))[0].tolist() == [0]


def test_a_row_beyond_the_last_is_an_error(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    with open_row(directory, write_rows(directory, rows_of(["one"]))) as segment:
        for row in (-1, 1):
            with pytest.raises(IndexError, match="has 1 rows"):
                segment.chunk(row)


def test_a_word_that_occurs_more_often_than_can_be_counted_counts_as_the_most(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    with open_row(directory, write_rows(directory, rows_of(["word " * 1000, "word"]))) as segment:
        rows, often = unpacked(segment.postings.packed("word"))
        assert rows.tolist() == [0, 1]
        assert often.tolist() == [255, 1]
        assert segment.postings.lengths.tolist() == [1000, 1]


class ForgetfulDisk(Disk):
    """Says that it wrote all, and lost a thousand bytes."""

    def write(self, descriptor: int, piece: memoryview, position: int) -> int:
        if len(piece) > 10_000:
            piece = memoryview(bytes(piece[:9_000]) + bytes(1_000) + bytes(piece[10_000:]))
        return super().write(descriptor, piece, position)


def test_a_disk_that_lies_is_found_out_before_anyone_hears_of_the_segment(tmp_path: Path) -> None:
    directory = Directory(tmp_path, disk=ForgetfulDisk())
    with pytest.raises(SegmentDamaged):
        write_rows(directory, rows_of([f"a text about {number}" for number in range(200)]))
    assert list(directory.list()) == []
    assert directory.sweep() == 0


def test_only_segments_of_one_store_and_one_width_are_folded(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    narrow = open_row(directory, write_rows(directory, rows_of(["a"], width=4)))
    wide = open_row(directory, write_rows(directory, rows_of(["a"], width=8)))
    foreign = open_row(
        directory,
        write_segment(
            directory, rows_of(["a"], width=4), store=StoreId("vs_other"), segment=new_segment_id(), created_at=1
        ),
    )
    for pair in ([narrow, wide], [narrow, foreign]):
        with pytest.raises(ValueError, match="one store and one width"):
            fold_segments(
                directory, pair, lambda numbers: numbers > 0, store=STORE, segment=new_segment_id(), created_at=1
            )


def test_a_damaged_segment_is_not_folded_into_a_sound_one(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    rows = [write_rows(directory, rows_of([f"text {n}" for n in range(300)], width=64, seed=seed)) for seed in (1, 2)]
    path = path_of(directory, rows[1])
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    segments = [open_row(directory, row) for row in rows]
    before = {stored.name for stored in directory.list()}
    with pytest.raises(SegmentDamaged, match=rows[1].id):
        fold_segments(
            directory, segments, lambda numbers: numbers > 0, store=STORE, segment=new_segment_id(), created_at=1
        )
    assert {stored.name for stored in directory.list()} == before


def test_segments_live_in_a_bucket_as_well(s3: S3Server, tmp_path: Path) -> None:
    address = s3.new_address()
    writer: Storage = s3.open(address, tmp_path / "writer")
    reader: Storage = s3.open(address, tmp_path / "reader")
    rows = [write_rows(writer, rows_of([f"text {n}"], documents=[n])) for n in range(2)]
    with open_row(reader, rows[0]) as one, open_row(reader, rows[1]) as other:
        folded = fold_segments(
            reader, [one, other], lambda numbers: numbers >= 0, store=STORE, segment=new_segment_id(), created_at=1
        )
    assert folded is not None
    with open_row(writer, folded) as segment:
        assert [segment.chunk(row).text for row in range(2)] == ["text 0", "text 1"]


def test_opening_touches_little_of_a_large_file(tmp_path: Path) -> None:
    """Damage everywhere but in the head and the table of checksums goes unnoticed until it is met."""
    directory = Directory(tmp_path)
    row = write_rows(directory, rows_of([f"text {n}" for n in range(500)], width=256))
    path = path_of(directory, row)
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(bytes(400_000))
    with open_row(directory, row) as segment, pytest.raises(SegmentDamaged):
        segment.check_range(0, 1)
