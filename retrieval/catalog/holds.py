"""Holds: what an export or a backup reads is not swept meanwhile.

A hold lasts until it is released or nobody has renewed it in time, and never longer than its end. Whatever lived when
it was made is removed later than that, so it still has its own grace when the first sweep looks at the hold.
"""

from typing import Any, Final

from sqlalchemy import Connection, Row, delete, exists, insert, or_, select, update
from sqlalchemy.sql.elements import ColumnElement

from retrieval.catalog.moving_rows import HoldRow
from retrieval.catalog.moving_tables import holds
from retrieval.errors import NotFound
from retrieval.ids import HoldId, ProjectId, StoreId, well_formed

HELD_SECONDS: Final = 3600  # without being renewed
LONGEST_SECONDS: Final = 12 * 3600  # objects of an export that no row names are swept after a day


def _hold(row: Row[Any]) -> HoldRow:
    return HoldRow(
        id=HoldId(row.id),
        project_id=None if row.project_id is None else ProjectId(row.project_id),
        store_id=None if row.store_id is None else StoreId(row.store_id),
        created_at=row.created_at,
        held_until=row.held_until,
        ends_at=row.ends_at,
        generation=row.generation,
        bytes=row.bytes,
        files=row.files,
        chunks=row.chunks,
        etag=row.etag,
    )


def held(project: ColumnElement[str], store: ColumnElement[str] | None, now: int) -> ColumnElement[bool]:
    """Whether a row of this project, and of this store where it has one, is held at `now`."""
    mine = or_(holds.c.project_id.is_(None), holds.c.project_id == project)
    if store is not None:
        mine &= or_(holds.c.store_id.is_(None), holds.c.store_id == store)
    return exists().where(holds.c.held_until > now, mine)


class Holds:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, hold: HoldId, project: ProjectId | None, store: StoreId | None, now: int) -> HoldRow:
        row = HoldRow(hold, project, store, now, now + HELD_SECONDS, now + LONGEST_SECONDS)
        self._connection.execute(
            insert(holds).values(
                id=hold,
                project_id=project,
                store_id=store,
                created_at=now,
                held_until=row.held_until,
                ends_at=row.ends_at,
                generation=0,
                bytes=0,
                files=0,
                chunks=0,
                etag="",
            )
        )
        return row

    def describe(self, hold: HoldId, *, generation: int, size: int, files: int, chunks: int, etag: str) -> bool:
        """Say what an export holds, once its archive is ready; False if the hold has gone."""
        said = update(holds).where(holds.c.id == hold)
        return (
            self._connection.execute(
                said.values(generation=generation, bytes=size, files=files, chunks=chunks, etag=etag)
            ).rowcount
            > 0
        )

    def get(self, project: ProjectId, store: StoreId, hold: HoldId, now: int) -> HoldRow:
        """An export that can be downloaded."""
        row = None
        if well_formed(hold) and well_formed(store):
            mine = (holds.c.id == hold) & (holds.c.project_id == project) & (holds.c.store_id == store)
            row = self._connection.execute(select(holds).where(mine, holds.c.held_until > now)).first()
        if row is None or not row.bytes:
            raise NotFound(f"No such export: {hold}", param="export_id")
        return _hold(row)

    def renew(self, hold: HoldId, now: int) -> bool:
        """Hold on for another while; False once the hold has ended."""
        until = now + HELD_SECONDS
        alive = (holds.c.id == hold) & (holds.c.held_until > now)
        longer = update(holds).where(alive, holds.c.ends_at >= until).values(held_until=until)
        if self._connection.execute(longer).rowcount:
            return True
        last = update(holds).where(alive).values(held_until=holds.c.ends_at)
        return self._connection.execute(last).rowcount > 0

    def over(self, now: int, most: int) -> tuple[HoldRow, ...]:
        due = select(holds).where(holds.c.held_until <= now).order_by(holds.c.held_until).limit(most)
        return tuple(_hold(row) for row in self._connection.execute(due))

    def release(self, hold: HoldId) -> bool:
        return self._connection.execute(delete(holds).where(holds.c.id == hold)).rowcount > 0
