"""What goes wrong around a transaction: bodies that raise, databases that are locked, away or killed, forks."""

import os
import sqlite3
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogDamaged, CatalogUnavailable
from tests.support.catalogs import World
from tests.support.databases import Postgres


def test_a_transaction_that_raises_leaves_nothing(catalog: Catalog) -> None:
    world = World(catalog)
    file = world.file()

    class OwnError(Exception):
        pass

    def interrupted() -> None:
        with catalog.transaction() as tx:
            tx.files.delete(world.project, file, world.now)
            raise OwnError

    with pytest.raises(OwnError):
        interrupted()
    assert world.file_row(file).id == file
    assert world.untruths() == []


def test_a_reading_transaction_refuses_to_write(catalog: Catalog) -> None:
    world = World(catalog)
    file = world.file()
    with pytest.raises((CatalogUnavailable, CatalogDamaged)), catalog.reading() as tx:
        tx.files.delete(world.project, file, world.now)
    assert world.file_row(file).id == file


def test_a_reading_transaction_sees_one_moment(catalog: Catalog) -> None:
    world = World(catalog)
    file = world.file()
    with catalog.reading() as tx:
        before = tx.stores.get(world.project, world.store)
        world.ingest(file)
        assert tx.stores.get(world.project, world.store) == before
        manifest = tx.manifests.read(world.store)
        assert (manifest.generation, manifest.documents) == (0, ())
    assert world.catalog.generation(world.store) == 1


def test_a_rule_of_the_schema_that_is_broken_is_never_a_drivers_error(catalog: Catalog) -> None:
    world = World(catalog)
    world.ingest(world.file())
    with pytest.raises(CatalogDamaged) as broken, catalog.transaction() as tx:
        tx._connection.execute(text("UPDATE vector_stores SET files_completed = -1"))
    assert "files_completed" not in str(broken.value) or "UPDATE" not in str(broken.value)
    assert world.untruths() == []


def test_a_lock_held_too_long_is_unavailable_and_over_when_it_is_released(catalog_url: str) -> None:
    with Catalog.open(catalog_url) as holder, Catalog.open(catalog_url, busy_seconds=1) as other:
        world, seen = World(holder), World(other)
        seen.project, seen.store = world.project, world.store
        with holder.transaction() as tx:
            tx.stores.touch(world.store, world.now + 100)  # holds the store's row
            with pytest.raises(CatalogUnavailable):
                seen.attach_new(1)
            assert other.generation(world.store) == 0  # readers go on
        seen.attach_new(1)
        assert seen.counts().in_progress == 1


def test_writers_of_one_process_wait_for_each_other(catalog: Catalog) -> None:
    world = World(catalog)
    started = threading.Event()

    def write() -> None:
        started.set()
        world.file()

    with catalog.transaction() as tx:
        thread = threading.Thread(target=write)
        thread.start()
        started.wait(10)
        tx.projects.lock_and_add_bytes(world.project, 0)
    thread.join(10)
    with catalog.reading() as tx:
        assert tx.projects.get(world.project).bytes_stored == 10


def test_a_catalog_that_cannot_be_opened_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(CatalogUnavailable):
        Catalog.open(f"sqlite:///{tmp_path / 'no such folder' / 'catalog.db'}", busy_seconds=1)
    with pytest.raises(CatalogUnavailable):
        Catalog.open(f"postgresql://nobody@/nothing?host={tmp_path}", busy_seconds=1)


def test_a_full_disk_is_unavailable_and_leaves_the_catalog_whole(sqlite_url: str) -> None:
    with Catalog.open(sqlite_url) as catalog:
        world = World(catalog)

        def grow() -> None:
            with catalog.transaction() as tx:
                pages = tx._connection.execute(text("PRAGMA page_count")).scalar_one()
                tx._connection.execute(text(f"PRAGMA max_page_count={pages}"))
            for _ in range(200):
                world.file("long name " * 500)

        with pytest.raises(CatalogUnavailable, match="full"):
            grow()
        with catalog.transaction() as tx:
            tx._connection.execute(text("PRAGMA max_page_count=1000000"))
        world.attach_new(3)
        assert world.untruths() == []


def test_the_clock_is_the_databases(catalog: Catalog) -> None:
    first = catalog.now()
    assert first > 1_700_000_000
    assert catalog.now() - first in range(60)


def test_a_catalog_tells_whether_it_answers(catalog_url: str) -> None:
    with Catalog.open(catalog_url, busy_seconds=1) as catalog:
        catalog.check()
        path = catalog_url.removeprefix("sqlite:///")
        if path == catalog_url:
            return
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogUnavailable):
            catalog.check()
        blocker.close()
        catalog.check()


def test_a_forked_child_opens_connections_of_its_own(catalog: Catalog) -> None:
    world = World(catalog)
    world.ingest(world.file())
    child = os.fork()
    if child == 0:
        try:
            world.attach_new(1)
            fine = world.counts().total == 2 and catalog.generation(world.store) == 1
            os._exit(0 if fine else 1)
        finally:
            os._exit(2)
    assert catalog.generation(world.store) == 1
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    world.attach_new(1)
    assert world.counts().total == 3
    assert world.untruths() == []


@pytest.fixture(scope="module")
def mortal() -> Postgres:
    return Postgres()


def test_a_killed_server_is_unavailable_and_loses_nothing_that_was_acknowledged(mortal: Postgres) -> None:
    try:
        with Catalog.open(mortal.url(), busy_seconds=2) as catalog:
            world = World(catalog)
            files = world.attach_new(2)
            for _ in range(2):
                world.publish(world.claim(1))
                mortal.kill()
                with pytest.raises(CatalogUnavailable):
                    world.counts()
                with pytest.raises(CatalogUnavailable):
                    catalog.generation(world.store)
                with pytest.raises(CatalogUnavailable):
                    world.attach_new(1)
                mortal.start()
                assert world.untruths() == []
            assert world.found() == set(files)
            assert catalog.generation(world.store) == 2
    finally:
        mortal.close()


def test_a_connection_that_died_while_idle_is_replaced_unnoticed(postgres: Postgres, postgres_url: str) -> None:
    with Catalog.open(postgres_url) as catalog:
        world = World(catalog)
        catalog.generation(world.store)
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'carrel'"
            f" AND datname = '{postgres_url.split('?', maxsplit=1)[0].rsplit('/', 1)[1]}'"
        )
        assert catalog.generation(world.store) == 0
        world.attach_new(1)
        assert world.counts().in_progress == 1
