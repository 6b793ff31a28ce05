"""Codes and codebooks as bytes: every damage is noticed, before FAISS sees any of it."""

import struct

import numpy as np
import pytest
import xxhash

from benchmarks import _vectors
from retrieval.errors import IndexDamaged
from retrieval.index.vectors import Codebook, SegmentCodes, encode_segment, load_codebook, load_codes, train_codebook
from retrieval.index.vectors.codes import lists_for
from retrieval.index.vectors.spreads import Spreads
from tests.support.rows import unit_vectors


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return train_codebook(unit_vectors(2_000, 40, 1), version=7)


@pytest.fixture(scope="module", params=[1, 9])
def codes(request: pytest.FixtureRequest, codebook: Codebook) -> SegmentCodes:
    return encode_segment(codebook, unit_vectors(3_000, 40, 2), lists=request.param)


def resealed(data: bytearray) -> bytes:
    """With a checksum that matches: what a faulty writer would leave."""
    data[8:16] = struct.pack("<Q", xxhash.xxh3_64_intdigest(data[16:]))
    return bytes(data)


def test_any_flipped_bit_is_noticed(codebook: Codebook, codes: SegmentCodes) -> None:
    chance = np.random.default_rng(5)
    for data, load in (
        (codes.as_bytes(), lambda damaged: load_codes(damaged, codebook)),
        (codebook.as_bytes(), load_codebook),
    ):
        places = [*range(48 * 8), *chance.integers(0, 8 * len(data), 300).tolist()]
        for bit in places:
            damaged = bytearray(data)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(IndexDamaged):
                load(bytes(damaged))


def test_bytes_cut_short_or_too_long_are_noticed(codebook: Codebook, codes: SegmentCodes) -> None:
    data = codes.as_bytes()
    for damaged in (b"", data[:20], data[:47], data[:-1], data + b"\0"):
        with pytest.raises(IndexDamaged):
            load_codes(damaged, codebook)
        with pytest.raises(IndexDamaged):
            load_codes(resealed(bytearray(damaged.ljust(16, b"\0"))), codebook)
    for damaged in (b"", codebook.as_bytes()[:30], codebook.as_bytes()[:-4]):
        with pytest.raises(IndexDamaged):
            load_codebook(damaged)


def test_numbers_that_would_lead_outside_memory_are_refused_even_under_a_right_checksum(codebook: Codebook) -> None:
    data = encode_segment(codebook, unit_vectors(3_000, 40, 2), lists=9).as_bytes()
    sizes, rows = 40, 40 + 4 * 9
    for place, value in ((16, 8), (20, 2_999), (24, 44), (28, 11), (32, 10), (32, 0), (sizes, 2**31), (rows, 3_000)):
        damaged = bytearray(data)
        damaged[place : place + 4] = struct.pack("<I", value)
        with pytest.raises(IndexDamaged):
            load_codes(resealed(damaged), codebook)
    twice = bytearray(data)
    twice[rows : rows + 4] = twice[rows + 4 : rows + 8]
    with pytest.raises(IndexDamaged, match="in no list or in two"):
        load_codes(resealed(twice), codebook)


def test_centres_and_centroids_must_be_numbers(codebook: Codebook) -> None:
    data = bytearray(encode_segment(codebook, unit_vectors(3_000, 40, 2), lists=9).as_bytes())
    centres = 40 + 4 * 9 + 4 * 3_000
    data[centres : centres + 4] = struct.pack("<f", float("nan"))
    with pytest.raises(IndexDamaged, match="not finite"):
        load_codes(resealed(data), codebook)
    book = bytearray(codebook.as_bytes())
    book[-4:] = struct.pack("<f", float("inf"))
    with pytest.raises(IndexDamaged, match="not finite"):
        load_codebook(resealed(book))


def test_codes_of_another_codebook_are_refused(codes: SegmentCodes) -> None:
    other = train_codebook(unit_vectors(2_000, 40, 1), version=8)
    with pytest.raises(IndexDamaged, match="codebook 7"):
        load_codes(codes.as_bytes(), other)


