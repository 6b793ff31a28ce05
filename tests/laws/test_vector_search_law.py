"""Vector search against brute force: exact equals it, codes come close, and no row outside its mask is ever seen."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from benchmarks import _vectors
from retrieval.index.vectors import (
    Codebook,
    Effort,
    SegmentVectors,
    VectorHits,
    VectorSide,
    calibrate,
    encode_segment,
    index_store,
    load_codebook,
    load_codes,
    train_codebook,
)

Matrix = NDArray[np.float32]
Masks = list[NDArray[np.bool_] | None]
CLOSE = 2e-6


@dataclass(frozen=True)
class Case:
    segments: list[SegmentVectors]
    masks: Masks
    query: Matrix
    codebook: Codebook


def made(chance: np.random.Generator, rows: int, width: int, distinct: int) -> Matrix:
    """Rows with exact duplicates among them."""
    few = chance.standard_normal((max(distinct, 1), width)).astype(np.float32)
    few /= np.maximum(np.linalg.norm(few, axis=1, keepdims=True), 1e-9)
    return np.ascontiguousarray(few[chance.integers(0, len(few), rows)])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = draw(st.sampled_from([1, 2, 3, 4, 7, 16, 33, 100]))
    sizes = draw(st.lists(st.sampled_from([0, 1, 2, 31, 32, 33, 100, 700, 4_100]), max_size=5))
    matrices = [made(chance, rows, width, draw(st.sampled_from([1, 5, 10_000]))) for rows in sizes]
    sample = np.concatenate([*matrices, made(chance, 20, width, 20)])
    codebook = train_codebook(sample, version=3)
    segments = []
    for matrix in matrices:
        how = draw(st.sampled_from(["none", "one list", "many lists"]))
        codes = None if how == "none" else encode_segment(codebook, matrix, lists=1 if how == "one list" else 7)
        segments.append(SegmentVectors(matrix, codes))
    masks: Masks = []
    for matrix in matrices:
        share = draw(st.sampled_from([None, 0.0, 0.02, 0.5, 0.98, 1.0]))
        masks.append(None if share is None else chance.random(len(matrix)) < share)
    return Case(segments, masks, made(chance, 1, width, 1)[0], codebook)


def brute_force(case: Case) -> list[tuple[float, int, int]]:
    """Every selected row as (score, segment, row), best first."""
    found = []
    for number, (segment, mask) in enumerate(zip(case.segments, case.masks, strict=True)):
        scores = segment.vectors.astype(np.float64) @ case.query.astype(np.float64)
        rows = range(len(scores)) if mask is None else np.flatnonzero(mask).tolist()
        found += [(float(scores[row]), number, row) for row in rows]
    return sorted(found, key=lambda hit: (-hit[0], hit[1], hit[2]))


def assert_true_hits(case: Case, hits: VectorHits) -> None:
    """Each hit is selected, stands once, has its own exact score, and none is below the next."""
    seen = list(zip(hits.segments.tolist(), hits.rows.tolist(), strict=True))
    assert len(set(seen)) == len(seen)
    for (number, row), score in zip(seen, hits.scores.tolist(), strict=True):
        mask = case.masks[number]
        assert mask is None or mask[row], "a row outside its mask was returned"
        assert score == pytest.approx(float(case.segments[number].vectors[row] @ case.query), abs=CLOSE)
    assert np.all(np.diff(hits.scores) <= 0)


@given(case=cases(), k=st.sampled_from([1, 3, 10, 200, 10_000]), coded=st.booleans())
@settings(max_examples=120, deadline=None)
def test_an_exact_search_equals_brute_force_under_any_mask(case: Case, k: int, coded: bool) -> None:
    segments = case.segments if coded else [SegmentVectors(one.vectors) for one in case.segments]
    width = len(case.query)
    side = VectorSide.empty(width, case.codebook if coded else None).with_segments(segments)
    hits = side.search(case.query, k, side.select(case.masks), exact=True)
    expected = brute_force(case)[:k]
    assert len(hits) == len(expected)
    assert_true_hits(case, hits)
    np.testing.assert_allclose(hits.scores, [score for score, _, _ in expected], atol=CLOSE)


@given(
    case=cases(),
    k=st.sampled_from([1, 10, 300]),
    candidates=st.sampled_from([1, 10, 300]),
    probes=st.integers(1, 999),
    by_codes=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_a_search_by_codes_returns_as_many_true_hits_as_there_are_and_leaks_nothing(
    case: Case, k: int, candidates: int, probes: int, by_codes: bool
) -> None:
    side = VectorSide.empty(len(case.query), case.codebook, Effort(candidates, probes)).with_segments(case.segments)
    selection = side.select(case.masks, by_codes=by_codes)
    hits = side.search(case.query, k, selection)
    assert len(hits) == min(k, selection.count) == min(k, len(brute_force(case)))
    assert_true_hits(case, hits)


@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.05, 0.3, 0.9]), lists=st.sampled_from([1, 16]))
@settings(max_examples=12, deadline=None)
def test_codes_under_a_bitmap_never_show_a_row_outside_it(seed: int, share: float, lists: int) -> None:
    chance = np.random.default_rng(seed)
    matrices = [made(chance, rows, 64, 10_000) for rows in (15_000, 900, 5_000)]
    codebook = train_codebook(matrices[0], version=1, seed=seed)
    segments = [
        SegmentVectors(matrices[0], encode_segment(codebook, matrices[0], lists=lists)),
        SegmentVectors(matrices[1]),
        SegmentVectors(matrices[2], encode_segment(codebook, matrices[2], lists=1)),
    ]
    masks: Masks = [chance.random(len(one)) < share for one in matrices]
    side = VectorSide.empty(64, codebook, Effort(100, 200)).with_segments(segments)
    selection = side.select(masks, by_codes=True)
    query = made(chance, 1, 64, 1)[0]
    hits = side.search(query, 20, selection)
    assert len(hits) == 20
    assert_true_hits(Case(segments, masks, query, codebook), hits)


@given(
    sizes=st.lists(st.lists(st.integers(1, 60), max_size=6), min_size=1, max_size=6),
    keep=st.randoms(use_true_random=False),
)
@settings(max_examples=40, deadline=None)
def test_a_side_grown_step_by_step_answers_like_one_opened_at_once(
    sizes: list[list[int]], keep: "np.random.Generator"
) -> None:
    chance = np.random.default_rng(len(sizes))
    codebook = train_codebook(made(chance, 200, 12, 200), version=1)
    side, live = VectorSide.empty(12, codebook), list[SegmentVectors]()
    for step in sizes:
        live = [one for one in live if keep.random() < 0.7]
        live += [SegmentVectors(made(chance, rows, 12, 50)) for rows in step]
        side = side.with_segments(live)
        query = made(chance, 1, 12, 1)[0]
        grown, fresh = side.search(query, 15), VectorSide.empty(12, codebook).with_segments(live).search(query, 15)
        np.testing.assert_array_equal(grown.scores, fresh.scores)
        assert_true_hits(Case(live, [None] * len(live), query, codebook), grown)


def recall(side: VectorSide, queries: Matrix, masks: Masks | None = None) -> float:
    selection = side.select(masks or [None] * len(side.segments), by_codes=True)
    shares = []
    for query in queries:
        truth = side.search(query, 10, selection, exact=True).scores
        found = side.search(query, 10, selection).scores
        shares.append(np.count_nonzero(found >= truth[-1] - 1e-5) / len(truth))
    return float(np.mean(shares))


@pytest.mark.parametrize("kind", sorted(_vectors.KINDS))
def test_a_calibrated_index_keeps_its_recall_on_queries_it_was_not_measured_with(kind: str) -> None:
    rows = _vectors.KINDS[kind](30_000, 64, 1)
    index = index_store([rows], version=1)
    if index is None:
        pytest.fail("no codebook served")
    side = VectorSide.empty(64, index.codebook, index.effort).with_segments([SegmentVectors(rows, index.codes[0])])
    assert index.effort.recall >= 0.99
    queries = _vectors.queries_for(kind, rows, 150, 2)
    assert recall(side, queries) >= 0.985  # one part in two hundred for chance: 1,500 hits are counted
    halves: Masks = [np.arange(len(rows)) % 2 == 0]
    assert recall(side, queries[:60], halves) >= 0.98


def test_a_codebook_serves_ten_times_the_rows_it_was_trained_on_after_a_new_calibration() -> None:
    rows = _vectors.mixture(50_000, 48, 4)
    codebook = train_codebook(rows[:5_000], version=1)
    parts = [rows[start : start + 10_000] for start in range(0, 50_000, 10_000)]
    segments = [SegmentVectors(part, encode_segment(codebook, part)) for part in parts]
    side = VectorSide.empty(48, codebook).with_segments(segments)
    effort = calibrate(side)
    assert effort.candidates > 0
    assert recall(side.with_effort(effort), _vectors.mixture(100, 48, 5)) >= 0.985


def split_side() -> tuple[VectorSide, Matrix, Masks]:
    """A split segment, its rows, and a filter that follows the vectors: the rows around one of them."""
    rows = _vectors.mixture(40_000, 256, 8)
    codebook = train_codebook(rows, version=1)
    codes = encode_segment(codebook, rows, lists=64)
    side = VectorSide.empty(256, codebook, Effort(600, 350)).with_segments([SegmentVectors(rows, codes)])
    nearness = rows @ rows[17]
    return side, rows, [nearness >= np.partition(nearness, -25_000)[-25_000]]


def test_a_filter_that_follows_the_vectors_is_answered_from_a_split_segment_as_well_as_any() -> None:
    side, rows, cluster = split_side()
    assert cluster[0] is not None
    assert recall(side, _vectors.mixture(60, 256, 10), cluster) >= 0.98
    assert recall(side, rows[cluster[0]][:60], [~cluster[0]]) >= 0.97


@pytest.mark.parametrize("filtered", [False, True])
def test_queries_unlike_anything_stored_are_answered_from_a_split_segment_as_well_as_any(filtered: bool) -> None:
    side, rows, cluster = split_side()
    opposite = np.ascontiguousarray(_vectors.mixture(40, 256, 9) * 0.3 - rows[17:18])
    opposite /= np.linalg.norm(opposite, axis=1, keepdims=True)
    assert recall(side, opposite, cluster if filtered else None) >= 0.97


@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_codes_and_codebooks_read_back_as_written(data: st.DataObject) -> None:
    case = data.draw(cases())
    codebook = load_codebook(case.codebook.as_bytes())
    np.testing.assert_array_equal(codebook.centroids, case.codebook.centroids)
    for segment in case.segments:
        if segment.codes is not None:
            again = load_codes(segment.codes.as_bytes(), codebook)
            np.testing.assert_array_equal(again.lists.packed, segment.codes.lists.packed)
            np.testing.assert_array_equal(again.lists.sizes, segment.codes.lists.sizes)
