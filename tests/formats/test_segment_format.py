"""A segment of version 1, kept for ever: this release reads it, and so does a reader made from the document alone."""

import json
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import xxhash

from retrieval.catalog.rows import SegmentRow
from retrieval.errors import SegmentDamaged
from retrieval.ids import SegmentId, StoreId
from retrieval.segments import layout
from retrieval.segments.postings import unpacked
from retrieval.segments.reader import open_segment
from retrieval.segments.rows import NewRows, StoredChunk
from retrieval.segments.words import hash_term
from retrieval.segments.writer import write_segment
from retrieval.storage.directory import Directory

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).parent / "segment-v1.safetensors"
ROW = SegmentRow(SegmentId("seg_kept"), StoreId("vs_kept"), 4, 5, KEPT.stat().st_size, 0, 1_700_000_000)
DTYPES = {"F32": "<f4", "U8": "u1", "U32": "<u4", "I64": "<i8", "U64": "<u8"}

CHUNKS = [
    StoredChunk(7, 0, 0, 20, "The river was high.", 5, 1, "Rivers", ("Water", "Floods")),
    StoredChunk(7, 1, 21, 44, "Der Fluß führte Wasser.", 8, 2, "Rivers", ("Water",)),
    StoredChunk(9, 0, 0, 9, "東京の川は高かった。", 9, None, "", ()),
    StoredChunk(12, 3, 100, 131, "AB-12\t4.5 | river river river 🙂", 14, 3, "Parts", (), "part\tlength"),
]
WORDS = [f"{chunk.title} {chunk.text}" for chunk in CHUNKS]


def kept_vectors() -> "np.ndarray[Any, np.dtype[np.float32]]":
    vectors = np.zeros((4, 5), np.float32)
    vectors[[0, 1, 2, 3], [0, 1, 2, 3]] = 0.6
    vectors[:, 4] = -0.8
    return vectors