def test_the_same_rows_and_seed_give_the_same_bytes(codebook: Codebook) -> None:
    rows = unit_vectors(3_000, 40, 2)
    assert train_codebook(unit_vectors(2_000, 40, 1), version=7).as_bytes() == codebook.as_bytes()
    for lists in (1, 9):
        assert (
            encode_segment(codebook, rows, lists=lists).as_bytes()
            == encode_segment(codebook, rows, lists=lists).as_bytes()
        )


@pytest.mark.parametrize("width", [1, 2, 3, 9, 100, 511, 512, 513, 769, 1_100])
def test_a_codebook_of_any_width_keeps_its_length(width: int) -> None:
    rows = unit_vectors(200, width, 1)
    codebook = train_codebook(rows, version=1)
    assert codebook.subquantizers == -(-width // (4 if width <= 512 else 8))
    assert train_codebook(rows, version=1, finer=True).subquantizers == -(-width // (2 if width <= 512 else 4))
    projected = codebook.project(rows)
    assert projected.shape == (200, codebook.coded_width)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=1), 1, atol=1e-4)
    np.testing.assert_allclose(codebook.project_query(rows[3]), projected[3], atol=1e-5)


def test_a_turn_keeps_every_inner_product() -> None:
    rows = unit_vectors(3_000, 90, 1) * np.linspace(1, 0.01, 90, dtype=np.float32)
    codebook = train_codebook(rows, version=1)
    assert codebook.turn is not None
    turned = codebook.project(rows[:50])
    np.testing.assert_allclose(turned @ turned.T, rows[:50] @ rows[:50].T, atol=1e-5)


def test_large_segments_are_split_by_the_root_of_their_rows() -> None:
    sizes = (0, 20_000, 499_999, 500_000, 1_000_000, 4_000_000)
    assert [lists_for(rows) for rows in sizes] == [1, 1, 1, 512, 1024, 2048]


def test_a_large_segment_is_split_only_where_its_rows_gather(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.index.vectors.codes.SPLIT_FROM", 10_000)
    for kind, split in (("mixture", True), ("hard", False)):
        rows = _vectors.KINDS[kind](12_000, 128, 3)
        codes = encode_segment(train_codebook(rows, version=1), rows)
        assert (codes.split is not None) is split
        assert len(codes.lists.sizes) == (128 if split else 1)


def test_the_spread_of_a_list_is_that_of_its_rows_around_the_centre() -> None:
    rows = _vectors.mixture(12_000, 64, 3)
    codebook = train_codebook(rows, version=1)
    codes = encode_segment(codebook, rows, lists=24)
    split, order = codes.split, codes.lists.rows
    assert split is not None
    assert order is not None
    spreads = Spreads.of(codes.lists, split.centroids)
    placed, ends = codebook.project(rows)[order], np.cumsum(codes.lists.sizes)
    around = [
        float(np.sqrt(((placed[end - size : end] - centre) ** 2).sum(axis=1).mean()))
        for centre, size, end in zip(split.centres, codes.lists.sizes, ends, strict=True)
    ]
    assert np.corrcoef(spreads.of_lists, around)[0, 1] > 0.9


def test_no_list_is_doubted_below_a_bar_that_nothing_reaches_and_every_one_without_a_bar() -> None:
    rows = _vectors.mixture(12_000, 64, 3)
    codebook = train_codebook(rows, version=1)
    codes = encode_segment(codebook, rows, lists=24)
    assert codes.split is not None
    spreads = Spreads.of(codes.lists, codes.split.centroids)
    query = codebook.project_query(rows[5])
    nearness = codes.split.centres @ query
    assert not len(spreads.doubtful(query, nearness, 9.0, codes.lists.sizes))
    held = np.flatnonzero(codes.lists.sizes)
    assert sorted(spreads.doubtful(query, nearness, -np.inf, codes.lists.sizes)) == held.tolist()
    few = np.where(np.arange(24) < 3, codes.lists.sizes, 0)
    assert set(spreads.doubtful(query, nearness, -np.inf, few)) <= {0, 1, 2}
