"""The vector side alone, beside one-thread faiss.knn over the same mapping, and beside graphs of the same rows.

    python -m benchmarks vectors [ROWSxWIDTH ...] [--kinds mixture,hard,near-duplicates] [--peers]

Without sizes: 100000x384. The sizes that targets are set for are 100000x384, 1000000x384 and 100000x1536.
"""

import tempfile
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks._measure import (
    Matrix,
    give_back,
    mapped,
    private_bytes,
    processor_seconds,
    read_bandwidth,
    recall,
    timing,
)
from benchmarks._vectors import KINDS, queries_for
from benchmarks.figure import Figure
from retrieval.index.vectors import SegmentVectors, VectorSide, encode_segment, index_store, use_one_thread

QUERIES = 300
EXACT_QUERIES = 30
RAW = "one-thread faiss.knn on the same mapping"
FILE_ROWS = 20  # rows of one document: filters choose whole documents


def run(arguments: list[str]) -> Iterator[Figure]:
    use_one_thread()
    sizes = [tuple(map(int, one.split("x"))) for one in arguments if "x" in one and one[0].isdigit()]
    kinds = arguments[arguments.index("--kinds") + 1].split(",") if "--kinds" in arguments else list(KINDS)
    with tempfile.TemporaryDirectory(prefix="carrel-bench-") as folder:
        for rows, width in sizes or [(100_000, 384)]:
            for kind in kinds:
                vectors = mapped(KINDS[kind](rows, width, 1), Path(folder))
                yield from _one(f"{rows}x{width} {kind}", kind, vectors)
                if "--peers" in arguments:
                    yield from _peers(f"{rows}x{width} {kind}", vectors, queries_for(kind, vectors, QUERIES, 2))


def _one(name: str, kind: str, vectors: Matrix) -> Iterator[Figure]:
    queries = queries_for(kind, vectors, QUERIES, 2)
    bandwidth = read_bandwidth(vectors)
    yield Figure(f"{name}: read bandwidth, one core", bandwidth / 1e9, "GB/s")
    raw = timing(lambda query: _knn(vectors, query), queries[:EXACT_QUERIES])
    yield Figure(f"{name}: raw scan", raw.median_us, "us")
    started, used = time.perf_counter(), processor_seconds()
    index = index_store([vectors], version=1)
    spent, used = time.perf_counter() - started, processor_seconds() - used
    if index is None:
        yield Figure(f"{name}: index", "no codebook reaches the target: exact scans", "")
        return
    yield Figure(f"{name}: train, code and calibrate", spent, "s")
    yield Figure(f"{name}: of which on the processor", used, "s")
    codes = index.codes[0]
    if codes is None:
        return
    yield Figure(f"{name}: codes", len(codes.as_bytes()) / len(vectors), "bytes a row")
    give_back()
    before = private_bytes()
    side = VectorSide.empty(vectors.shape[1], index.codebook, index.effort)
    started = time.perf_counter()
    side = side.with_segments([SegmentVectors(vectors, codes)])
    yield Figure(f"{name}: open, codes in memory", (time.perf_counter() - started) * 1e3, "ms")
    grown = (private_bytes() - before) / len(vectors)
    yield Figure(f"{name}: private memory", grown, "bytes a row", "", None, "<= 80", grown <= 80)
    split = "split" if codes.split is not None else "flat"
    effort = side.effort
    yield Figure(f"{name}: effort ({split})", f"{effort.candidates} candidates, {effort.probes}/1000 lists")
    exact = timing(lambda query: side.search(query, 10, exact=True), queries[:EXACT_QUERIES])
    share = vectors.nbytes / (exact.median_us / 1e6) / bandwidth
    yield Figure(f"{name}: exact", exact.median_us, "us", "read bandwidth", share, ">= 0.75", share >= 0.75)
    took = timing(lambda query: side.search(query, 10), queries)
    goal = 0.15 if len(vectors) <= 200_000 else 0.02 if split == "split" else 0.06
    ratio = took.median_us / raw.median_us
    yield Figure(f"{name}: search p50", took.median_us, "us", RAW, ratio, f"<= {goal}", ratio <= goal)
    yield Figure(f"{name}: search p95", took.p95_us, "us", RAW, took.p95_us / raw.median_us)
    truth = [_knn(vectors, query)[0] for query in queries]
    found = recall([side.search(query, 10).scores for query in queries], truth)
    yield Figure(f"{name}: recall@10", found, "", "", None, ">= 0.99", found >= 0.99)
    yield from _filters(name, side, vectors, queries[:60], took.median_us)
    yield from _appends(name, kind, side, queries)


