"""Hybrid search over real text, without the question's embedding; its keyword side beside bm25s on the same texts.

    python -m benchmarks hybrid [ROWS] [--text FOLDER ...] [--embed]

Texts are real, vectors made (`mixture`) unless `--embed` is given: the local model takes an hour for 100,000 passages,
and what a search costs depends on how many candidates there are, not on what they mean.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from itertools import count
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks._asking import Asker
from benchmarks._measure import Matrix, timing
from benchmarks._shelves import File, Shelf
from benchmarks._text import Passages, default_folders, embedded, questions, read_passages
from benchmarks._vectors import mixture
from benchmarks.figure import Figure
from ingest.embedding import EmbedderConfig, open_embedder
from retrieval.index.keyword import score_keywords
from retrieval.index.snapshot import Snapshot
from retrieval.segments.words import query_terms

QUERIES = 300
WIDTH = 384
BEST = 200


def run(arguments: list[str]) -> Iterator[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks hybrid")
    parser.add_argument("rows", nargs="?", type=int, default=100_000)
    parser.add_argument("--text", type=Path, action="append")
    parser.add_argument("--embed", action="store_true")
    parser.add_argument("--folder", type=Path, help="keeps vectors of text that were made")
    parser.add_argument("--models", type=Path, default=Path("models"))
    given = parser.parse_args(arguments)
    passages = read_passages(given.text or default_folders(), given.rows)
    asked = questions(passages, QUERIES, 2)
    with tempfile.TemporaryDirectory(prefix="carrel-bench-", dir=given.folder) as folder:
        vectors, queries = _vectors(passages, asked, given, Path(folder))
        with Shelf(Path(folder), WIDTH) as shelf:
            store = shelf.new_store()
            shelf.add(store, [File(size) for size in passages.sizes], vectors, passages.texts)
            shelf.index(store)
            name = f"{len(passages.texts):,} chunks"
            yield from _hybrid(name, Asker(shelf, store, ranker="best"), asked, queries)
            yield from _keywords(name, shelf.snapshot(store), passages.texts, asked)


def _vectors(
    passages: Passages, asked: Sequence[str], given: argparse.Namespace, folder: Path
) -> tuple[Matrix, Matrix]:
    if not given.embed:
        return mixture(len(passages.texts), WIDTH, 1), mixture(len(asked), WIDTH, 2)
    embedder = open_embedder(EmbedderConfig(folder=given.models))
    try:
        kept = (given.folder or folder) / "text"
        return embedded(passages, embedder, kept), embedder.embed(asked, purpose="query").vectors
    finally:
        embedder.close()


def _hybrid(name: str, asker: Asker, asked: Sequence[str], queries: Matrix) -> Iterator[Figure]:
    for text, query in zip(asked[:10], queries, strict=False):
        asker.ask(query, text=text)
    at = count()
    stages: list[dict[str, float]] = []

    def ask(query: Matrix) -> None:
        answer = asker.ask(query, text=asked[next(at) % len(asked)])
        stages.append(dict(answer.milliseconds))

    took = timing(ask, queries, warm=0)
    p50, p95 = took.median_us / 1e3, took.p95_us / 1e3
    yield Figure(f"{name}: hybrid search p50", p50, "ms", "", None, "< 5", p50 < 5)
    yield Figure(f"{name}: hybrid search p95", p95, "ms")
    for stage in ("rank", "read"):
        yield Figure(f"{name}: of which {stage}", median(one[stage] for one in stages), "ms")


def _keywords(name: str, snapshot: Snapshot, texts: Sequence[str], asked: Sequence[str]) -> Iterator[Figure]:
    postings = [one.segment.postings for one in snapshot.segments]
    masks = snapshot.select().masks

    def ours(text: str) -> None:
        score_keywords(query_terms(text), postings, masks, BEST).best()

    took = _each(ours, asked)
    try:
        bm25s = import_module("bm25s")
    except ImportError:
        yield Figure(f"{name}: keyword side", took, "ms", "bm25s: not installed")
        return
    index = bm25s.BM25()
    index.index(bm25s.tokenize(list(texts), show_progress=False), show_progress=False)

    def theirs(text: str) -> None:
        tokens = bm25s.tokenize(text, return_ids=False, show_progress=False)
        index.retrieve(tokens, k=BEST, show_progress=False)

    beside = _each(theirs, asked)
    ratio = took / beside
    yield Figure(f"{name}: keyword side p50", took, "ms", f"bm25s {beside:.3g} ms", ratio, "≤ 1", ratio <= 1)


def _each(act: object, asked: Sequence[str]) -> float:
    assert callable(act)
    at = iter([*asked[:3], *asked])
    return timing(lambda _: act(next(at)), np.zeros((len(asked), 1), np.float32), warm=3).median_us / 1e3