def read_by_the_document(path: Path) -> tuple[dict[str, str], dict[str, "np.ndarray[Any, Any]"], int]:
    """struct, json, numpy and XXH3; nothing of ours."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert length == 8184
    entries = json.loads(content[8:8192].decode("ascii"))
    metadata = entries.pop("__metadata__")
    body = content[8192:]
    tensors, position = {}, 0
    for name, entry in entries.items():
        start, stop = entry["data_offsets"]
        assert start == position, f"a hole before {name}"
        assert start % 64 == 0 or name.startswith("padding.")
        position = stop
        tensors[name] = np.frombuffer(body[start:stop], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        if name.startswith("padding."):
            assert not tensors[name].any()
    assert position == len(body)
    table_start = entries["checksums"]["data_offsets"][0]
    assert f"{xxhash.xxh3_64_intdigest(body[table_start:]):016x}" == metadata["checksums"]
    size = int(metadata["block_bytes"])
    found = [xxhash.xxh3_64_intdigest(body[at : min(at + size, table_start)]) for at in range(0, table_start, size)]
    assert tensors["checksums"].tolist() == found
    return metadata, tensors, xxhash.xxh3_64_intdigest(content[:8192]) & (2**63 - 1)


def kept_row() -> SegmentRow:
    _, _, checksum = read_by_the_document(KEPT)
    return SegmentRow(ROW.id, ROW.store_id, ROW.rows, ROW.width, ROW.bytes, checksum, ROW.created_at)


def test_the_kept_file_reads_as_the_document_says() -> None:
    metadata, tensors, checksum = read_by_the_document(KEPT)
    assert checksum == 0x7F462140B50F40C9
    assert {key: metadata[key] for key in ("format", "version", "segment", "store", "created_at", "block_bytes")} == {
        "format": "carrel.segment",
        "version": "1",
        "segment": "seg_kept",
        "store": "vs_kept",
        "created_at": "1700000000",
        "block_bytes": "65536",
    }
    assert metadata["row_columns"] == "ordinal,start,end,place,tokens,title,path,table_header"
    assert np.array_equal(tensors["vectors"], kept_vectors())
    assert tensors["runs.numbers"].tolist() == [7, 9, 12]
    assert tensors["runs.starts"].tolist() == [0, 2, 3, 4]

    def strings_of(name: str) -> list[str]:
        offsets = tensors[f"{name}.offsets"]
        return [tensors[name][a:b].tobytes().decode() for a, b in pairwise(offsets)]

    assert strings_of("text") == [chunk.text for chunk in CHUNKS]
    strings = strings_of("strings")
    offsets = tensors["paths.offsets"]
    paths = [tuple(strings[n] for n in tensors["paths"][a:b]) for a, b in pairwise(offsets)]
    assert strings[0] == ""
    assert paths[0] == ()
    for chunk, row in zip(CHUNKS, tensors["rows"].tolist(), strict=True):
        assert row[:5] == [chunk.ordinal, chunk.start, chunk.end, chunk.place or 0, chunk.tokens]
        assert (strings[row[5]], paths[row[6]], strings[row[7]]) == (
            chunk.title,
            chunk.heading_path,
            chunk.table_header,
        )
    terms = tensors["words.terms"]
    assert np.all(np.diff(terms.astype(object)) > 0)
    at = terms.tolist().index(xxhash.xxh3_64_intdigest(b"river"))
    start, stop = tensors["words.offsets"][at : at + 2]
    postings = tensors["words.postings"][start:stop]
    assert [(int(p) & 0xFFFFFF, int(p) >> 24) for p in postings] == [(0, 2), (1, 1), (3, 3)]
    assert int(metadata["total_length"]) == tensors["words.lengths"].sum()


def test_this_release_opens_the_kept_file() -> None:
    with open_segment(kept_row(), KEPT) as segment:
        segment.verify_all()
        assert [segment.chunk(row) for row in range(4)] == CHUNKS
        assert np.array_equal(segment.verified_vectors(), kept_vectors())
        assert segment.document_of(np.arange(4)).tolist() == [7, 7, 9, 12]
        rows, often = unpacked(segment.postings.packed("river"))
        assert (rows.tolist(), often.tolist()) == ([0, 1, 3], [2, 1, 3])
        assert hash_term("river") in segment.postings.terms.tolist()


def test_any_safetensors_library_reads_it() -> None:
    tensors = safetensors.numpy.load_file(KEPT)
    assert np.array_equal(tensors["vectors"], kept_vectors())
    assert set(layout.DTYPES) <= set(tensors)


def test_what_is_written_today_follows_the_document(tmp_path: Path) -> None:
    directory = Directory(tmp_path)
    new = NewRows(CHUNKS, WORDS, kept_vectors())
    row = write_segment(directory, new, store=ROW.store_id, segment=ROW.id, created_at=ROW.created_at)
    metadata, tensors, checksum = read_by_the_document(directory.path(layout.segment_name(row.store_id, row.id)))
    assert checksum == row.checksum
    kept_metadata, kept, _ = read_by_the_document(KEPT)
    assert set(metadata) == set(kept_metadata)
    for name in layout.DTYPES:
        if not name.startswith(("words", "checksums")):  # which words a text has may change with a release
            assert np.array_equal(tensors[name], kept[name]), name


def test_a_file_of_larger_blocks_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As they were written at first."""
    directory, rows = Directory(tmp_path), 3_000
    chunks = [StoredChunk(number // 7, number % 7, 0, 30, f"row {number} of {rows}", 5) for number in range(rows)]
    vectors = np.tile(kept_vectors(), (rows // 4, 1))
    new = NewRows(chunks, [chunk.text for chunk in chunks], vectors)
    for size in sorted(layout.BLOCK_BYTES_KNOWN):
        monkeypatch.setattr("retrieval.segments.tensors.BLOCK_BYTES", size)
        row = write_segment(directory, new, store=ROW.store_id, segment=SegmentId(f"seg_{size}"), created_at=1)
        path = directory.path(layout.segment_name(row.store_id, row.id))
        metadata, tensors, _ = read_by_the_document(path)
        assert (metadata["block_bytes"], len(tensors["checksums"]) > 2) == (str(size), True)
        with open_segment(row, path) as segment:
            segment.check_rows(np.array([1, 2_999]))
            segment.verify_all()
            assert [segment.chunk(at) for at in (0, 1_234, 2_999)] == [chunks[at] for at in (0, 1_234, 2_999)]


@pytest.mark.parametrize(
    ("written", "other", "why"),
    [
        (b'"version":"1"', b'"version":"2"', "version is 2, this release reads 1"),
        (b'"block_bytes":"65536"', b'"block_bytes":"00001"', "blocks have 1 bytes"),
    ],
)
def test_another_form_is_refused_in_words(tmp_path: Path, written: bytes, other: bytes, why: str) -> None:
    content = bytearray(KEPT.read_bytes())
    content[: layout.HEAD_BYTES] = content[: layout.HEAD_BYTES].replace(written, other)
    path = tmp_path / "later"
    path.write_bytes(content)
    checksum = layout.head_checksum(bytes(content[: layout.HEAD_BYTES]))
    row = SegmentRow(ROW.id, ROW.store_id, ROW.rows, ROW.width, ROW.bytes, checksum, ROW.created_at)
    with pytest.raises(SegmentDamaged, match=why):
        open_segment(row, path)


def test_the_document_names_every_tensor_and_column() -> None:
    document = (ROOT / "docs/formats/segment.md").read_text("utf-8")
    for name in (*layout.DTYPES, *layout.ROW_COLUMNS):
        assert f"`{name}`" in document
    for name, dtype in layout.DTYPES.items():
        assert f"| `{name}` | {dtype} |" in document
