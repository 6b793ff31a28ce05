"""What a store holds, for whoever reads it without a question: the newest generation, opened, and a file's part in it.

Whatever was answered as done before the call is seen by it.
"""

from typing import Final

import numpy as np

from retrieval.catalog.rows import FileStatus, StoreFileRow, StoreRow, StoreStatus
from retrieval.catalog.transaction import Catalog
from retrieval.errors import NotAllowedNow
from retrieval.ids import FileId, ProjectId, StoreId
from retrieval.index.snapshot import Snapshot
from retrieval.index.snapshots import Snapshots

TRIES: Final = 4  # a file that is replaced while it is read is read again


def open_store(catalog: Catalog, snapshots: Snapshots, project: ProjectId, store: StoreId) -> Snapshot:
    with catalog.reading() as tx:
        row = tx.stores.get(project, store)
    _refuse_expired(row, catalog.now())
    return snapshots.at(store, row.generation)


def open_file(
    catalog: Catalog, snapshots: Snapshots, project: ProjectId, store: StoreId, file: FileId
) -> tuple[Snapshot, int]:
    """A snapshot and the document in it that searches find for the file; without one, refused with the reason."""
    for _ in range(TRIES):
        with catalog.reading() as tx:
            entry = tx.store_files.get(project, store, file)
            row = tx.stores.get(project, store)
        _refuse_expired(row, catalog.now())
        if entry.live_document is None:
            break
        snapshot = snapshots.at(store, row.generation)
        if snapshot.documents.living_at(np.array([entry.live_document]))[0]:
            return snapshot, entry.live_document
    raise NotAllowedNow(_why_nothing(entry), param="file_id")


def _refuse_expired(row: StoreRow, now: int) -> None:
    if row.status_at(now) is StoreStatus.EXPIRED:
        raise NotAllowedNow(f"Vector store {row.id} has expired: its files are gone.", param="vector_store_id")


def _why_nothing(entry: StoreFileRow) -> str:
    name = f"File {entry.file_id} has no content in this vector store"
    if entry.status is FileStatus.FAILED and entry.last_error is not None:
        return f"{name}: it failed. {entry.last_error.message}"
    if entry.status is FileStatus.CANCELLED:
        return f"{name}: it was cancelled."
    return f"{name} yet: it is still being processed."