def _filters(name: str, side: VectorSide, vectors: Matrix, queries: Matrix, unfiltered_us: float) -> Iterator[Figure]:
    chance, rows = np.random.default_rng(3), len(vectors)
    masks = {
        f"{share:.1%} of the files": np.repeat(chance.random(-(-rows // FILE_ROWS)) < share, FILE_ROWS)[:rows]
        for share in (0.001, 0.01, 0.1, 0.5)
    }
    nearness = vectors @ -queries[0]
    for share in (0.0004, 0.1):
        masks[f"{share:.2%} farthest from the query"] = (
            nearness >= np.partition(nearness, -int(rows * share))[-int(rows * share)]
        )
    for label, mask in masks.items():
        if not mask.any():
            continue
        selection = side.select([mask])
        took = timing(lambda query, chosen=selection: side.search(query, 10, chosen), queries)  # type: ignore[misc]  # bound now
        exact = [side.search(query, 10, selection, exact=True).scores for query in queries]
        found = recall([side.search(query, 10, selection).scores for query in queries], exact)
        ratio = took.median_us / unfiltered_us
        yield Figure(f"{name}: {label}", took.median_us, "us", "unfiltered", ratio, "<= 1.5", ratio <= 1.5)
        yield Figure(f"{name}: {label}, recall@10", found, "", "", None, ">= 0.99", found >= 0.99)


def _appends(name: str, kind: str, side: VectorSide, queries: Matrix) -> Iterator[Figure]:
    more = KINDS[kind](20_000, side.width, 7)
    live = list(side.segments)
    grown, taken = side, []
    for start in range(0, len(more), 100):
        live.append(SegmentVectors(np.ascontiguousarray(more[start : start + 100])))
        started = time.perf_counter()
        grown = grown.with_segments(live)
        taken.append(time.perf_counter() - started)
    merged_rows = np.concatenate([side.segments[0].vectors, more])
    codebook = side.codebook
    if codebook is None:
        return
    together = SegmentVectors(merged_rows, encode_segment(codebook, merged_rows))
    whole = VectorSide.empty(side.width, codebook, side.effort).with_segments([together])
    yield Figure(f"{name}: open one more segment of 100 rows", float(np.median(taken)) * 1e3, "ms")
    merged = timing(lambda query: whole.search(query, 10), queries)
    took = timing(lambda query: grown.search(query, 10), queries)
    ratio = took.median_us / merged.median_us
    yield Figure(f"{name}: after 200 appends", took.median_us, "us", "merged", ratio, "<= 1.5", ratio <= 1.5)


def _knn(vectors: Matrix, query: Matrix) -> tuple[Matrix, Any]:
    scores, rows = faiss.knn(query[None], vectors, 10, metric=faiss.METRIC_INNER_PRODUCT)
    return scores[0], rows[0]


def _peers(name: str, vectors: Matrix, queries: Matrix) -> Iterator[Figure]:
    truth = [_knn(vectors, query)[0] for query in queries]
    started = time.perf_counter()
    graph = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 100
    graph.add(vectors)
    yield Figure(f"{name}: FAISS HNSW32, build on one core", time.perf_counter() - started, "s")
    for effort in (64, 96, 128, 192, 256, 384):
        graph.hnsw.efSearch = effort
        found = recall([graph.search(query[None], 10)[0][0] for query in queries], truth)
        if found >= 0.99:
            break
    took = timing(lambda query: graph.search(query[None], 10), queries)
    yield Figure(f"{name}: FAISS HNSW32 ef {effort}, recall {found:.4f}", took.median_us, "us")
    yield Figure(f"{name}: FAISS HNSW32 memory", vectors.shape[1] * 4 + 2 * 32 * 4 + 8, "bytes a row")
    try:
        hnswlib = import_module("hnswlib")
    except ImportError:
        yield Figure(f"{name}: hnswlib", "not installed: pip install -r requirements/bench.txt")
        return
    started = time.perf_counter()
    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), ef_construction=100, M=16)
    index.add_items(vectors, num_threads=1)
    yield Figure(f"{name}: hnswlib M 16, build on one core", time.perf_counter() - started, "s")
    index.set_num_threads(1)
    for effort in (64, 96, 128, 192, 256, 384, 512):
        index.set_ef(effort)
        found = recall([np.sort(1 - index.knn_query(query[None], 10)[1][0])[::-1] for query in queries], truth)
        if found >= 0.99:
            break
    took = timing(lambda query: index.knn_query(query[None], 10), queries)
    yield Figure(f"{name}: hnswlib ef {effort}, recall {found:.4f}", took.median_us, "us")
