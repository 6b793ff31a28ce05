"""Publishing, merging and indexing are killed at every durable step; whoever opens the store next finds it whole.

The steps are those of the disk and the commits of the catalog. What was acknowledged before the death is found after
it, what was not is found wholly or not at all, and the same work done again comes to its end.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ingest.embedding import HashedEmbedder
from retrieval.catalog.paging import PageQuery
from retrieval.catalog.transaction import Catalog, Transaction
from retrieval.errors import CatalogUnavailable, RetrievalError
from retrieval.ids import StoreId
from retrieval.search.query import Query
from retrieval.segments.merging import MergeLimits
from retrieval.storage.directory import Directory, Disk
from tests.support.disks import DeadlyDisk, FaultyDisk
from tests.support.rows import unit_vectors
from tests.support.shelf import Book, Shelf
from workers.indexing import IndexLimits, index_segments
from workers.merging import merge_store
from workers.sweeping import Grace, expire, sweep_removed, sweep_unknown

ROOT = Path(__file__).parents[2]
WIDTH = 16
ROWS = 40
PARTS = 2  # published one after the other, then merged, then coded
VECTORS = np.abs(unit_vectors(ROWS * PARTS, WIDTH, seed=2))
LIMITS = IndexLimits(code_from_rows=ROWS, recall_target=0.9)
MERGES = MergeLimits(fold=PARTS, smallest_tier_rows=500, least_dead=1)


Acknowledge = Callable[[str], None]


class SteppedCatalog(Catalog):
    """Counts commits among the disk's steps: the disk fails just before one, or just after it."""

    disk: Disk

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        failing = getattr(self.disk, "failing", lambda _kind: None)
        with super().transaction() as tx:
            yield tx
            self._cut(failing, "before a commit")
        self._cut(failing, "after a commit")

    @staticmethod
    def _cut(failing: Callable[[str], None], kind: str) -> None:
        try:
            failing(kind)
        except OSError as error:
            raise CatalogUnavailable(kind) from error


def part(number: int) -> list[str]:
    return [f"part {number} row {row}" for row in range(ROWS)]


def tell(shelf: Shelf, acknowledge: Acknowledge) -> None:
    """Everything once; told again from any point, it goes on from there."""
    with shelf.catalog.reading() as tx:
        stores = [row.id for row in tx.stores.page(shelf.project, PageQuery(limit=10)).items]
    store = stores[0] if stores else shelf.new_store()
    acknowledge(f"store {store}")
    with shelf.catalog.reading() as tx:
        there = {row.filename for row in tx.manifests.read(store).documents}
    for number in range(PARTS):
        if f"{number}.txt" in there:
            continue
        vectors = np.ascontiguousarray(VECTORS[ROWS * number : ROWS * number + ROWS])
        shelf.now += 100  # whoever held a claim is dead
        book = Book(part(number), vectors, filename=f"{number}.txt")
        claims = shelf.claim(store)
        file = claims[0].file_id if claims else shelf.attach(store, [book])[0]
        claims = claims or shelf.claim(store)
        segment = shelf.write(store, claims, {file: book})
        shelf.publish(store, claims, {file: book}, segment)
        acknowledge(f"published {number}")
    merge_store(store, shelf.catalog, shelf.storage, MERGES)
    acknowledge("merged")
    index_segments(store, shelf.catalog, shelf.storage, LIMITS)
    acknowledge("coded")


def open_shelf(folder: Path, disk: Disk) -> Shelf:
    catalog = SteppedCatalog.open(f"sqlite:///{folder}/catalog.db")
    catalog.disk = Disk()
    shelf = Shelf(catalog, Directory(folder / "objects", disk=disk), HashedEmbedder(width=WIDTH))
    with catalog.reading() as tx:
        known = tx.projects.all()
    if known:
        shelf.project = known[0].id
    else:
        with catalog.transaction() as tx:
            tx.projects.add(shelf.project, "tests", shelf.now)
    catalog.disk = disk
    return shelf


