"""Asking a store in the ways that figures are taken of: one by one, by many threads, by two processes.

A question is asked once only where its time counts: the searcher remembers whole answers.
"""

import multiprocessing
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, Self

import faiss
import numpy as np

from benchmarks._measure import Timing, timing
from benchmarks._shelves import Matrix, Shelf
from ingest.collecting import collect_rarely
from retrieval.ids import StoreId
from retrieval.search.filters import Filter
from retrieval.search.query import Answer, Query, Ranker

DEPTH: Final = 10
_serial = count()


class Asker:
    """One store's searches through `Searcher.search`, with the questions' vectors at hand."""

    def __init__(self, shelf: Shelf, store: StoreId, *, ranker: Ranker = "vectors") -> None:
        self.shelf = shelf
        self.store = store
        self._ranker: Ranker = ranker
        collect_rarely()  # as every process that answers over HTTP does

    def ask(self, vector: Matrix, allowed: Filter | None = None, *, text: str = "", exact: bool = False) -> Answer:
        shelf = self.shelf
        named = shelf.embedder.ask(f"{text} q{next(_serial)}", vector)
        query = Query((named,), limit=DEPTH, filter=allowed, ranker=self._ranker, exact=exact)
        return shelf.searcher.search(shelf.project, self.store, query)

    def scores(self, vector: Matrix, allowed: Filter | None = None, *, exact: bool = False) -> Matrix:
        hits = self.ask(vector, allowed, exact=exact).hits
        return np.array([hit.score for hit in hits], np.float32)

    def timing(self, queries: Matrix, allowed: Filter | None = None, *, exact: bool = False) -> Timing:
        return timing(lambda query: self.ask(query, allowed, exact=exact), queries)


def knn(vectors: Matrix, query: Matrix, k: int = DEPTH) -> Matrix:
    """The yardstick: one thread, the same mapping. Scores as the searcher gives them, none below zero."""
    return np.asarray(np.clip(faiss.knn(query[None], vectors, k, metric=faiss.METRIC_INNER_PRODUCT)[0][0], 0, 1))


def per_second(act: Callable[[Matrix], object], queries: Matrix, threads: int, seconds: float) -> float:
    """Calls a second of so many threads together."""
    done = [0] * threads
    end = time.perf_counter() + seconds

    def work(number: int) -> None:
        at = number * len(queries) // threads
        while time.perf_counter() < end:
            act(queries[at % len(queries)])
            at, done[number] = at + 1, done[number] + 1

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    started = time.perf_counter()
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    return sum(done) / (time.perf_counter() - started)


class _Beside:
    """Other processes over one folder, each with its own opened store, which do as they are told until left."""

    def __init__(self, work: Callable[..., None], *about: object, count: int = 1) -> None:
        context = multiprocessing.get_context("spawn")
        ends = [context.Pipe() for _ in range(count)]
        self._pipes = [near for near, _ in ends]
        self._processes = [context.Process(target=work, args=(*about, far), daemon=True) for _, far in ends]

    def __enter__(self) -> Self:
        for one in self._processes:
            one.start()
        for pipe in self._pipes:
            pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in self._pipes:
            pipe.send(None)
        for one in self._processes:
            one.join(10)


class Processes(_Beside):
    """So many that ask one question after another."""

    def __init__(self, folder: Path, store: StoreId, queries: Matrix, count: int) -> None:
        super().__init__(_ask_for, folder, store, queries, count=count)

    def per_second(self, seconds: float) -> float:
        """Searches a second of all together."""
        for pipe in self._pipes:
            pipe.send(seconds)
        return sum(float(pipe.recv()) for pipe in self._pipes)


def _ask_for(folder: Path, store: StoreId, queries: Matrix, pipe: Connection) -> None:  # one process
    with Shelf(folder, queries.shape[1]) as shelf:
        asker = Asker(shelf, store)
        for query in queries[:20]:
            asker.ask(query)
        pipe.send("open")
        while (seconds := pipe.recv()) is not None:
            pipe.send(per_second(asker.ask, queries, 1, seconds))


class OtherProcess(_Beside):
    """One that searches when it is told to."""

    def __init__(self, folder: Path, store: StoreId, width: int) -> None:
        super().__init__(_answer, folder, store, width)

    def search(self, query: Matrix) -> list[tuple[str, float]]:
        """File id and score of each hit, as that process finds them now."""
        [pipe] = self._pipes
        pipe.send(query)
        found: list[tuple[str, float]] = pipe.recv()
        return found


def _answer(folder: Path, store: StoreId, width: int, pipe: Connection) -> None:
    with Shelf(folder, width) as shelf:
        asker = Asker(shelf, store)
        pipe.send("open")
        while (query := pipe.recv()) is not None:
            pipe.send([(hit.file_id, hit.score) for hit in asker.ask(query).hits])


def truth_of(vectors: Matrix, queries: Matrix) -> Sequence[Matrix]:
    return [knn(vectors, query) for query in queries]
