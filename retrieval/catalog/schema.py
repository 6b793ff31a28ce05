"""The schema's version: brought up to date when a catalog opens, or refused when a later release wrote it.

All steps run in one transaction under a lock that every process takes, so that of several processes that start at
once one migrates and the others find it done; a process killed in between leaves the old schema.
"""

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from retrieval.catalog.database import Database
from retrieval.errors import CatalogTooNew

_STEPS = Path(__file__).parent / "migrations"
_LOCK_KEY = 0x6361_7272_656C  # PostgreSQL's advisory lock that stands for this schema
_one_at_a_time = threading.Lock()  # guards Alembic's own global names between threads of this process


def _config(connection: Connection) -> Config:
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    return config


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def newest() -> str:
    """The version that this release brings a catalog to."""
    config = Config()
    config.set_main_option("script_location", str(_STEPS).replace("%", "%%"))
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head
    return head


def versions(database: Database) -> tuple[str | None, str]:
    """What the catalog has (None: nothing yet), and what this release has; nothing is changed."""
    with database.reading() as connection:
        return _version(connection), newest()


def bring_up_to_date(database: Database) -> None:
    head = newest()
    with database.reading() as connection:
        if _version(connection) == head:
            return
    with _one_at_a_time, database.writing() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
        version = _version(connection)
        config = _config(connection)
        known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
        if version is not None and version not in known:
            raise CatalogTooNew(
                f"The catalog's schema has version {version}; this release knows none after {head}. "
                "Start the release that wrote it, or a later one."
            )
        command.upgrade(config, "head")
