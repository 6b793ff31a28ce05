"""Runs of sources: asked for, claimed by one worker at a time, listed, and forgotten when there are many.

A source has one run that has not ended at most, and that run one worker at most: a lease with a token, as files
have. Several schedulers may look for what is due at once; the row's lock lets one of them begin the run.
"""

from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from retrieval.catalog.paging import PageQuery, page
from retrieval.catalog.rows import Page
from retrieval.catalog.source_rows import (
    AskedBy,
    Change,
    Counts,
    Outcome,
    RunRow,
    RunStatus,
    SourceClaim,
    SourceRow,
)
from retrieval.catalog.source_tables import source_changes, source_runs, sources
from retrieval.catalog.sources import Sources, locked_source, source_from
from retrieval.catalog.tables import stores
from retrieval.errors import NotAllowedNow, NotFound
from retrieval.ids import LeaseToken, ProjectId, RunId, SourceId, StoreId, well_formed

COUNTED = tuple(Counts.__dataclass_fields__)


def run_from(row: Row[Any]) -> RunRow:
    return RunRow(
        id=RunId(row.id),
        source_id=SourceId(row.source_id),
        project_id=ProjectId(row.project_id),
        created_at=row.created_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        status=RunStatus(row.status),
        message=row.message,
        asked_by=AskedBy(row.asked_by),
        dry_run=row.dry_run,
        force=row.force,
        counts=Counts(**{name: row._mapping[name] for name in COUNTED}),
        dollars=row.dollars,
    )


