"""The schema: built from nothing, left alone when right, refused when newer, migrated once by many."""

import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text

from retrieval.catalog.database import Database
from retrieval.catalog.schema import bring_up_to_date, newest
from retrieval.catalog.tables import metadata
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogDamaged, CatalogTooNew, CatalogUnavailable
from tests.support.catalogs import World


def open_and_use(url: str) -> None:
    with Catalog.open(url) as catalog:
        World(catalog).attach_new(1)


def test_the_migrations_build_exactly_the_tables(catalog_url: str) -> None:
    database = Database(catalog_url, busy_seconds=10, connections=2)
    bring_up_to_date(database)
    with database.writing() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_opening_again_changes_nothing(catalog_url: str) -> None:
    with Catalog.open(catalog_url) as catalog:
        world = World(catalog)
        world.ingest(world.file())
    for _ in range(2):
        with Catalog.open(catalog_url) as catalog:
            world.catalog = catalog
            assert world.counts().completed == 1
            assert world.untruths() == []


def test_a_schema_of_a_later_release_is_refused_and_left_alone(catalog_url: str) -> None:
    open_and_use(catalog_url)
    database = Database(catalog_url, busy_seconds=10, connections=2)
    with database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogTooNew, match="9999"):
        Catalog.open(catalog_url)
    with database.reading() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
    database.close()


def test_the_newest_version_is_what_a_catalog_is_brought_to(catalog_url: str) -> None:
    open_and_use(catalog_url)
    database = Database(catalog_url, busy_seconds=10, connections=2)
    with database.reading() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == newest()
    database.close()


def test_many_processes_that_start_at_once_find_one_schema(catalog_url: str) -> None:
    script = (
        "import sys\n"
        "from retrieval.catalog.transaction import Catalog\n"
        "from retrieval.ids import new_project_id\n"
        "with Catalog.open(sys.argv[1]) as catalog, catalog.transaction() as tx:\n"
        "    project = new_project_id()\n"
        "    tx.projects.add(project, project, 1)\n"
    )
    command = [sys.executable, "-W", "error", "-c", script, catalog_url]
    processes = [subprocess.Popen(command) for _ in range(4)]
    assert [process.wait(60) for process in processes] == [0] * 4
    with Catalog.open(catalog_url) as catalog, catalog.reading() as tx:
        assert len(tx.projects.all()) == 4
        assert tx.untruths() == []


def test_a_migration_that_fails_leaves_nothing(catalog_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(catalog_url, busy_seconds=10, connections=2)
    with database.writing() as connection:
        connection.execute(text("CREATE TABLE segments (x INTEGER)"))  # stands in the way half-way through
    with pytest.raises((CatalogUnavailable, CatalogDamaged)):
        bring_up_to_date(database)
    with database.writing() as connection:
        connection.execute(text("DROP TABLE segments"))
    bring_up_to_date(database)
    with database.writing() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    database.close()


def test_a_file_that_is_no_database_is_damaged_not_busy(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_bytes(b"not a database at all" * 1000)
    with pytest.raises(CatalogDamaged):
        Catalog.open(f"sqlite:///{tmp_path / 'catalog.db'}", busy_seconds=1)


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite://", "sqlite:///:memory:", "nonsense", "", "oracle://x"])
def test_an_address_of_something_else_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"(?i)catalog"):
        Catalog.open(url)


def test_sqlite_is_opened_so_that_commits_are_durable(sqlite_url: str) -> None:
    open_and_use(sqlite_url)
    database = Database(sqlite_url, busy_seconds=7, connections=2)
    with database.writing() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 7000}
    database.close()