def found(shelf: Shelf, store: StoreId) -> set[str]:
    answer = shelf.search(store, Query(("part",), limit=1000, ranker="vectors"))
    texts = [hit.chunk.text for hit in answer.hits]
    assert len(set(texts)) == len(texts)
    return set(texts)


def assert_whole(folder: Path, told: list[str]) -> None:
    """What was told is there; of the rest, all or nothing; and the story goes on to its end."""
    with open_shelf(folder, Disk()) as shelf:
        store = next((StoreId(line.split()[1]) for line in told if line.startswith("store")), None)
        if store is not None:
            texts = found(shelf, store)
            for number in range(PARTS):
                here = texts & set(part(number))
                assert len(here) in {0, ROWS}, f"a part of part {number}"
                assert here or f"published {number}" not in told, f"part {number} was acknowledged and is gone"
        again: list[str] = []
        tell(shelf, again.append)
        store = StoreId(again[0].split()[1])
        assert found(shelf, store) == {text for number in range(PARTS) for text in part(number)}
        shelf.now += 10_000
        expire(shelf.catalog, shelf.now)
        much_later, none = shelf.catalog.now() + 1, Grace(0, 0, 0)
        sweep_removed(shelf.catalog, shelf.storage, much_later, none)
        sweep_unknown(shelf.catalog, shelf.storage, much_later, none)
        shelf.snapshots.forget(store)
        assert found(shelf, store) == {text for number in range(PARTS) for text in part(number)}
        with shelf.catalog.reading() as tx:
            manifest = tx.manifests.read(store)
            assert tx.untruths() == []
        assert len(manifest.segments) == 1
        assert manifest.codebook is not None
        left = [stored.name for stored in shelf.storage.list()]
        assert len([name for name in left if name.startswith("segments/")]) == 1, left
        assert len([name for name in left if name.startswith("indexes/")]) == 1, left


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> int:
    """In how many steps an undisturbed story is told."""
    folder, disk = tmp_path_factory.mktemp("whole"), FaultyDisk()
    with open_shelf(folder, disk) as shelf:
        told: list[str] = []
        tell(shelf, told.append)
    assert told[1:] == [*(f"published {number}" for number in range(PARTS)), "merged", "coded"]
    assert {"before a commit", "after a commit", "link", "sync", "sync_folder"} <= set(disk.kinds)
    assert_whole(folder, told)
    return disk.steps


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where that is possible: what a disk loses is tested elsewhere."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="carrel-crash-", dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


def test_a_process_killed_at_any_step_of_upkeep(folder: Path, steps: int) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, __file__, str(folder), str(steps)], env=environment, check=True, timeout=250)
    for step in range(1, steps + 1):
        assert_whole(folder / str(step), (folder / str(step) / "told").read_text().splitlines())


def test_an_error_at_a_step_of_upkeep(folder: Path, steps: int) -> None:
    failed, tried = 0, range(1, steps + 1, 2)  # every one is tried by death above
    for step in tried:
        here = folder / str(step)
        here.mkdir()
        told: list[str] = []
        with open_shelf(here, FaultyDisk(step)) as shelf:
            try:
                tell(shelf, told.append)
            except RetrievalError:
                failed += 1
        assert_whole(here, told)
    assert failed > len(tried) * 0.6  # removing a second name may fail quietly


def _die_at_every_step(root: Path, steps: int) -> None:
    """In a process of its own, since each step is a fork of it that is killed."""
    for step in range(1, steps + 1):
        folder = root / str(step)
        folder.mkdir()
        (folder / "told").touch()
        child = os.fork()
        if not child:
            with (folder / "told").open("a") as told, open_shelf(folder, DeadlyDisk(step)) as shelf:
                tell(shelf, lambda line: print(line, file=told, flush=True))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"step {step} was survived"
        assert os.WTERMSIG(status) == signal.SIGKILL


if __name__ == "__main__":
    _die_at_every_step(Path(sys.argv[1]), int(sys.argv[2]))