class SourceRuns:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # Asking

    def request(
        self, project: ProjectId, store: StoreId, source: SourceId, run: RunId, now: int, *, dry_run: bool, force: bool
    ) -> RunRow:
        """The run asked for: a new one, or the one under way if it does the same."""
        found = locked_source(self._connection, project, store, source)
        if found.run_id is None:
            return self._begin(found, run, AskedBy.REQUEST, now, dry_run=dry_run, force=force)
        active = self._run(found.run_id)
        if (active.dry_run, active.force) == (dry_run, force):
            return active
        raise NotAllowedNow(f"Source {source} is being refreshed by {active.id}; wait until that has ended.")

    def due(self, now: int, most: int) -> tuple[SourceRow, ...]:
        wanted = (
            select(sources)
            .join(stores, sources.c.store_id == stores.c.id)
            .where(sources.c.next_run_at <= now, stores.c.deleted_at.is_(None), stores.c.expired_at.is_(None))
            .order_by(sources.c.next_run_at)
            .limit(most)
        )
        return tuple(source_from(row) for row in self._connection.execute(wanted))

    def begin_due(self, source: SourceRow, run: RunId, next_run_at: int | None, now: int) -> bool:
        """Begin the run that is due, unless somebody else has. A run still under way lets this one be left out."""
        mine = select(sources).where(sources.c.id == source.id).with_for_update()
        row = self._connection.execute(mine).first()
        if row is None or row.next_run_at != source.next_run_at:
            return False
        self._connection.execute(update(sources).where(sources.c.id == source.id).values(next_run_at=next_run_at))
        if row.run_id is not None:
            return False
        self._begin(source_from(row), run, AskedBy.SCHEDULE, now, dry_run=False, force=False)
        return True

    def _begin(
        self, source: SourceRow, run: RunId, asked_by: AskedBy, now: int, *, dry_run: bool, force: bool
    ) -> RunRow:
        self._connection.execute(
            insert(source_runs).values(
                id=run,
                source_id=source.id,
                project_id=source.project_id,
                created_at=now,
                status=RunStatus.QUEUED.value,
                asked_by=asked_by.value,
                dry_run=dry_run,
                force=force,
                dollars=0.0,
                **dict.fromkeys(COUNTED, 0),
            )
        )
        mine = update(sources).where(sources.c.id == source.id)
        self._connection.execute(mine.values(run_id=run, lease_token=None, leased_until=0))
        return self._run(run)

    def _run(self, run: RunId) -> RunRow:
        return run_from(self._connection.execute(select(source_runs).where(source_runs.c.id == run)).one())

    # Working

    def waiting(self, now: int, most: int) -> tuple[SourceRow, ...]:
        """Sources with a run that nobody holds, those whose lease ended longest ago first."""
        wanted = (
            select(sources)
            .join(stores, sources.c.store_id == stores.c.id)
            .where(sources.c.run_id.is_not(None), sources.c.leased_until <= now, stores.c.deleted_at.is_(None))
            .order_by(sources.c.leased_until, sources.c.serial)
            .limit(most)
        )
        return tuple(source_from(row) for row in self._connection.execute(wanted))

    def claim(self, source: SourceId, token: LeaseToken, now: int, lease_seconds: int) -> SourceClaim | None:
        """The source's run, also one that another worker left half done; None if there is none or somebody has it."""
        mine = (
            select(sources)
            .join(stores, sources.c.store_id == stores.c.id)
            .where(sources.c.id == source, stores.c.deleted_at.is_(None))
            .with_for_update(of=sources)
        )
        row = self._connection.execute(mine).first()
        if row is None or row.run_id is None or row.leased_until > now:
            return None
        run = self._run(RunId(row.run_id))
        values: dict[str, Any] = {}
        if run.status is RunStatus.QUEUED:
            values = {"status": RunStatus.RUNNING.value, "started_at": now}
            self._connection.execute(update(source_runs).where(source_runs.c.id == run.id).values(values))
        leased = update(sources).where(sources.c.id == source)
        self._connection.execute(leased.values(lease_token=token, leased_until=now + lease_seconds))
        return SourceClaim(source_from(row), self._run(run.id), token)

    def renew(self, source: SourceId, token: LeaseToken, now: int, lease_seconds: int) -> bool:
        mine = (sources.c.id == source) & (sources.c.lease_token == token)
        held = self._connection.execute(update(sources).where(mine).values(leased_until=now + lease_seconds))
        return held.rowcount > 0

    def release(self, source: SourceId, token: LeaseToken, until: int = 0) -> None:
        """Give the run back as it stands, to be claimed no sooner than `until`."""
        mine = (sources.c.id == source) & (sources.c.lease_token == token)
        self._connection.execute(update(sources).where(mine).values(lease_token=None, leased_until=until))

    # Reading

    def get(self, project: ProjectId, store: StoreId, source: SourceId, run: RunId) -> RunRow:
        Sources(self._connection).get(project, store, source)
        row = None
        if well_formed(run):
            mine = select(source_runs).where(source_runs.c.id == run, source_runs.c.source_id == source)
            row = self._connection.execute(mine).first()
        if row is None:
            raise NotFound(f"No such VectorStoreSourceRun object: {run}", param="run_id")
        return run_from(row)

    def page(self, project: ProjectId, store: StoreId, source: SourceId, query: PageQuery) -> Page[RunRow]:
        Sources(self._connection).get(project, store, source)
        wanted = select(source_runs).where(source_runs.c.source_id == source)
        return page(self._connection, wanted, source_runs, source_runs.c.id, project, query, run_from)

    def changes(self, run: RunId) -> tuple[Change, ...]:
        """What the report lists, by outcome and key; long lists are cut off where they were written."""
        wanted = (
            select(source_changes)
            .where(source_changes.c.run_id == run)
            .order_by(source_changes.c.outcome, source_changes.c.item_key)
        )
        return tuple(Change(row.item_key, Outcome(row.outcome), row.reason) for row in self._connection.execute(wanted))

    def forget_old(self, source: SourceId, kept: int) -> int:
        """Forget all ended runs of a source but the last `kept`."""
        ended = select(source_runs.c.id).where(source_runs.c.source_id == source, source_runs.c.ended_at.is_not(None))
        old = ended.order_by(source_runs.c.serial.desc()).offset(kept).limit(1000)
        gone = list(self._connection.execute(old).scalars())
        if gone:
            self._connection.execute(delete(source_changes).where(source_changes.c.run_id.in_(gone)))
            self._connection.execute(delete(source_runs).where(source_runs.c.id.in_(gone)))
        return len(gone)
