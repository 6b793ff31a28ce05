"""Re-indexing beside searches: how fast a second edition is built, and what searches notice of it; or, killed at
random, whether it ends as it does undisturbed.

    python -m benchmarks reindex [--chunks 100000] [--workers 1]
    python -m benchmarks reindex --kills 50

The workers are processes of their own with the code that real workers run; the searches are in this one.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.figure import Figure
from ingest.children import ChildPool
from ingest.embedding import EmbedderConfig, open_embedder
from ingest.parsing.limits import Limits
from retrieval.catalog.reindex_rows import ReindexRow, ReindexState, ReindexWish
from retrieval.catalog.transaction import Catalog
from retrieval.embedders import Embedders
from retrieval.ids import StoreId, new_reindex_id
from retrieval.index.snapshots import Snapshots
from retrieval.index.vectors import use_one_thread
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.segments.reader import open_all
from retrieval.storage.directory import Directory
from tests.support.shelf import Book, Shelf
from workers.reindex import build
from workers.resources import ClaimSize, WorkerResources
from workers.upkeep import Upkeep

OLD, NEW = 256, 384  # widths: a question embedded with the other model could not be compared
CHUNKS_A_FILE = 20
WORDS = 40
IDLE_SECONDS = 5.0
QUESTIONS = 20


def models() -> Embedders:
    configs = [
        EmbedderConfig(provider="hashed", model=name, width=width) for name, width in (("hashed", OLD), ("new", NEW))
    ]
    return Embedders(configs, {})


def run(arguments: list[str]) -> Iterable[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks reindex")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="carrel-bench-") as folder:
        if given.kills:
            yield from killed(Path(folder), min(given.chunks, 20_000), given.kills, given.seed)
        else:
            yield from beside_searches(Path(folder), given.chunks, given.workers)


def work(folder: Path, store: StoreId) -> None:
    """What a worker process does until nothing is left."""
    use_one_thread()
    embedders = models()
    with Catalog.open(f"sqlite:///{folder}/catalog.db") as catalog, ChildPool(1, Limits()) as children:
        storage = Directory(folder / "objects")
        resources = WorkerResources(catalog, storage, children, embedders.get, ClaimSize(lease_seconds=3))
        upkeep = Upkeep(catalog, storage)
        while job(catalog, store).state is ReindexState.RUNNING:
            if not build(store, resources, upkeep):
                time.sleep(0.2)
        storage.close()


def job(catalog: Catalog, store: StoreId) -> ReindexRow:
    with catalog.reading() as tx:
        [found] = [row for row in tx.reindexes.all(tx.projects.all()[0].id) if row.store_id == store][:1]
    return found


@contextmanager
def workers(folder: Path, store: StoreId, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    command = [sys.executable, "-m", "benchmarks.reindex", str(folder), store]
    started = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def stocked(folder: Path, chunks: int, seed: int = 1) -> tuple[Shelf, StoreId]:
    shelf = Shelf.open(folder, embedder=open_embedder(EmbedderConfig(provider="hashed", model="hashed", width=OLD)))
    store, chance = shelf.new_store(), random.Random(seed)
    vocabulary = [f"word{number}" for number in range(20_000)]
    for start in range(0, chunks, 10_000):
        files = range(start // CHUNKS_A_FILE, min(start + 10_000, chunks) // CHUNKS_A_FILE)
        shelf.add(
            store,
            [
                Book(
                    [
                        f"river {file} {part} {' '.join(chance.choices(vocabulary, k=WORDS))}"
                        for part in range(CHUNKS_A_FILE)
                    ]
                )
                for file in files
            ],
        )
    Upkeep(shelf.catalog, shelf.storage).tend_store(store)
    return shelf, store


def start(shelf: Shelf, store: StoreId) -> None:
    with shelf.catalog.transaction() as tx:
        tx.reindexes.start(shelf.project, store, new_reindex_id(), ReindexWish("new", NEW), shelf.catalog.now())


class Asking:
    """Searches one after the other, each for something new, and what each took."""

    def __init__(self, shelf: Shelf, store: StoreId) -> None:
        self._shelf, self._store = shelf, store
        self._searcher = Searcher(shelf.catalog, Snapshots(shelf.catalog, shelf.storage), models().get)
        self._chance = random.Random(7)
        self.failed: list[BaseException] = []
        self.asked = 0
        self._ask()

    def _ask(self) -> float:
        words = " ".join(f"word{self._chance.randrange(20_000)}" for _ in range(5))
        begun = time.perf_counter()
        answer = self._searcher.search(self._shelf.project, self._store, Query((words,), limit=10))
        took = time.perf_counter() - begun
        self.asked += 1
        if len(answer.hits) != 10:
            self.failed.append(AssertionError(f"{len(answer.hits)} hits"))
        return took

    def once(self) -> float:
        try:
            return self._ask()
        except BaseException as error:
            self.failed.append(error)
            return 0.0

    def until(self, over: float | None = None, process: subprocess.Popen[bytes] | None = None) -> list[float]:
        taken = []
        while (process is None or process.poll() is None) and (over is None or time.perf_counter() < over):
            taken.append(self.once())
            time.sleep(0.005)
        return taken


def beside_searches(folder: Path, chunks: int, count: int) -> Iterable[Figure]:
    shelf, store = stocked(folder, chunks)
    asking = Asking(shelf, store)
    asking.until(time.perf_counter() + 1)
    idle = float(np.quantile(asking.until(time.perf_counter() + IDLE_SECONDS), 0.95)) * 1000
    start(shelf, store)
    taken: list[float] = []
    begun = built = time.perf_counter()
    already = 0
    with workers(folder, store, count) as processes:
        first = 0.0
        while processes[0].poll() is None:
            taken += asking.until(time.perf_counter() + 0.5, processes[0])
            progress = job(shelf.catalog, store).progress
            if progress.chunks_done and not first:
                first = begun = time.perf_counter()
                already = progress.chunks_done
            if progress.chunks_done < progress.chunks or not progress.chunks:
                built = time.perf_counter()
    ended = time.perf_counter()
    beside = float(np.quantile(taken, 0.95)) * 1000
    rate = (chunks - already) / max(built + 0.5 - begun, 0.1)
    yield Figure("chunks made anew", rate, "chunks/s", target="≥ 5,000", met=rate >= 5_000)
    yield Figure("to the swap, with merging and codes", ended - begun, "s")
    yield Figure("search p95 idle", idle, "ms")
    yield Figure("search p95 meanwhile", beside, "ms", "idle", beside / idle, "≤ 2 × idle", beside <= 2 * idle)
    yield Figure("slowest search", max(taken) * 1000, "ms")
    yield Figure("searches that failed", len(asking.failed), target="0", met=not asking.failed)
    state = job(shelf.catalog, store).state
    yield Figure("state", state.value, met=state is ReindexState.SWAPPED)
    shelf.close()


def killed(folder: Path, chunks: int, kills: int, seed: int) -> Iterable[Figure]:
    """The worker is killed at random moments, `kills` times, over as many re-indexes as that takes."""
    shelf, store = stocked(folder, chunks, seed)
    asking, chance = Asking(shelf, store), random.Random(seed)
    files, undisturbed = facts(shelf, store), _rebuilt(shelf, store, lambda: _work_out(folder, store))
    done = rounds = wrong = 0
    while done < kills:
        rounds += 1

        def disturbed() -> None:
            nonlocal done
            while job(shelf.catalog, store).state is ReindexState.RUNNING:
                with workers(folder, store, 1) as [process]:
                    patience = chance.uniform(0.5, 4.0) if done < kills else 300.0
                    asking.until(time.perf_counter() + patience, process)
                    if process.poll() is None:
                        os.kill(process.pid, signal.SIGKILL)
                        done += 1

        made = _rebuilt(shelf, store, disturbed)
        wrong += (facts(shelf, store) != files) + (made.vectors != undisturbed.vectors)
        wrong += sum(one != other for one, other in zip(made.answers, undisturbed.answers, strict=True))
        with shelf.catalog.reading() as tx:
            wrong += len(tx.untruths())
    yield Figure("kills", done)
    yield Figure("re-indexes", rounds)
    yield Figure("searches meanwhile", asking.asked)
    yield Figure("searches that failed", len(asking.failed), target="0", met=not asking.failed)
    yield Figure("differences from an undisturbed run", wrong, target="0", met=not wrong)
    shelf.close()


@dataclass(frozen=True, slots=True)
class Made:
    """A store right after its swap."""

    vectors: dict[tuple[str, int], bytes]  # by file and ordinal
    answers: list[list[tuple[str, str, float]]]


def _work_out(folder: Path, store: StoreId) -> None:
    with workers(folder, store, 1) as [process]:
        process.wait(600)


def _rebuilt(shelf: Shelf, store: StoreId, work: Callable[[], None]) -> Made:
    """What a re-index leaves; then the old edition serves again, for the next one to begin where this one did."""
    start(shelf, store)
    work()
    assert job(shelf.catalog, store).state is ReindexState.SWAPPED
    made = Made(_vectors(shelf, store), _answers(shelf, store))
    with shelf.catalog.transaction() as tx:
        tx.reindexes.roll_back(shelf.project, store, shelf.catalog.now())
    Upkeep(shelf.catalog, shelf.storage).expire()
    return made


def _vectors(shelf: Shelf, store: StoreId) -> dict[tuple[str, int], bytes]:
    with shelf.catalog.reading() as tx:
        manifest = tx.manifests.read(store)
    names = {one.number: str(one.file_id) for one in manifest.documents if one.living}
    found: dict[tuple[str, int], bytes] = {}
    with open_all(shelf.storage, manifest.segments) as segments:
        for segment in segments:
            vectors = segment.verified_vectors()
            for row in range(len(segment)):
                chunk = segment.chunk(row)
                if chunk.document in names:
                    found[names[chunk.document], chunk.ordinal] = vectors[row].tobytes()
    return found


def _answers(shelf: Shelf, store: StoreId) -> list[list[tuple[str, str, float]]]:
    """By vectors alone: words of the dead count in the other scores until they are merged away. And by all of them:
    codes promise a recall, not a set, and which rows they were trained on follows from how the rows were merged."""
    searcher = Searcher(shelf.catalog, Snapshots(shelf.catalog, shelf.storage), models().get)
    chance = random.Random(11)
    found = []
    for _ in range(QUESTIONS):
        words = " ".join(f"word{chance.randrange(20_000)}" for _ in range(5))
        answer = searcher.search(shelf.project, store, Query((words,), limit=10, ranker="vectors", exact=True))
        found.append(sorted((str(hit.file_id), hit.chunk.text, hit.score) for hit in answer.hits))
    return found


def facts(shelf: Shelf, store: StoreId) -> tuple[list[str], int]:
    """What is in the store whatever the model: files with their chunks, and living rows."""
    with shelf.catalog.reading() as tx:
        loads = tx.manifests.loads(store)
        files = sorted(str(row.file_id) for row in tx.manifests.read(store).documents)
    return files, sum(load.living_chunks for load in loads)


if __name__ == "__main__":
    work(Path(sys.argv[1]), StoreId(sys.argv[2]))
