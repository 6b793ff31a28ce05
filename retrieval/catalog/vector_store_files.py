"""Files of a store: attached, changed, cancelled, retried, taken out.

An entry (store, file) exists once, however often the file is attached. `in_progress` means that a worker has to
bring it to the state wished for; until that is published, the document that searches found before stays found,
also where the attempt fails or is cancelled.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, delete, insert, select, update

from retrieval.catalog.paging import PageQuery, page, remember_place
from retrieval.catalog.rows import (
    Attachment,
    Attributes,
    FailureCode,
    FileStatus,
    LastError,
    Page,
    StoreFileRow,
)
from retrieval.catalog.tables import batch_files, documents, entries, files, stores
from retrieval.catalog.tally import move, slices
from retrieval.catalog.values import attributes_from_json, attributes_to_json, chunking_columns, chunking_from_columns
from retrieval.catalog.vector_stores import VectorStores, lock_active, locked, next_generation, no_such_store, note_use
from retrieval.errors import NotFound
from retrieval.ids import BatchId, FileId, ProjectId, StoreId, well_formed

# The values of an entry that starts from the beginning, whatever it was before.
_WAITING = {
    "status": FileStatus.IN_PROGRESS.value,
    "error_code": None,
    "error_message": None,
    "attempt": 0,
    "deaths": 0,
    "lease_token": None,
    "leased_until": 0,
    "put_off_for": None,
    "put_off_message": None,
    "put_off_since": None,
    "document": None,
    "settled_at": None,
}


# Built once: building a statement costs more than executing it.
_HOLD_FILES = (
    select(files.c.id)
    .where(files.c.project_id == bindparam("owner"), files.c.id.in_(bindparam("wanted", expanding=True)))
    .with_for_update(read=True, key_share=True)
)
_HELD = select(entries).where(
    entries.c.store_id == bindparam("whose"), entries.c.file_id.in_(bindparam("wanted", expanding=True))
)
_INSERT = insert(entries).returning(entries.c.serial, sort_by_parameter_order=True)
_KILL = (
    update(documents)
    .where(documents.c.store_id == bindparam("whose"), documents.c.file_id.in_(bindparam("leaving", expanding=True)))
    .where(documents.c.living)
    .values(living=False, changed=bindparam("generation"))
)


def entry_from(row: Row[Any]) -> StoreFileRow:
    return StoreFileRow(
        file_id=FileId(row.file_id),
        store_id=StoreId(row.store_id),
        project_id=ProjectId(row.project_id),
        created_at=row.created_at,
        filename=row.filename,
        bytes=row.bytes,
        status=FileStatus(row.status),
        attributes=attributes_from_json(row.attributes),
        chunking=chunking_from_columns(row.chunk_max_tokens, row.chunk_overlap_tokens),
        usage_bytes=row.usage_bytes,
        chunks=row.chunks,
        last_error=None if row.error_code is None else LastError(FailureCode(row.error_code), row.error_message),
        batch_id=None if row.batch_id is None else BatchId(row.batch_id),
        attempt=row.attempt,
        settled_at=row.settled_at,
        live_document=row.live_document,
    )


def entry_columns() -> Select[Any]:
    return select(*entries.c, files.c.filename, files.c.bytes).join_from(
        entries, files, entries.c.file_id == files.c.id
    )


_ENTRY = (
    entry_columns()
    .join(stores, entries.c.store_id == stores.c.id)
    .where(entries.c.store_id == bindparam("whose"), entries.c.file_id == bindparam("wanted"))
    .where(stores.c.project_id == bindparam("owner"), stores.c.deleted_at.is_(None))
)


def _no_such_entry(file: str) -> NotFound:
    return NotFound(f"No such VectorStoreFile object: {file}", param="file_id")


def _held(connection: Connection, store: StoreId, wanted: Collection[str]) -> dict[str, Row[Any]]:
    """Entries of a store by file id."""
    found: dict[str, Row[Any]] = {}
    for some in slices(list(wanted)):
        here = connection.execute(_HELD, {"whose": store, "wanted": some})
        found.update((row.file_id, row) for row in here)
    return found


def detach(
    connection: Connection, store: StoreId, leaving: Sequence[Row[Any]], now: int, generation: int | None = None
) -> None:
    """Take entries out of a store whose row the caller holds; from `generation` on (None: the next) no search finds
    them."""
    serials = [row.serial for row in leaving]
    by_status: dict[FileStatus, list[Row[Any]]] = {}
    for row in leaving:
        by_status.setdefault(FileStatus(row.status), []).append(row)
    for status, rows in by_status.items():
        move(connection, store, [row.serial for row in rows], status, None, -sum(row.usage_bytes for row in rows))
    if generation is None and any(row.live_document is not None for row in leaving):
        generation = next_generation(connection, store)
    kill(connection, store, [row.file_id for row in leaving], generation or 0)
    for some in slices(serials):
        connection.execute(delete(batch_files).where(batch_files.c.entry.in_(some)))
        connection.execute(delete(entries).where(entries.c.serial.in_(some)))
    for row in leaving:
        remember_place(connection, store, row.file_id, row.project_id, (row.created_at, row.serial), now)


def kill(connection: Connection, store: StoreId, leaving: Sequence[str], generation: int) -> None:
    """End the documents of these files, in every edition."""
    for some in slices(leaving):
        connection.execute(_KILL, {"whose": store, "leaving": some, "generation": generation})


def detach_file(connection: Connection, file: FileId, now: int) -> tuple[StoreId, ...]:
    """Take a file out of every store. The caller holds the file's row, so that no store can take it meanwhile."""
    holding = (
        select(entries.c.store_id)
        .join_from(entries, stores, entries.c.store_id == stores.c.id)
        .where(entries.c.file_id == file)
        .order_by(stores.c.serial)
    )
    left = []
    for name in connection.execute(holding).scalars().all():
        store = StoreId(name)
        connection.execute(select(stores.c.id).where(stores.c.id == store).with_for_update(key_share=True))
        rows = list(_held(connection, store, [file]).values())
        if rows:
            detach(connection, store, rows, now)
            left.append(store)
    return tuple(left)


