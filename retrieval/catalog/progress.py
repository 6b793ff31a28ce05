"""How far the files of a store or of a batch have come, and how fast: counted from their rows, nothing kept."""

from dataclasses import dataclass
from math import ceil
from typing import Final

from sqlalchemy import Connection, case, func, literal_column, select
from sqlalchemy.sql.elements import ColumnElement

from retrieval.catalog.file_batches import FileBatches
from retrieval.catalog.rows import FileStatus, Trouble
from retrieval.catalog.tables import batch_files, entries, files, segments, stores
from retrieval.catalog.vector_stores import VectorStores
from retrieval.ids import BatchId, ProjectId, StoreId

RECENT_SECONDS: Final = 60

_IN_PROGRESS = entries.c.status == literal_column(f"'{FileStatus.IN_PROGRESS.value}'")  # as in `claims`


@dataclass(frozen=True, slots=True)
class Sums:
    files: int = 0
    bytes: int = 0  # of the files, not of what is stored of them
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class PutOff:
    """Files that wait for a trouble to pass."""

    trouble: Trouble
    message: str  # of one of them
    files: int
    since: int  # of the one that waits longest


@dataclass(frozen=True, slots=True)
class Progress:
    in_progress: Sums
    completed: Sums
    failed: Sums
    cancelled: Sums
    recent: Sums  # what was done within the last `recent_seconds`
    recent_seconds: int
    put_off: tuple[PutOff, ...] = ()

    @property
    def eta_seconds(self) -> int | None:
        """At the present rate, by bytes or, where files are empty, by files; None without a rate."""
        if not self.in_progress.files:
            return 0
        for left, done in ((self.in_progress.bytes, self.recent.bytes), (self.in_progress.files, self.recent.files)):
            if left and done:
                return max(1, ceil(left * self.recent_seconds / done))
        return None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Of all stores together."""

    waiting: int
    settled: int
    chunks: int  # that are stored, living or not


class ProgressReports:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_all(self) -> Backlog:
        """Cheap, whatever there is: from the counts that are kept, not from the files."""
        settled = stores.c.files_completed + stores.c.files_failed + stores.c.files_cancelled
        files = self._connection.execute(
            select(_sum(stores.c.files_in_progress), _sum(settled)).where(stores.c.deleted_at.is_(None))
        ).one()
        chunks = select(_sum(segments.c.rows)).where(segments.c.removed_at.is_(None))
        return Backlog(int(files[0]), int(files[1]), int(self._connection.execute(chunks).scalar_one()))

    def put_off(self) -> tuple[PutOff, ...]:
        """Of all stores together: what files wait for, and since when."""
        waiting = _IN_PROGRESS & entries.c.put_off_for.is_not(None)
        rows = self._connection.execute(
            select(
                entries.c.put_off_for,
                func.max(entries.c.put_off_message).label("message"),
                func.min(entries.c.put_off_since).label("since"),
                func.count().label("files"),
            )
            .join_from(entries, stores, entries.c.store_id == stores.c.id)
            .where(waiting, stores.c.deleted_at.is_(None), stores.c.expired_at.is_(None))
            .group_by(entries.c.put_off_for)
            .order_by(func.min(entries.c.put_off_since))
        )
        return tuple(PutOff(Trouble(row.put_off_for), row.message, row.files, row.since) for row in rows)

    def of_store(self, project: ProjectId, store: StoreId, now: int) -> Progress:
        VectorStores(self._connection).get(project, store)
        return self._of(entries.c.store_id == store, now)

    def of_batch(self, project: ProjectId, store: StoreId, batch: BatchId, now: int) -> Progress:
        FileBatches(self._connection).get(project, store, batch)
        mine = select(batch_files.c.entry).where(batch_files.c.batch_id == batch)
        return self._of(entries.c.serial.in_(mine), now)

    def _of(self, which: ColumnElement[bool], now: int) -> Progress:
        done = entries.c.status.in_((FileStatus.COMPLETED.value, FileStatus.FAILED.value))
        fresh = done & (entries.c.settled_at > now - RECENT_SECONDS)
        recent = case((fresh, 1), else_=0)
        wanted = (
            select(
                entries.c.status,
                recent.label("recent"),
                entries.c.put_off_for,
                func.max(entries.c.put_off_message).label("message"),
                func.min(entries.c.put_off_since).label("since"),
                func.count().label("files"),
                func.coalesce(func.sum(files.c.bytes), 0).label("bytes"),
                func.coalesce(func.sum(entries.c.chunks), 0).label("chunks"),
                func.min(entries.c.created_at).label("begun"),
            )
            .join_from(entries, files, entries.c.file_id == files.c.id)
            .where(which)
            .group_by(entries.c.status, recent, entries.c.put_off_for)
        )
        sums = dict.fromkeys(FileStatus, Sums())
        lately, begun, put_off = Sums(), now, list[PutOff]()
        for row in self._connection.execute(wanted):
            some = Sums(row.files, int(row.bytes), int(row.chunks))
            sums[FileStatus(row.status)] = _plus(sums[FileStatus(row.status)], some)
            if row.put_off_for and row.status == FileStatus.IN_PROGRESS:
                put_off.append(PutOff(Trouble(row.put_off_for), row.message, row.files, row.since))
            if row.recent:
                lately, begun = _plus(lately, some), min(begun, row.begun)
        return Progress(
            in_progress=sums[FileStatus.IN_PROGRESS],
            completed=sums[FileStatus.COMPLETED],
            failed=sums[FileStatus.FAILED],
            cancelled=sums[FileStatus.CANCELLED],
            recent=lately,
            recent_seconds=min(max(now - begun, 1), RECENT_SECONDS),
            put_off=tuple(sorted(put_off, key=lambda one: one.since)),
        )


def _plus(one: Sums, other: Sums) -> Sums:
    return Sums(one.files + other.files, one.bytes + other.bytes, one.chunks + other.chunks)


def _sum(what: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(what), 0)
