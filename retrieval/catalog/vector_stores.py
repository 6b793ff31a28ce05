"""Vector stores: their rows, their lifetime, and the lock that every change below a store takes first.

A store's row is the lock of all its entries, batches, documents and segments: changes of one store happen one
after another, changes of different stores at once. Deleting and expiring only mark the row, which every reader and
writer checks; what hangs on it goes later, a slice at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, exists, insert, or_, select, update

from retrieval.catalog.paging import PageQuery, page, remember_place
from retrieval.catalog.reindex_tables import reindex_files, reindexes
from retrieval.catalog.retention import RETENTION, agreed_days, retention_days
from retrieval.catalog.rows import Page, StoreRow, StoreStatus
from retrieval.catalog.tables import codebooks, documents, entries, indexes, segments, stores
from retrieval.catalog.tally import counts_of
from retrieval.catalog.values import storable, text_map, to_json
from retrieval.errors import NotAllowedNow, NotFound
from retrieval.ids import ProjectId, StoreId, well_formed

DAY_SECONDS = 86400
_USE_NOTED_EVERY_SECONDS = 60


# Built once: building a statement costs more than executing it.
_HOLD = (
    select(stores)
    .where(stores.c.id == bindparam("whose"), stores.c.deleted_at.is_(None))
    .with_for_update(key_share=True)
)
_NEXT_GENERATION = (
    update(stores)
    .where(stores.c.id == bindparam("whose"))
    .values(generation=stores.c.generation + 1)
    .returning(stores.c.generation)
)
_NEXT_DOCUMENT = update(stores).where(stores.c.id == bindparam("whose")).values(next_document=bindparam("next"))
_NOTE_USE = (
    update(stores)
    .where(
        stores.c.id == bindparam("whose"),
        stores.c.last_active_at <= bindparam("before"),
        stores.c.expired_at.is_(None),
        stores.c.deleted_at.is_(None),
        or_(stores.c.expires_at.is_(None), stores.c.expires_at > bindparam("now")),
    )
    .values(last_active_at=bindparam("now"), expires_at=bindparam("now") + stores.c.expires_days * DAY_SECONDS)
)
_OF_PROJECT = select(stores).where(
    stores.c.id == bindparam("whose"), stores.c.project_id == bindparam("owner"), stores.c.deleted_at.is_(None)
)


class Keep(Enum):
    """Says that a field is not to be changed, where None means that it is to be cleared."""

    AS_IS = 0


@dataclass(frozen=True, slots=True)
class NewStore:
    id: StoreId
    model: str
    width: int
    name: str = ""
    description: str | None = None
    metadata: Mapping[str, str] | None = None
    expires_days: int | None = None


@dataclass(frozen=True, slots=True)
class StoreChanges:
    name: str | Keep = Keep.AS_IS
    metadata: Mapping[str, str] | Keep = Keep.AS_IS
    expires_days: int | Keep | None = Keep.AS_IS


def store_from(row: Row[Any]) -> StoreRow:
    return StoreRow(
        id=StoreId(row.id),
        project_id=ProjectId(row.project_id),
        created_at=row.created_at,
        name=row.name,
        description=row.description,
        metadata=text_map(row.metadata),
        model=row.model,
        width=row.width,
        expires_days=row.expires_days,
        expires_at=row.expires_at,
        expired_at=row.expired_at,
        last_active_at=row.last_active_at,
        usage_bytes=row.usage_bytes,
        counts=counts_of(row),
        generation=row.generation,
    )


def no_such_store(store: str) -> NotFound:
    return NotFound(f"No such VectorStore object: {store}", param="vector_store_id")


def locked(connection: Connection, store: StoreId, project: ProjectId | None = None) -> Row[Any] | None:
    """The store's row, held until the commit; None if it was deleted or is another project's.

    NO KEY UPDATE: rows that refer to the store may be inserted meanwhile by those who hold no lock on it.
    """
    if not well_formed(store):
        return None
    row = connection.execute(_HOLD, {"whose": store}).first()
    return row if row is None or project is None or row.project_id == project else None


def lock_active(connection: Connection, project: ProjectId, store: StoreId, now: int) -> StoreRow:
    """Hold a store that may still take files."""
    row = locked(connection, store, project)
    if row is None:
        raise no_such_store(store)
    found = store_from(row)
    if found.status_at(now) is StoreStatus.EXPIRED:
        raise NotAllowedNow(f"Vector store {store} has expired.", param="vector_store_id")
    return found


def next_generation(connection: Connection, store: StoreId) -> int:
    generation: int = connection.execute(_NEXT_GENERATION, {"whose": store}).scalar_one()
    return generation


def next_documents(connection: Connection, held: Row[Any], count: int) -> range:
    """Numbers that no document of the store has had; `held` is its locked row."""
    numbers = range(held.next_document, held.next_document + count)
    connection.execute(_NEXT_DOCUMENT, {"whose": held.id, "next": numbers.stop})
    return numbers


def note_use(connection: Connection, store: StoreId, now: int, *, at_least_seconds: int = 0) -> bool:
    """Move `last_active_at`, never backwards, and with it the time of expiry. An expired store stays so."""
    moved = connection.execute(_NOTE_USE, {"whose": store, "now": now, "before": now - at_least_seconds})
    return moved.rowcount > 0


def _kept_for(found: StoreRow, changes: StoreChanges) -> int | Keep | None:
    """How long the store is kept from now on: `retention` in new metadata counts as its policy, and takes the policy
    along when it goes."""
    if isinstance(changes.metadata, Keep):
        if not isinstance(changes.expires_days, Keep) and RETENTION in found.metadata:
            agreed_days(found.metadata, changes.expires_days or 0)
        return changes.expires_days
    if not isinstance(changes.expires_days, Keep):
        return agreed_days(changes.metadata, changes.expires_days)
    days = retention_days(changes.metadata)
    return Keep.AS_IS if days is None and RETENTION not in found.metadata else days


class VectorStores:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, project: ProjectId, store: NewStore, now: int) -> StoreRow:
        days = agreed_days(store.metadata or {}, store.expires_days)
        self._connection.execute(
            insert(stores).values(
                id=store.id,
                project_id=project,
                created_at=now,
                name=storable(store.name, "name"),
                description=None if store.description is None else storable(store.description, "description"),
                metadata=to_json(dict(store.metadata or {})),
                model=store.model,
                width=store.width,
                expires_days=days,
                expires_at=None if days is None else now + days * DAY_SECONDS,
                last_active_at=now,
                generation=0,
                purged_generation=0,
                next_document=1,
                usage_bytes=0,
                files_in_progress=0,
                files_completed=0,
                files_failed=0,
                files_cancelled=0,
            )
        )
        return self.get(project, store.id)

    def get(self, project: ProjectId, store: StoreId) -> StoreRow:
        row = None
        if well_formed(store):
            row = self._connection.execute(_OF_PROJECT, {"whose": store, "owner": project}).first()
        if row is None:
            raise no_such_store(store)
        return store_from(row)

    def page(self, project: ProjectId, query: PageQuery) -> Page[StoreRow]:
        wanted = select(stores).where(stores.c.project_id == project, stores.c.deleted_at.is_(None))
        return page(self._connection, wanted, stores, stores.c.id, project, query, store_from)

    def change(self, project: ProjectId, store: StoreId, changes: StoreChanges, now: int) -> StoreRow:
        row = locked(self._connection, store, project)
        if row is None:
            raise no_such_store(store)
        found = store_from(row)
        values: dict[str, str | int | None] = {}
        if not isinstance(changes.name, Keep):
            values["name"] = storable(changes.name, "name")
        if not isinstance(changes.metadata, Keep):
            values["metadata"] = to_json(dict(changes.metadata))
        days = _kept_for(found, changes)
        if not isinstance(days, Keep):
            if found.status_at(now) is StoreStatus.EXPIRED:
                raise NotAllowedNow(f"Vector store {store} has expired.", param="expires_after")
            values["expires_days"] = days
            values["expires_at"] = None if days is None else found.last_active_at + days * DAY_SECONDS
        if values:
            self._connection.execute(update(stores).where(stores.c.id == store).values(values))
        return self.get(project, store)

    def touch(self, store: StoreId, now: int) -> bool:
        """Note that the store was used, at most once a minute. Callers ask only when `StoreGlance` says it is due, so
        that searches stay reads."""
        return note_use(self._connection, store, now, at_least_seconds=_USE_NOTED_EVERY_SECONDS)

    def delete(self, project: ProjectId, store: StoreId, now: int) -> None:
        """From the commit on the store is nowhere to be found; `purge` removes its rows, sweeps remove its files."""
        row = locked(self._connection, store, project)
        if row is None:
            raise no_such_store(store)
        self._connection.execute(update(stores).where(stores.c.id == store).values(deleted_at=now))
        self._remove_derived(store, now)
        remember_place(self._connection, project, store, project, (row.created_at, row.serial), now)

    def expiring(self, now: int, most: int) -> tuple[StoreId, ...]:
        due = (
            select(stores.c.id)
            .where(stores.c.expires_at <= now, stores.c.expired_at.is_(None), stores.c.deleted_at.is_(None))
            .order_by(stores.c.expires_at)
            .limit(most)
        )
        return tuple(StoreId(store) for store in self._connection.execute(due).scalars())

    def expire(self, store: StoreId, now: int) -> StoreRow | None:
        """Settle an expiry that is due: nothing is searched or ingested any more. `purge` then takes its files out.
        The store as it was, or None where nothing was to be done."""
        row = locked(self._connection, store)
        if row is None or row.expired_at is not None or row.expires_at is None or row.expires_at > now:
            return None
        self._connection.execute(update(stores).where(stores.c.id == store).values(expired_at=now))
        next_generation(self._connection, store)
        self._remove_derived(store, now)
        return store_from(row)

    def _remove_derived(self, store: StoreId, now: int) -> None:
        for table in (segments, indexes, codebooks):
            here = (table.c.store_id == store) & table.c.removed_at.is_(None)
            self._connection.execute(update(table).where(here).values(removed_at=now))
        self._connection.execute(update(stores).where(stores.c.id == store).values(codebook=None))
        self._connection.execute(delete(reindex_files).where(reindex_files.c.store_id == store))
        ended = {"active": False, "dropping": False, "codebook": None, "finished_at": now, "state": "cancelled"}
        running = (reindexes.c.store_id == store) & (reindexes.c.active | reindexes.c.dropping)
        self._connection.execute(update(reindexes).where(running).values(ended))

    def purgeable(self, most: int) -> tuple[StoreId, ...]:
        """Deleted and expired stores on which rows still hang."""
        filled = or_(
            exists().where(entries.c.store_id == stores.c.id), exists().where(documents.c.store_id == stores.c.id)
        )
        gone = or_(stores.c.deleted_at.is_not(None), stores.c.expired_at.is_not(None) & filled)
        due = select(stores.c.id).where(gone).order_by(stores.c.serial).limit(most)
        return tuple(StoreId(store) for store in self._connection.execute(due).scalars())
