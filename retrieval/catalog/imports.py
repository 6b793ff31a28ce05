"""Imports: archives that are to become stores. The row is the work: claimed under a lease, settled once."""

from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from retrieval.catalog.moving_rows import ImportRow
from retrieval.catalog.moving_tables import imports
from retrieval.catalog.rows import FileStatus
from retrieval.catalog.values import legible, storable
from retrieval.errors import LeaseLost, NotFound
from retrieval.ids import FileId, ImportId, LeaseToken, ProjectId, StoreId, well_formed

_WAITING = imports.c.status == FileStatus.IN_PROGRESS.value


def _import(row: Row[Any]) -> ImportRow:
    return ImportRow(
        id=ImportId(row.id),
        project_id=ProjectId(row.project_id),
        created_at=row.created_at,
        file_id=FileId(row.file_id),
        keep_ids=row.keep_ids,
        model=row.model,
        name=row.name,
        store_id=None if row.store_id is None else StoreId(row.store_id),
        status=FileStatus(row.status),
        bytes=row.bytes,
        bytes_done=row.bytes_done,
        files=row.files,
        unchanged=row.unchanged,
        error=row.error_message,
        attempt=row.attempt,
        deaths=row.deaths,
        token=None if row.lease_token is None else LeaseToken(row.lease_token),
        settled_at=row.settled_at,
    )


class Imports:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self,
        project: ProjectId,
        wanted: ImportId,
        archive: FileId,
        *,
        size: int,
        store: StoreId | None,
        model: str | None,
        name: str | None,
        now: int,
    ) -> ImportRow:
        """`store`: the new id; None keeps the ids of the archive. Asking again while the same import waits is answered
        with it: an answer may have been lost on its way."""
        same = (imports.c.project_id == project) & (imports.c.file_id == archive) & _WAITING
        there = self._connection.execute(select(imports).where(same)).all()
        for row in map(_import, there):
            if (row.keep_ids, row.model, row.name) == (store is None, model, name):
                return row
        self._connection.execute(
            insert(imports).values(
                id=wanted,
                project_id=project,
                created_at=now,
                file_id=archive,
                keep_ids=store is None,
                model=model,
                name=None if name is None else storable(name, "name"),
                store_id=store,
                status=FileStatus.IN_PROGRESS.value,
                bytes=size,
                bytes_done=0,
                files=0,
                unchanged=False,
                attempt=0,
                deaths=0,
                leased_until=0,
            )
        )
        return self.get(project, wanted)

    def get(self, project: ProjectId, wanted: ImportId) -> ImportRow:
        row = None
        if well_formed(wanted):
            mine = (imports.c.id == wanted) & (imports.c.project_id == project)
            row = self._connection.execute(select(imports).where(mine)).first()
        if row is None:
            raise NotFound(f"No such import: {wanted}", param="import_id")
        return _import(row)

    def waiting(self, now: int) -> bool:
        due = select(imports.c.id).where(_WAITING, imports.c.leased_until <= now)
        return self._connection.execute(due.limit(1)).first() is not None

    def claim(self, token: LeaseToken, now: int, lease_seconds: int) -> ImportRow | None:
        """The import that waits longest, leased to the caller. One whose last claim ran out has died once more."""
        due = select(imports).where(_WAITING, imports.c.leased_until <= now).order_by(imports.c.serial).limit(1)
        row = self._connection.execute(due.with_for_update(skip_locked=True)).first()
        if row is None:
            return None
        taken = (
            update(imports)
            .where(imports.c.serial == row.serial)
            .values(
                lease_token=token,
                leased_until=now + lease_seconds,
                attempt=row.attempt + 1,
                deaths=row.deaths + (row.lease_token is not None),
            )
            .returning(*imports.c)
        )
        return _import(self._connection.execute(taken).one())

    def renew(self, token: LeaseToken, done: int, now: int, lease_seconds: int) -> bool:
        mine = update(imports).where(_WAITING, imports.c.lease_token == token)
        return self._connection.execute(mine.values(leased_until=now + lease_seconds, bytes_done=done)).rowcount > 0

    def release(self, token: LeaseToken) -> None:
        """Give it back as if it had not been claimed."""
        mine = update(imports).where(_WAITING, imports.c.lease_token == token)
        self._connection.execute(mine.values(lease_token=None, leased_until=0, attempt=imports.c.attempt - 1))

    def retry_later(self, token: LeaseToken, until: int) -> None:
        mine = update(imports).where(_WAITING, imports.c.lease_token == token)
        self._connection.execute(mine.values(lease_token=None, leased_until=until))

    def fail(self, token: LeaseToken, message: str, now: int) -> bool:
        mine = update(imports).where(_WAITING, imports.c.lease_token == token)
        values = {"status": FileStatus.FAILED.value, "error_message": legible(message), "settled_at": now}
        return self._connection.execute(mine.values(lease_token=None, **values)).rowcount > 0

    def complete(self, token: LeaseToken, store: StoreId, *, files: int, unchanged: bool, now: int) -> None:
        """In the transaction that makes the store visible; `LeaseLost` undoes it if another has taken over."""
        mine = update(imports).where(_WAITING, imports.c.lease_token == token)
        values = {"status": FileStatus.COMPLETED.value, "store_id": store, "settled_at": now, "files": files}
        done = mine.values(lease_token=None, unchanged=unchanged, bytes_done=imports.c.bytes, **values)
        if not self._connection.execute(done).rowcount:
            raise LeaseLost("the import was taken over by another worker")
