"""A storm over one store: searches from several threads while another publishes, replaces and deletes, and another
merges and codes. Every answer is kept with the generations around it, and compared with the truth afterwards.

The truth of a generation is what the one writer had done up to it; merges and codes move generations and change
nothing. Small segments are folded at once, so that merges never cease.
"""

import threading
import time
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from retrieval.ids import FileId, StoreId
from retrieval.index.snapshots import Snapshots
from retrieval.search.query import Query
from retrieval.search.searcher import Searcher
from retrieval.segments.merging import MergeLimits
from tests.support.rows import unit_vectors
from tests.support.shelf import Book, Shelf
from workers.indexing import IndexLimits
from workers.sweeping import Grace, sweep_removed
from workers.upkeep import Upkeep, UpkeepLimits

ROWS_EACH = 3
MOST_FILES = 40
EVERYTHING = 10_000
LIMITS = UpkeepLimits(
    MergeLimits(fold=2, smallest_tier_rows=20, most_small=3, most_live=4, least_dead=3), IndexLimits(60, 0.9)
)
NO_GRACE = Grace(0, 0, 0)

State = frozenset[str]


@dataclass(frozen=True, slots=True)
class Seen:
    before: int  # generation when the request was made
    generation: int
    after: int
    limit: int
    texts: tuple[str, ...]
    seconds: float


@dataclass(slots=True)
class Storm:
    """What happened. `wrong` says what no generation can explain; it should be empty."""

    answers: list[Seen] = field(default_factory=list)
    states: list[tuple[int, State]] = field(default_factory=list)  # by generation
    segments_merged: int = 0
    segments_swept: int = 0
    failures: list[BaseException] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        generations = [generation for generation, _ in self.states]
        found = []
        for seen in self.answers:
            truth = self.states[bisect_right(generations, seen.generation) - 1][1]
            if not seen.before <= seen.generation <= seen.after:
                found.append(f"generation {seen.generation} outside {seen.before}..{seen.after}")
            if len(set(seen.texts)) != len(seen.texts):
                found.append(f"generation {seen.generation}: a row stands twice")
            if not truth.issuperset(seen.texts) or len(seen.texts) != min(seen.limit, len(truth)):
                found.append(f"generation {seen.generation}: {len(seen.texts)} rows of {len(truth)}")
        return found


def storm(shelf: Shelf, seconds: float, *, searchers: int = 2) -> Storm:
    store, over, report = shelf.new_store(), threading.Event(), Storm(states=[(0, frozenset())])

    def keep(act: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                while not over.is_set():
                    act()
            except BaseException as error:  # told by the caller
                report.failures.append(error)
                over.set()

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    writer = _Writer(shelf, store, report)
    acts: list[Callable[[], None]] = [writer.act, _upkeep(shelf, report)]
    acts += [_searcher(shelf, store, report, number) for number in range(searchers)]
    threads = [keep(act) for act in acts]
    over.wait(seconds)
    over.set()
    for thread in threads:
        thread.join(60)
    return report


class _Writer:
    """The only one who changes what is true."""

    def __init__(self, shelf: Shelf, store: StoreId, report: Storm) -> None:
        self._shelf, self._store, self._report = shelf, store, report
        self._files: dict[FileId, tuple[str, ...]] = {}
        self._chance = np.random.default_rng(1)
        self._made = 0

    def act(self) -> None:
        crowded = len(self._files) >= MOST_FILES
        match int(self._chance.integers(0, 4)):
            case 0 if self._files:
                self._delete(list(self._files)[int(self._chance.integers(0, len(self._files)))])
            case 1 if self._files:
                self._add(next(iter(self._files)))
            case _ if not crowded:
                self._add(None)
            case _:
                self._delete(next(iter(self._files)))

    def _add(self, supersedes: FileId | None) -> None:
        shelf, store = self._shelf, self._store
        self._made += 1
        texts = tuple(f"file {self._made} row {row}" for row in range(ROWS_EACH))
        vectors = unit_vectors(ROWS_EACH, shelf.embedder.spec.width, self._made)
        book = Book(texts, vectors, supersedes=supersedes)
        [file] = shelf.attach(store, [book])
        claims = shelf.claim(store)
        segment = shelf.write(store, claims, {file: book})
        publication = shelf.publish(store, claims, {file: book}, segment)
        if supersedes is not None:
            del self._files[supersedes]
        self._files[file] = texts
        self._now_true(publication.generation)

    def _delete(self, file: FileId) -> None:
        with self._shelf.catalog.transaction() as tx:
            tx.store_files.delete(self._shelf.project, self._store, file, self._shelf.now)
            generation = tx.manifests.read(self._store, since=1 << 40).generation
        del self._files[file]
        self._now_true(generation)

    def _now_true(self, generation: int) -> None:
        self._report.states.append((generation, frozenset(text for texts in self._files.values() for text in texts)))


def _upkeep(shelf: Shelf, report: Storm) -> Callable[[], None]:
    upkeep = Upkeep(shelf.catalog, shelf.storage, LIMITS)

    def act() -> None:
        report.segments_merged += upkeep.tend().merged.segments
        swept = sweep_removed(shelf.catalog, shelf.storage, shelf.catalog.now() + 1, NO_GRACE)
        report.segments_swept += swept.segments
        shelf.storage.sweep()

    return act


def _searcher(shelf: Shelf, store: StoreId, report: Storm, number: int) -> Callable[[], None]:
    """Each with snapshots of its own, as another process has."""
    catalog = shelf.catalog
    clock = lambda: float(shelf.now)  # noqa: E731 - as short as what it says
    searcher = Searcher(catalog, Snapshots(catalog, shelf.storage), lambda _model: shelf.embedder, clock=clock)
    chance = np.random.default_rng(number + 7)

    def act() -> None:
        limit = int(chance.choice([1, 5, EVERYTHING]))
        query = Query((f"question {chance.integers(0, 1 << 30)}",), limit=limit, ranker="vectors")
        before, begun = catalog.generation(store), time.perf_counter()
        answer = searcher.search(shelf.project, store, query)
        seconds = time.perf_counter() - begun
        texts = tuple(hit.chunk.text for hit in answer.hits)
        report.answers.append(Seen(before, answer.generation, catalog.generation(store), limit, texts, seconds))

    return act