def live_attributes(connection: Connection, row: Row[Any], attributes: str | None) -> None:
    """Change what searches see of an entry, in every edition."""
    changes: dict[str, Any] = {"attributes": attributes}
    if row.live_document is not None:
        changes["changed"] = next_generation(connection, StoreId(row.store_id))
    here = (documents.c.store_id == row.store_id) & (documents.c.file_id == row.file_id) & documents.c.living
    connection.execute(update(documents).where(here).values(changes))


class VectorStoreFiles:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, project: ProjectId, store: StoreId, file: FileId) -> StoreFileRow:
        row = None
        if well_formed(store) and well_formed(file):
            row = self._connection.execute(_ENTRY, {"whose": store, "wanted": file, "owner": project}).first()
        if row is None:
            raise _no_such_entry(file)
        return entry_from(row)

    def page(
        self, project: ProjectId, store: StoreId, query: PageQuery, status: FileStatus | None = None
    ) -> Page[StoreFileRow]:
        """The store's files, in the order they were attached. A store that is not there is not an empty list."""
        there = select(stores.c.id).where(
            stores.c.id == store, stores.c.project_id == project, stores.c.deleted_at.is_(None)
        )
        if not well_formed(store) or self._connection.execute(there).first() is None:
            raise no_such_store(store)
        wanted = entry_columns().where(entries.c.store_id == store)
        if status is not None:
            wanted = wanted.where(entries.c.status == status.value)
        return page(self._connection, wanted, entries, entries.c.file_id, store, query, entry_from)

    def attach(self, project: ProjectId, store: StoreId, attachment: Attachment, now: int) -> StoreFileRow:
        self.attach_all(project, store, [attachment], now)
        return self.get(project, store, attachment.file_id)

    def attach_all(
        self,
        project: ProjectId,
        store: StoreId,
        attachments: Sequence[Attachment],
        now: int,
        *,
        batch: BatchId | None = None,
        param: str = "file_id",
    ) -> None:
        """All or none. A file named twice is taken as it was named last; `param` names the input in refusals, `{}`
        in it the place among `attachments`.

        Locks files, then the store: whoever deletes a file does the same.
        """
        wishes = {attachment.file_id: attachment for attachment in attachments}
        self._hold_files(project, [attachment.file_id for attachment in attachments], param)
        lock_active(self._connection, project, store, now)
        there = _held(self._connection, store, wishes)
        fresh = [wish for wish in wishes.values() if wish.file_id not in there]
        bulk = len(wishes) > 1
        self._insert(project, store, fresh, batch, bulk=bulk, now=now)
        for file, row in there.items():
            self._again(store, row, wishes[FileId(file)], batch, bulk=bulk)
        settled = {file for file, row in there.items() if self._settled_as_wished(row, wishes[FileId(file)])}
        done = [wish.supersedes for wish in wishes.values() if wish.file_id in settled and wish.supersedes]
        superseded = _held(self._connection, store, [file for file in done if file not in wishes])
        detach(self._connection, store, list(superseded.values()), now)
        note_use(self._connection, store, now)

    def _hold_files(self, project: ProjectId, wanted: Sequence[FileId], param: str) -> None:
        found: set[str] = set()
        for some in slices([file for file in dict.fromkeys(wanted) if well_formed(file)]):
            found.update(self._connection.execute(_HOLD_FILES, {"owner": project, "wanted": some}).scalars())
        for index, file in enumerate(wanted):
            if file not in found:
                raise NotFound(f"No such File object: {file}", param=param.format(index))

    def _insert(
        self,
        project: ProjectId,
        store: StoreId,
        wishes: Sequence[Attachment],
        batch: BatchId | None,
        *,
        bulk: bool,
        now: int,
    ) -> None:
        if not wishes:
            return
        rows = [
            {
                **_WAITING,
                **_wished(wish),
                "store_id": store,
                "file_id": wish.file_id,
                "project_id": project,
                "created_at": now,
                "usage_bytes": 0,
                "chunks": 0,
                "batch_id": batch,
                "bulk": bulk,
                "live_document": None,
            }
            for wish in wishes
        ]
        serials = list(self._connection.execute(_INSERT, rows).scalars())
        move(self._connection, store, serials, None, FileStatus.IN_PROGRESS)

    def _settled_as_wished(self, row: Row[Any], wish: Attachment) -> bool:
        """Whether the entry is completed with the chunks that the wish asks for, so that no work is needed."""
        wanted = chunking_columns(wish.chunking)
        return row.status == FileStatus.COMPLETED and all(row._mapping[name] == wanted[name] for name in wanted)

    def _again(self, store: StoreId, row: Row[Any], wish: Attachment, batch: BatchId | None, *, bulk: bool) -> None:
        """A file that is there already: whatever the new wish leaves as it is needs no work."""
        status = FileStatus(row.status)
        wished = _wished(wish)
        values: dict[str, Any] = {**wished, "batch_id": batch}
        wanted = chunking_columns(wish.chunking)
        if self._settled_as_wished(row, wish):
            values["supersedes"] = None
            if row.attributes != wished["attributes"]:
                live_attributes(self._connection, row, wished["attributes"])
        elif status is not FileStatus.IN_PROGRESS or any(row._mapping[name] != wanted[name] for name in wanted):
            values |= {**_WAITING, "bulk": bulk}  # a claim that is at work with the old chunking loses its lease
            move(self._connection, store, [row.serial], status, FileStatus.IN_PROGRESS)
        else:
            values["bulk"] = bulk and row.bulk
        self._connection.execute(update(entries).where(entries.c.serial == row.serial).values(values))

    def _locked_entry(self, project: ProjectId, store: StoreId, file: FileId) -> Row[Any]:
        if locked(self._connection, store, project) is None:
            raise no_such_store(store)
        row = _held(self._connection, store, [file] if well_formed(file) else []).get(file)
        if row is None:
            raise _no_such_entry(file)
        return row

    def set_attributes(
        self, project: ProjectId, store: StoreId, file: FileId, attributes: Attributes | None
    ) -> StoreFileRow:
        """Replace the whole map; the next search of any process sees it."""
        row = self._locked_entry(project, store, file)
        wished = attributes_to_json(attributes)
        self._connection.execute(update(entries).where(entries.c.serial == row.serial).values(attributes=wished))
        live_attributes(self._connection, row, wished)
        return self.get(project, store, file)

    def delete(self, project: ProjectId, store: StoreId, file: FileId, now: int) -> None:
        detach(self._connection, store, [self._locked_entry(project, store, file)], now)

    def wished_attributes(
        self, project: ProjectId, store: StoreId, after: int, most: int
    ) -> tuple[tuple[int, FileId, Attributes], ...]:
        """(serial, file, attributes) of the store's files, whatever their status; page on `after` the last serial."""
        VectorStores(self._connection).get(project, store)
        wanted = select(entries.c.serial, entries.c.file_id, entries.c.attributes).where(
            entries.c.store_id == store, entries.c.serial > after
        )
        found = self._connection.execute(wanted.order_by(entries.c.serial).limit(most))
        return tuple((serial, FileId(file), attributes_from_json(text) or {}) for serial, file, text in found)

    def delete_where(
        self,
        project: ProjectId,
        store: StoreId,
        wanted: Sequence[FileId],
        chosen: Callable[[Sequence[Attributes]], Sequence[bool]],
        now: int,
    ) -> tuple[FileId, ...]:
        """Take those of `wanted` out of the store whose attributes are still `chosen`, all in one generation."""
        if locked(self._connection, store, project) is None:
            raise no_such_store(store)
        rows = list(_held(self._connection, store, wanted).values())
        passed = chosen([attributes_from_json(row.attributes) or {} for row in rows])
        leaving = [row for row, leaves in zip(rows, passed, strict=True) if leaves]
        detach(self._connection, store, leaving, now)
        return tuple(FileId(row.file_id) for row in leaving)

    def cancel(self, project: ProjectId, store: StoreId, file: FileId, now: int) -> StoreFileRow:
        """Stop work on a file; one that has settled stays as it is."""
        row = self._locked_entry(project, store, file)
        cancel_entries(self._connection, store, entries.c.serial == row.serial, now)
        return self.get(project, store, file)

    def retry(self, project: ProjectId, store: StoreId, file: FileId | None = None) -> int:
        """Begin again with a failed file, or with all that failed: how many. Others stay as they are."""
        if file is not None:
            self._locked_entry(project, store, file)
        elif locked(self._connection, store, project) is None:
            raise no_such_store(store)
        failed = (entries.c.store_id == store) & (entries.c.status == FileStatus.FAILED.value)
        if file is not None:
            failed &= entries.c.file_id == file
        again = update(entries).where(failed).values(_WAITING).returning(entries.c.serial)
        serials = list(self._connection.execute(again).scalars())
        if serials:
            move(self._connection, store, serials, FileStatus.FAILED, FileStatus.IN_PROGRESS)
        return len(serials)


def _wished(wish: Attachment) -> dict[str, Any]:
    return {
        "attributes": attributes_to_json(wish.attributes),
        **chunking_columns(wish.chunking),
        "supersedes": None if wish.supersedes == wish.file_id else wish.supersedes,
    }


def cancel_entries(connection: Connection, store: StoreId, which: ColumnElement[bool], now: int) -> int:
    """Cancel those of the store's entries that are in progress. Their leases end: a publish will pass them over."""
    stopped = connection.execute(
        update(entries)
        .where(entries.c.store_id == store, which, entries.c.status == FileStatus.IN_PROGRESS.value)
        .values(status=FileStatus.CANCELLED.value, lease_token=None, leased_until=0, document=None, settled_at=now)
        .returning(entries.c.serial)
    )
    serials = list(stopped.scalars())
    if serials:
        move(connection, store, serials, FileStatus.IN_PROGRESS, FileStatus.CANCELLED)
    return len(serials)
