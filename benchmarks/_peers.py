"""What others make of the same vectors: hnswlib, FAISS's graphs, Chroma and LanceDB, each on one core where it lets us.

`scores` gives the exact scores of what a peer found, worst for nothing found, so that recall counts ties alike. A peer
that is not installed says so by None: `pip install -r requirements/bench.txt`.
"""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import faiss
import numpy as np

from benchmarks._measure import recall, timing
from benchmarks._shelves import Matrix
from benchmarks.figure import Figure

DEPTH: Final = 10
EFFORTS: Final = (32, 64, 96, 128, 192, 256, 384, 512)
AT_ONCE: Final = 5_000

Find = Callable[[Matrix, float | None], Any]  # query, the share of files allowed -> rows found


@dataclass(frozen=True, slots=True)
class Peer:
    name: str
    build_seconds: float
    find: Find
    effort: Callable[[int], None] | None  # how hard it looks, where that can be said


def missing(name: str) -> Figure:
    return Figure(name, "not installed: pip install -r requirements/bench.txt")


def graphs(vectors: Matrix) -> Iterator[Peer | str]:
    """Peers as libraries, or the names of those that are missing."""
    yield _faiss_graph(vectors)
    yield _hnswlib(vectors) if _there("hnswlib") else "hnswlib"


def stores(vectors: Matrix, shares: Matrix) -> Iterator[Peer | str]:
    """Peers as databases, each row with its file's `share`, a number to filter by."""
    for name, make in {"chromadb": _chroma, "lancedb": _lance}.items():
        if not _there(name):
            yield name
            continue
        with tempfile.TemporaryDirectory(prefix="carrel-bench-") as folder:
            yield make(vectors, shares, Path(folder))


def tuned(peer: Peer, vectors: Matrix, queries: Matrix, truth: list[Matrix]) -> tuple[float, float]:
    """(p50 in us, recall) at the first effort that reaches 0.99, or at the greatest."""
    found = 0.0
    for effort in EFFORTS if peer.effort else (0,):
        if peer.effort:
            peer.effort(effort)
        found = recall([scores(peer, vectors, query) for query in queries[:100]], truth[:100])
        if found >= 0.99:
            break
    return timing(lambda query: peer.find(query, None), queries).median_us, found


def scores(peer: Peer, vectors: Matrix, query: Matrix, share: float | None = None) -> Matrix:
    rows = np.asarray(peer.find(query, share), np.int64)
    exact = np.full(DEPTH, -1, np.float32)
    exact[: len(rows)] = np.sort(np.clip(vectors[rows] @ query, 0, 1))[::-1]
    return exact


def _there(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return False
    return True


def _faiss_graph(vectors: Matrix) -> Peer:
    started = time.perf_counter()
    graph = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 100
    graph.add(vectors)
    built = time.perf_counter() - started

    def effort(much: int) -> None:
        graph.hnsw.efSearch = much

    return Peer("FAISS HNSW32", built, lambda query, _: graph.search(query[None], DEPTH)[1][0], effort)


def _hnswlib(vectors: Matrix) -> Peer:
    index = import_module("hnswlib").Index(space="ip", dim=vectors.shape[1])
    started = time.perf_counter()
    index.init_index(max_elements=len(vectors), ef_construction=100, M=16)
    index.add_items(vectors, num_threads=1)
    built = time.perf_counter() - started
    index.set_num_threads(1)
    return Peer("hnswlib M16", built, lambda query, _: index.knn_query(query[None], DEPTH)[0][0], index.set_ef)


def _chroma(vectors: Matrix, shares: Matrix, folder: Path) -> Peer:
    client = import_module("chromadb").PersistentClient(str(folder))
    metadata: Mapping[str, object] = {"hnsw:space": "ip", "hnsw:search_ef": 100, "hnsw:M": 16}
    collection = client.create_collection("rows", metadata=metadata)
    started = time.perf_counter()
    for start in range(0, len(vectors), AT_ONCE):
        some = range(start, min(start + AT_ONCE, len(vectors)))
        collection.add(
            ids=[str(row) for row in some],
            embeddings=vectors[some.start : some.stop],
            metadatas=[{"share": float(shares[row])} for row in some],
        )
    built = time.perf_counter() - started

    def find(query: Matrix, share: float | None) -> list[int]:
        where = None if share is None else {"share": {"$lt": share}}
        found = collection.query(query_embeddings=[query], n_results=DEPTH, where=where, include=[])
        return [int(name) for name in found["ids"][0]]

    return Peer("Chroma, in process", built, find, None)


def _lance(vectors: Matrix, shares: Matrix, folder: Path) -> Peer:
    lancedb, arrow = import_module("lancedb"), import_module("pyarrow")
    started = time.perf_counter()
    flat = arrow.array(np.ascontiguousarray(vectors).reshape(-1))
    columns = {
        "row": arrow.array(np.arange(len(vectors))),
        "share": arrow.array(np.asarray(shares, np.float64)),
        "vector": arrow.FixedSizeListArray.from_arrays(flat, vectors.shape[1]),
    }
    rows = lancedb.connect(str(folder)).create_table("rows", arrow.table(columns))
    rows.create_index(metric="dot", index_type="IVF_PQ", num_bits=4, num_sub_vectors=vectors.shape[1] // 4)
    built = time.perf_counter() - started

    def find(query: Matrix, share: float | None) -> list[int]:
        asked = (
            rows.search(query)
            .distance_type("dot")
            .nprobes(64)
            .refine_factor(20)
            .limit(DEPTH)
            .select(["row", "_distance"])
        )
        if share is not None:
            asked = asked.where(f"share < {share}", prefilter=True)
        return [int(row) for row in asked.to_arrow()["row"].to_pylist()]

    return Peer("LanceDB IVF_PQ", built, find, None)
