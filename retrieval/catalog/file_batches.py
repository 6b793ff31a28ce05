"""Batches: many files attached by one call, and how far they have come.

A file counts in every batch that attached it, as what it is now. Cancelling a batch stops the files that it was
the last to attach.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, literal, select, update

from retrieval.catalog.paging import PageQuery, page
from retrieval.catalog.rows import Attachment, BatchRow, FileStatus, Page, StoreFileRow
from retrieval.catalog.tables import batch_files, batches, entries, stores
from retrieval.catalog.tally import counts_of, members
from retrieval.catalog.vector_store_files import VectorStoreFiles, cancel_entries, entry_columns, entry_from
from retrieval.catalog.vector_stores import locked, no_such_store
from retrieval.errors import NotFound
from retrieval.ids import BatchId, ProjectId, StoreId, well_formed


def _batch(row: Row[Any]) -> BatchRow:
    return BatchRow(
        id=BatchId(row.id),
        store_id=StoreId(row.store_id),
        project_id=ProjectId(row.project_id),
        created_at=row.created_at,
        cancelled_at=row.cancelled_at,
        counts=counts_of(row),
    )


class FileBatches:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        project: ProjectId,
        store: StoreId,
        batch: BatchId,
        attachments: Sequence[Attachment],
        now: int,
        *,
        param: str = "file_ids",
    ) -> BatchRow:
        """Attach all or none; the counts of the answer include every file."""
        VectorStoreFiles(self._connection).attach_all(project, store, attachments, now, batch=batch, param=param)
        none_yet = dict.fromkeys(("files_in_progress", "files_completed", "files_failed", "files_cancelled"), 0)
        self._connection.execute(
            insert(batches).values(id=batch, store_id=store, project_id=project, created_at=now, **none_yet)
        )
        mine = select(literal(batch), entries.c.serial, literal(project)).where(
            entries.c.store_id == store, entries.c.batch_id == batch
        )
        self._connection.execute(insert(batch_files).from_select(["batch_id", "entry", "project_id"], mine))
        counts = members(self._connection, batch)
        self._connection.execute(
            update(batches)
            .where(batches.c.id == batch)
            .values(
                files_in_progress=counts.in_progress,
                files_completed=counts.completed,
                files_failed=counts.failed,
                files_cancelled=counts.cancelled,
            )
        )
        return self.get(project, store, batch)

    def _wanted(self, project: ProjectId, store: StoreId, batch: BatchId) -> Select[Any]:
        return (
            select(batches)
            .join(stores, batches.c.store_id == stores.c.id)
            .where(batches.c.id == batch, batches.c.store_id == store)
            .where(stores.c.project_id == project, stores.c.deleted_at.is_(None))
        )

    def get(self, project: ProjectId, store: StoreId, batch: BatchId) -> BatchRow:
        row = None
        if well_formed(batch) and well_formed(store):
            row = self._connection.execute(self._wanted(project, store, batch)).first()
        if row is None:
            raise NotFound(f"No such VectorStoreFileBatch object: {batch}", param="batch_id")
        return _batch(row)

    def cancel(self, project: ProjectId, store: StoreId, batch: BatchId, now: int) -> BatchRow:
        """Files that are not done become cancelled, also those being worked on. A finished batch stays as it is."""
        if locked(self._connection, store, project) is None:
            raise no_such_store(store)
        found = self.get(project, store, batch)
        if found.status != "in_progress":
            return found
        cancel_entries(self._connection, store, entries.c.batch_id == batch, now)
        self._connection.execute(update(batches).where(batches.c.id == batch).values(cancelled_at=now))
        return self.get(project, store, batch)

    def page(
        self, project: ProjectId, store: StoreId, batch: BatchId, query: PageQuery, status: FileStatus | None = None
    ) -> Page[StoreFileRow]:
        self.get(project, store, batch)
        wanted = (
            entry_columns()
            .join(batch_files, batch_files.c.entry == entries.c.serial)
            .where(batch_files.c.batch_id == batch)
        )
        if status is not None:
            wanted = wanted.where(entries.c.status == status.value)
        return page(self._connection, wanted, entries, entries.c.file_id, store, query, entry_from)
