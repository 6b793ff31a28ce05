"""The vector side by example: what it refuses, what it shares, what it reads, and that threads do not meet."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from retrieval.index.vectors import (
    Codebook,
    Effort,
    SegmentVectors,
    VectorSide,
    calibrate,
    encode_segment,
    index_store,
    train_codebook,
    use_one_thread,
)
from retrieval.index.vectors.placing import IdSpace
from tests.support.rows import unit_vectors

Matrix = NDArray[np.float32]


@pytest.fixture(scope="module")
def codebook() -> Codebook:
    return train_codebook(unit_vectors(3_000, 24, 1), version=1)


def of(*matrices: Matrix, codebook: Codebook | None = None) -> VectorSide:
    return VectorSide.empty(24, codebook).with_segments([SegmentVectors(one) for one in matrices])


def test_a_store_without_rows_finds_nothing() -> None:
    assert len(of().search(unit_vectors(1, 24)[0], 10)) == 0
    assert len(of(np.empty((0, 24), np.float32)).search(unit_vectors(1, 24)[0], 10)) == 0


def test_a_single_row_is_found_at_any_width() -> None:
    for width in (1, 5, 99, 384, 769, 1_536, 2_000):
        rows = unit_vectors(1, width, width)
        codebook = train_codebook(unit_vectors(64, width, 3), version=1)
        for side in (VectorSide.empty(width), VectorSide.empty(width, codebook)):
            hits = side.with_segments([SegmentVectors(rows)]).search(rows[0], 10)
            assert (hits.segments.tolist(), hits.rows.tolist()) == ([0], [0])
            assert hits.scores[0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("rows", [1, 2, 9, 10, 11, 40])
@pytest.mark.parametrize("lists", [None, 1, 3])
def test_a_store_of_a_few_rows_can_be_indexed_and_calibrated(rows: int, lists: int | None) -> None:
    vectors = unit_vectors(rows, 24, rows)
    codebook = train_codebook(vectors, version=1)
    codes = None if lists is None else encode_segment(codebook, vectors, lists=lists)
    side = VectorSide.empty(24, codebook).with_segments([SegmentVectors(vectors, codes)])
    assert calibrate(side).recall == 1
    everything = side.select([None], by_codes=True)
    assert len(side.search(vectors[0], 10, everything)) == min(rows, 10)
    assert index_store([vectors, vectors[:0]], version=1) is not None


def test_nothing_to_index_is_no_index() -> None:
    assert index_store([], version=1) is None
    assert index_store([np.empty((0, 24), np.float32)], version=1) is None


def test_a_store_of_one_text_many_times_is_searched_by_codes() -> None:
    vectors = np.repeat(unit_vectors(1, 24), 5_000, axis=0)
    index = index_store([vectors], version=1)
    assert index is not None
    side = VectorSide.empty(24, index.codebook, index.effort).with_segments([SegmentVectors(vectors, index.codes[0])])
    hits = side.search(vectors[0], 10, side.select([None], by_codes=True))
    assert len(hits) == 10
    np.testing.assert_allclose(hits.scores, 1, atol=1e-5)


def test_ties_stand_in_the_order_of_segments_and_rows() -> None:
    row = unit_vectors(1, 24)
    hits = of(np.repeat(row, 3, axis=0), np.repeat(row, 2, axis=0)).search(row[0], 10)
    assert list(zip(hits.segments.tolist(), hits.rows.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 1),
    ]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_query_that_is_no_vector_is_refused(bad: float) -> None:
    query = unit_vectors(1, 24)[0].copy()
    query[7] = bad
    with pytest.raises(ValueError, match="24 finite numbers"):
        of(unit_vectors(5, 24)).search(query, 1)


def test_a_query_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="24 finite numbers"):
        of(unit_vectors(5, 24)).search(unit_vectors(1, 23)[0], 1)


def test_what_does_not_fit_a_side_is_refused(codebook: Codebook) -> None:
    rows = unit_vectors(10, 24)
    codes = encode_segment(codebook, rows)
    other = VectorSide.empty(24, train_codebook(rows, version=2))
    with pytest.raises(ValueError, match="codebook 1"):
        other.with_segments([SegmentVectors(rows, codes)])
    with pytest.raises(ValueError, match="codes of 10 rows for 9"):
        VectorSide.empty(24, codebook).with_segments([SegmentVectors(rows[:9], codes)])
    with pytest.raises(ValueError, match="width 24"):
        of(unit_vectors(3, 25))
    with pytest.raises(ValueError, match="width 24"):
        VectorSide.empty(25, codebook)
    same = SegmentVectors(rows)
    with pytest.raises(ValueError, match="twice"):
        VectorSide.empty(24).with_segments([same, same])


def test_a_mask_that_does_not_fit_its_segment_is_refused() -> None:
    side = of(unit_vectors(5, 24), unit_vectors(6, 24))
    for masks in ([None], [np.ones(6, np.bool_), None], [np.ones(5, np.uint8), None]):
        with pytest.raises(ValueError, match="mask"):
            side.select(masks)  # type: ignore[arg-type]  # the third is the wrong type on purpose


def test_rows_about_to_be_read_are_shown_to_the_check_first(codebook: Codebook) -> None:
    read: list[NDArray[np.int64] | slice] = []
    large, small = unit_vectors(40_000, 24, 2), unit_vectors(50, 24, 3)
    segments = [
        SegmentVectors(large, encode_segment(codebook, large), read.append),
        SegmentVectors(small, None, read.append),
    ]
    side = VectorSide.empty(24, codebook, Effort(500)).with_segments(segments)
    assert read == [slice(0, 50)]  # copied, so never read again
    side = VectorSide.empty(24, codebook, Effort(500)).with_segments(segments)
    query = unit_vectors(1, 24, 4)[0]
    read.clear()
    side.search(query, 5, exact=True)
    assert read == [slice(0, 40_000)]
    read.clear()
    # 3.8 MB of vectors would be scored row by row: a store of 100,000 is not.
    wide = side.with_segments([*segments, SegmentVectors(unit_vectors(70_000, 24, 5))])
    hits = wide.search(query, 5)
    scored = [rows for rows in read if isinstance(rows, np.ndarray)]
    assert len(scored) == len(read)
    assert set(hits.rows[hits.segments == 0].tolist()) <= set(np.concatenate(scored).tolist())
    assert all(np.all(np.diff(rows) > 0) for rows in scored)


def test_damage_met_by_the_check_ends_the_search() -> None:
    def damaged(rows: NDArray[np.int64] | slice) -> None:
        raise RuntimeError("block 3 is not what was written")

    side = VectorSide.empty(24).with_segments([SegmentVectors(unit_vectors(5_000, 24), None, damaged)])
    with pytest.raises(RuntimeError, match="block 3"):
        side.search(unit_vectors(1, 24)[0], 3)


def test_the_next_side_shares_what_this_one_holds(codebook: Codebook) -> None:
    checked: list[object] = []
    first = SegmentVectors(unit_vectors(500, 24, 1), None, checked.append)
    second = SegmentVectors(unit_vectors(300, 24, 2), None, checked.append)
    one = VectorSide.empty(24, codebook).with_segments([first])
    two = one.with_segments([first, second])
    assert checked == [slice(0, 500), slice(0, 300)]
    assert np.shares_memory(one.pools[0].matrix, two.pools[0].matrix)
    query = second.vectors[5]
    assert (one.search(query, 1).segments[0], two.search(query, 1).segments[0]) == (0, 1)
    assert len(one.search(query, 1_000)) == 500  # the older snapshot does not see what came later


def test_segments_that_left_are_not_found_and_their_room_is_used_again(
    codebook: Codebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retrieval.index.vectors.side.SMALL_BYTES", 200 * 24 * 4)
    side = VectorSide.empty(24, codebook)
    for turn in range(12):
        live = [SegmentVectors(unit_vectors(50, 24, turn)) for _ in range(2)]
        side = side.with_segments(live)
        hits = side.search(live[1].vectors[7], 1_000)
        assert len(hits) == 100
        assert hits.rows[0] == 7
        assert len(side.pools) == 1
    crowded = side.with_segments([SegmentVectors(unit_vectors(60, 24, turn)) for turn in range(6)])
    assert len(crowded.search(unit_vectors(1, 24)[0], 1_000)) == 360  # what finds no room is read where it lies


def test_hundreds_of_small_segments_are_searched_as_a_few_lists(codebook: Codebook) -> None:
    live = [SegmentVectors(unit_vectors(40, 24, 50 + turn)) for turn in range(130)]
    side = VectorSide.empty(24, codebook, Effort(50))
    for end in range(1, len(live) + 1):
        side = side.with_segments(live[:end])
    whole = np.concatenate([one.vectors for one in live])
    for gone in ([], [3], [3, 60, 61, 129]):
        kept = [one for place, one in enumerate(live) if place not in gone]
        rows = whole if not gone else np.concatenate([one.vectors for one in kept])
        side = side.with_segments(kept)
        assert side.lists < 60
        selection = side.select([None] * len(kept), by_codes=True)
        for query in unit_vectors(20, 24, 7):
            hits = side.search(query, 10, selection)
            own = [kept[segment].vectors[row] @ query for segment, row in zip(hits.segments, hits.rows, strict=True)]
            np.testing.assert_allclose(hits.scores, own, atol=1e-6)
            assert np.count_nonzero(hits.scores >= np.sort(rows @ query)[-10] - 1e-6) >= 7


def test_scores_of_given_rows_are_exact(codebook: Codebook) -> None:
    matrices = [unit_vectors(5_000, 24, 1), unit_vectors(40, 24, 2), unit_vectors(30, 24, 3)]
    side = of(*matrices, codebook=codebook)
    query, rows = unit_vectors(1, 24, 9)[0], np.array([29, 0, 3, 3])
    for number, matrix in enumerate(matrices):
        np.testing.assert_allclose(side.scores(query, number, rows), matrix[rows] @ query, atol=1e-6)
        with pytest.raises(ValueError, match="rows"):
            side.scores(query, number, np.array([len(matrix)]))
        assert len(side.scores(query, number, np.empty(0, np.int64))) == 0


def test_many_threads_searching_and_extending_see_only_their_own_side(codebook: Codebook) -> None:
    base = SegmentVectors(unit_vectors(6_000, 24, 1))
    side = VectorSide.empty(24, codebook, Effort(100)).with_segments([base])
    start = threading.Barrier(4)

    def work(seed: int) -> None:
        start.wait(timeout=30)
        mine, live = side, [base]
        for step in range(30):
            live = [*live, SegmentVectors(unit_vectors(20, 24, 1_000 * (seed + 1) + step))]
            mine = mine.with_segments(live)
            wanted = live[-1].vectors[11]
            hits = mine.search(wanted, 3)
            assert (hits.segments[0], hits.rows[0]) == (len(live) - 1, 11)
            assert mine.everything.count == 6_000 + 20 * (step + 1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def test_ids_are_given_again_once_nobody_holds_them() -> None:
    space = IdSpace()
    first, second = space.take(100), space.take(10)
    assert (first.start, second.start) == (0, 128)
    del first
    gc.collect()
    third, fourth = space.take(64), space.take(65)
    assert (third.start, fourth.start) == (0, 192)
    assert space.take(64).start == 64
    assert second.start == 128


def test_a_thread_uses_one_core_from_its_first_call_on() -> None:
    """Each thread begins with as many as OpenMP likes, whatever others were told."""

    def begun_and_told() -> tuple[int, int, int]:
        faiss.omp_set_num_threads(2)
        begun = faiss.omp_get_max_threads()
        use_one_thread()
        told = faiss.omp_get_max_threads()
        use_one_thread()
        return begun, told, faiss.omp_get_max_threads()

    for _ in range(2):
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(begun_and_told).result() == (2, 1, 1)
