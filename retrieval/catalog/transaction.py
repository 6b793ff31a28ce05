"""The catalog: all tables behind one commit.

    with catalog.transaction() as tx:
        tx.publish(store, ingested, segment, now)

A transaction that ends without an exception is durable; one that does not has left no trace. Its rows are locked
in one order, so that writers never wait for each other in a circle: kept answers, uploads, projects, files, then one
store after another by serial, then whatever hangs on that store. Transactions are short: nobody embeds, parses or
waits in one. A transaction must not be opened inside another of the same thread.
"""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Self, cast

from sqlalchemy import Connection, text

from retrieval.catalog import edition_claims, editions, publishing, tally
from retrieval.catalog.claims import Claims
from retrieval.catalog.database import Database
from retrieval.catalog.edition_claims import EditionClaims
from retrieval.catalog.file_batches import FileBatches
from retrieval.catalog.files import Files
from retrieval.catalog.holds import Holds
from retrieval.catalog.imports import Imports
from retrieval.catalog.kept_answers import KeptAnswers
from retrieval.catalog.keys import Keys
from retrieval.catalog.manifest import Manifests
from retrieval.catalog.moving import Moving
from retrieval.catalog.overview import Overviews
from retrieval.catalog.pauses import UpstreamPauses
from retrieval.catalog.presence import Presence
from retrieval.catalog.progress import ProgressReports
from retrieval.catalog.projects import Projects
from retrieval.catalog.reindexes import Reindexes
from retrieval.catalog.rows import Ingested, Publication, SegmentRow, StoreGlance
from retrieval.catalog.schema import bring_up_to_date
from retrieval.catalog.source_runs import SourceRuns
from retrieval.catalog.source_steps import SourceSteps
from retrieval.catalog.sources import Sources
from retrieval.catalog.sweeps import Sweeps
from retrieval.catalog.together import Result, Together
from retrieval.catalog.uploads import Uploads
from retrieval.catalog.usage import Usage
from retrieval.catalog.vector_store_files import VectorStoreFiles
from retrieval.catalog.vector_stores import VectorStores, no_such_store
from retrieval.ids import ProjectId, SegmentId, StoreId, well_formed

_GLANCE = (
    "SELECT project_id, generation, last_active_at, expires_at, expired_at FROM vector_stores"
    " WHERE id = ? AND deleted_at IS NULL"
)


class Transaction:
    """Every table, by its noun. Not to be shared by threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.projects = Projects(connection)
        self.keys = Keys(connection)
        self.files = Files(connection)
        self.uploads = Uploads(connection)
        self.stores = VectorStores(connection)
        self.store_files = VectorStoreFiles(connection)
        self.batches = FileBatches(connection)
        self.progress = ProgressReports(connection)
        self.claims = Claims(connection)
        self.edition_claims = EditionClaims(connection)
        self.reindexes = Reindexes(connection)
        self.manifests = Manifests(connection)
        self.sources = Sources(connection)
        self.source_runs = SourceRuns(connection)
        self.source_steps = SourceSteps(connection)
        self.sweeps = Sweeps(connection)
        self.usage = Usage(connection)
        self.presence = Presence(connection)
        self.kept_answers = KeptAnswers(connection)
        self.overviews = Overviews(connection)
        self.pauses = UpstreamPauses(connection)
        self.holds = Holds(connection)
        self.imports = Imports(connection)
        self.moving = Moving(connection)

    def publish(
        self, store: StoreId, ingested: Sequence[Ingested], segment: SegmentRow | None, now: int
    ) -> Publication:
        return publishing.publish(self._connection, store, ingested, segment, now)

    def publish_edition(self, store: StoreId, ingested: Sequence[Ingested], segment: SegmentRow | None) -> Publication:
        return edition_claims.publish_edition(self._connection, store, ingested, segment)

    def replace_segments(
        self,
        store: StoreId,
        removed: Collection[SegmentId],
        added: SegmentRow | None,
        *,
        dropped: Collection[int],
        now: int,
    ) -> int | None:
        return publishing.replace_segments(self._connection, store, removed, added, dropped=dropped, now=now)

    def untruths(self, project: ProjectId | None = None) -> list[str]:
        """Every stored count, of one project or of all, that differs from what it counts: none, unless by a bug."""
        return tally.untruths(self._connection, project) + editions.untruths(self._connection, project)


class Catalog:
    """One per process; threads share it. A forked child notices the fork and opens connections of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._together = Together(self.transaction)

    @classmethod
    def open(cls, url: str, *, busy_seconds: int = 10, connections: int = 16) -> Self:
        """Open and bring the schema up to date. `url`: sqlite:////folder/catalog.db or postgresql://…"""
        database = Database(url, busy_seconds=busy_seconds, connections=connections)
        try:
            bring_up_to_date(database)
        except BaseException:
            database.close()
            raise
        return cls(database)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """For whoever writes."""
        with self._database.writing() as connection:
            yield Transaction(connection)

    def together(self, project: ProjectId, act: Callable[[Transaction], Result]) -> Result:
        """What `act` returns, once it is committed: with others of the project who write at this moment, if there are
        any. For short work that locks nothing but the project and what hangs on it, and that may be done twice."""
        return self._together.write(project, act)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """One consistent view for several reads; the database refuses writes in it."""
        with self._database.reading() as connection:
            yield Transaction(connection)

    def glance(self, store: StoreId) -> StoreGlance | None:
        """What a search must know about a store before anything else, in one indexed read; None if it is not there."""
        row = self._database.first(_GLANCE, (store,)) if well_formed(store) else None
        if row is None:
            return None
        project, generation, active, expires, expired = cast("tuple[str, int, int, int | None, int | None]", row)
        return StoreGlance(store, ProjectId(project), generation, active, expires, expired)

    def generation(self, store: StoreId) -> int:
        found = self.glance(store)
        if found is None:
            raise no_such_store(store)
        return found.generation

    def now(self) -> int:
        """The time that all nodes agree on: PostgreSQL's clock, or this machine's where the database is a file of it.
        Leases and expiry are to be reckoned by it, so that a node whose clock is wrong neither ends nor keeps any."""
        return self.now_ms() // 1000

    def now_ms(self) -> int:
        """The same in milliseconds, for what lasts a second or two."""
        if self._database.is_sqlite:
            return time.time_ns() // 1_000_000
        row = self._database.first("SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint", ())
        assert row is not None
        return cast("int", row[0])

    def check(self) -> None:
        """Raise `CatalogUnavailable` unless the database answers and would take a write."""
        with self._database.writing() as connection:
            connection.execute(text("SELECT 1"))
