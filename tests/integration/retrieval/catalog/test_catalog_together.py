"""Writers who come at once share a commit: each is told what became of its own, and nobody before it is durable."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from retrieval.catalog.account_rows import FileRow, NewFile
from retrieval.catalog.paging import PageQuery
from retrieval.catalog.together import Together
from retrieval.catalog.transaction import Catalog, Transaction
from retrieval.errors import CatalogDamaged, CatalogUnavailable, InvalidInput, StorageQuotaReached
from retrieval.ids import FileId, new_blob_name, new_file_id
from tests.support.catalogs import World

WAITING = 6
SIZE = 10
ALL = PageQuery(limit=100)

Act = Callable[[Transaction], FileRow]


class Crowd:
    """Calls that come while one has the turn, and so are carried together by the next."""

    def __init__(self, catalog: Catalog) -> None:
        self.world = World(catalog)
        self.transactions = 0
        self.at_commit: Callable[[], None] = lambda: None
        self.together = Together(self._transaction)
        self._catalog = catalog

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        self.transactions += 1
        with self._catalog.transaction() as tx:
            yield tx
            self.at_commit()

    def adding(self, file: FileId, *, name: str = "a.txt", most_bytes: int | None = None) -> Act:
        new = NewFile(file, name, "assistants", SIZE, f"hash of {file}", new_blob_name())
        return lambda tx: tx.files.add(self.world.project, new, self.world.now, most_bytes=most_bytes)

    def write(self, *acts: Act) -> tuple[FileId, list[Future[FileRow]]]:
        """The file of the call that had the turn, and what became of those that came meanwhile, in one transaction."""
        first, entered, go = new_file_id(), threading.Event(), threading.Event()
        add_first = self.adding(first)

        def slow(tx: Transaction) -> FileRow:
            entered.set()
            assert go.wait(30)
            return add_first(tx)

        with ThreadPoolExecutor(len(acts) + 1) as threads:
            turn = threads.submit(self.together.write, self.world.project, slow)
            assert entered.wait(30)
            waiting = self.together._projects[self.world.project].waiting
            futures = []
            for number, act in enumerate(acts, start=1):
                futures.append(threads.submit(self.together.write, self.world.project, act))
                while len(waiting) < number:
                    time.sleep(0.001)
            go.set()
        turn.result()
        return first, futures

    def there(self) -> set[FileId]:
        with self._catalog.reading() as tx:
            return {row.id for row in tx.files.page(self.world.project, ALL).items}


@pytest.fixture
def crowd(catalog: Catalog) -> Crowd:
    return Crowd(catalog)


def test_those_who_wait_share_one_commit_and_are_told_of_their_own(crowd: Crowd) -> None:
    files = [new_file_id() for _ in range(WAITING)]
    first, told = crowd.write(*map(crowd.adding, files))
    assert crowd.transactions == 2
    assert [one.result().id for one in told] == files
    assert crowd.there() == {first, *files}
    assert crowd.world.untruths() == []


def test_equal_bytes_of_one_transaction_are_kept_once(crowd: Crowd) -> None:
    same = [NewFile(new_file_id(), "a", "assistants", SIZE, "same", new_blob_name()) for _ in range(WAITING)]

    def adding(new: NewFile) -> Act:
        return lambda tx: tx.files.add(crowd.world.project, new, crowd.world.now)

    _, told = crowd.write(*map(adding, same))
    assert crowd.transactions == 2
    assert {one.result().blob for one in told} == {same[0].blob}


@pytest.mark.parametrize("fault", ["its name", "its size", "its id"])
def test_only_the_one_at_fault_is_told_and_the_others_are_kept(crowd: Crowd, fault: str) -> None:
    files = [new_file_id() for _ in range(WAITING)]
    taken = crowd.world.file()
    bad, kind = {
        "its name": (crowd.adding(new_file_id(), name="a\x00b"), InvalidInput),
        "its size": (crowd.adding(new_file_id(), most_bytes=SIZE), StorageQuotaReached),
        "its id": (crowd.adding(taken), CatalogDamaged),
    }[fault]
    acts = [crowd.adding(file) for file in files]
    first, told = crowd.write(*acts[:3], bad, *acts[3:])
    with pytest.raises(kind):
        told.pop(3).result()
    assert [one.result().id for one in told] == files
    assert crowd.there() == {first, taken, *files}
    assert crowd.world.untruths() == []


def test_a_commit_that_fails_fails_all_whom_it_carried_and_nobody_else(crowd: Crowd) -> None:
    def fail() -> None:
        if crowd.transactions == 2:
            raise CatalogUnavailable("the disk is gone")

    crowd.at_commit = fail
    first, told = crowd.write(*(crowd.adding(new_file_id()) for _ in range(WAITING)))
    for one in told:
        with pytest.raises(CatalogUnavailable, match="the disk is gone"):
            one.result()
    assert crowd.transactions == 2
    assert crowd.there() == {first}
    later = new_file_id()
    crowd.together.write(crowd.world.project, crowd.adding(later))
    assert crowd.there() == {first, later}
    assert crowd.world.untruths() == []


def test_a_call_that_comes_alone_fails_by_itself_and_does_its_work_once(crowd: Crowd) -> None:
    with pytest.raises(InvalidInput):
        crowd.together.write(crowd.world.project, crowd.adding(new_file_id(), name="a\x00b"))
    assert crowd.transactions == 1
    assert crowd.there() == set()


def test_a_lock_held_too_long_fails_those_who_waited_for_it(catalog_url: str) -> None:
    with Catalog.open(catalog_url) as holder, Catalog.open(catalog_url, busy_seconds=1) as other:
        world = World(holder)
        files = [new_file_id() for _ in range(3)]

        def add(file: FileId) -> FileRow:
            new = NewFile(file, "a", "assistants", SIZE, file, new_blob_name())
            return other.together(world.project, lambda tx: tx.files.add(world.project, new, world.now))

        with ThreadPoolExecutor(len(files)) as threads:
            with holder.transaction() as tx:
                tx.projects.lock_and_add_bytes(world.project, 0)
                futures = [threads.submit(add, file) for file in files]
                for one in futures:
                    assert isinstance(one.exception(30), CatalogUnavailable)
            assert [row.id for row in threads.map(add, files)] == files


def test_projects_do_not_wait_for_each_other(postgres_url: str) -> None:
    """SQLite has one writer in all; where there are more, one project's lock is not another's."""
    with Catalog.open(postgres_url) as catalog:
        slow, quick = World(catalog), World(catalog)
        entered, go = threading.Event(), threading.Event()

        def hold(tx: Transaction) -> None:
            tx.projects.lock_and_add_bytes(slow.project, 0)
            entered.set()
            assert go.wait(30)

        with ThreadPoolExecutor(1) as threads:
            held = threads.submit(catalog.together, slow.project, hold)
            assert entered.wait(30)
            assert catalog.together(quick.project, lambda tx: tx.projects.get(quick.project).id) == quick.project
            assert not held.done()
            go.set()
            held.result()
