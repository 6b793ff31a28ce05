"""How far the files of a store or of a batch have come, and how fast: counted from their rows, nothing kept."""

from dataclasses import dataclass
from math import ceil
from typing import Final

from sqlalchemy import Connection, case, func, select
from sqlalchemy.sql.elements import ColumnElement

from retrieval.catalog.file_batches import FileBatches
from retrieval.catalog.rows import FileStatus
from retrieval.catalog.tables import batch_files, entries, files, segments, stores
from retrieval.catalog.vector_stores import VectorStores
from retrieval.ids import BatchId, ProjectId, StoreId

RECENT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Sums:
    files: int = 0
    bytes: int = 0  # of the files, not of what is stored of them
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    in_progress: Sums
    completed: Sums
    failed: Sums
    cancelled: Sums
    recent: Sums  # what was done within the last `recent_seconds`
    recent_seconds: int

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
                func.count().label("files"),
                func.coalesce(func.sum(files.c.bytes), 0).label("bytes"),
                func.coalesce(func.sum(entries.c.chunks), 0).label("chunks"),
                func.min(entries.c.created_at).label("begun"),
            )
            .join_from(entries, files, entries.c.file_id == files.c.id)
            .where(which)
            .group_by(entries.c.status, recent)
        )
        sums = dict.fromkeys(FileStatus, Sums())
        lately, begun = Sums(), now
        for row in self._connection.execute(wanted):
            some = Sums(row.files, int(row.bytes), int(row.chunks))
            sums[FileStatus(row.status)] = _plus(sums[FileStatus(row.status)], some)
            if row.recent:
                lately, begun = _plus(lately, some), min(begun, row.begun)
        return Progress(
            in_progress=sums[FileStatus.IN_PROGRESS],
            completed=sums[FileStatus.COMPLETED],
            failed=sums[FileStatus.FAILED],
            cancelled=sums[FileStatus.CANCELLED],
            recent=lately,
            recent_seconds=min(max(now - begun, 1), RECENT_SECONDS),
        )


def _plus(one: Sums, other: Sums) -> Sums:
    return Sums(one.files + other.files, one.bytes + other.bytes, one.chunks + other.chunks)


def _sum(what: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(what), 0)
