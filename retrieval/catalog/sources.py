"""Sources: where the documents of a store come from, and when they are looked at again.

A source hangs on its store: what changes a source and its store locks the store first.
"""

import json
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, delete, insert, select, update

from retrieval.catalog.paging import PageQuery, page, remember_place
from retrieval.catalog.rows import Page
from retrieval.catalog.source_rows import Location, SourceKind, SourceRow, SourceWish
from retrieval.catalog.source_tables import source_changes, source_items, source_leftovers, source_runs, sources
from retrieval.catalog.tables import stores
from retrieval.catalog.values import (
    chunking_columns,
    chunking_from_columns,
    storable,
    text_list,
    text_map,
    to_json,
)
from retrieval.catalog.vector_stores import lock_active
from retrieval.errors import InvalidInput, NotFound
from retrieval.ids import ProjectId, RunId, SourceId, StoreId, well_formed


def source_from(row: Row[Any]) -> SourceRow:
    where = json.loads(row.location)
    wish = SourceWish(
        kind=SourceKind(row.kind),
        location=Location(where["path"], where["bucket"], where["prefix"], tuple(where["urls"])),
        include=tuple(text_list(row.include)),
        exclude=tuple(text_list(row.exclude)),
        attributes=text_map(row.attributes),
        chunking=chunking_from_columns(row.chunk_max_tokens, row.chunk_overlap_tokens),
        cron=row.cron,
        time_zone=row.time_zone,
        max_removed_share=row.max_removed_share,
    )
    return SourceRow(
        id=SourceId(row.id),
        store_id=StoreId(row.store_id),
        project_id=ProjectId(row.project_id),
        created_at=row.created_at,
        wish=wish,
        next_run_at=row.next_run_at,
        run_id=None if row.run_id is None else RunId(row.run_id),
    )


def no_such_source(source: str) -> NotFound:
    return NotFound(f"No such VectorStoreSource object: {source}", param="source_id")


def _columns(wish: SourceWish) -> dict[str, Any]:
    where = wish.location
    location = {"path": where.path, "bucket": where.bucket, "prefix": where.prefix, "urls": list(where.urls)}
    return {
        "kind": wish.kind.value,
        "location": to_json(location),
        "include": to_json(wish.include),
        "exclude": to_json(wish.exclude),
        "attributes": to_json(dict(wish.attributes)),
        **chunking_columns(wish.chunking),
        "cron": wish.cron,
        "time_zone": storable(wish.time_zone, "schedule.time_zone"),
        "max_removed_share": wish.max_removed_share,
    }


def locked_source(connection: Connection, project: ProjectId, store: StoreId, source: SourceId) -> SourceRow:
    """The source, held until the commit."""
    row = None
    if well_formed(source) and well_formed(store):
        row = connection.execute(_wanted(project, store, source).with_for_update(of=sources)).first()
    if row is None:
        raise no_such_source(source)
    return source_from(row)


def _wanted(project: ProjectId, store: StoreId, source: SourceId) -> Select[Any]:
    return (
        select(sources)
        .join(stores, sources.c.store_id == stores.c.id)
        .where(sources.c.id == source, sources.c.store_id == store, sources.c.project_id == project)
        .where(stores.c.deleted_at.is_(None))
    )


def delete_sources(connection: Connection, which: ColumnElement[bool]) -> None:
    """Everything that refresh knows of some sources; files and their entries stay."""
    mine = select(sources.c.id).where(which)
    runs = select(source_runs.c.id).where(source_runs.c.source_id.in_(mine))
    connection.execute(delete(source_changes).where(source_changes.c.run_id.in_(runs)))
    for table in (source_runs, source_items, source_leftovers):
        connection.execute(delete(table).where(table.c.source_id.in_(mine)))
    connection.execute(delete(sources).where(which))


class Sources:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(
        self, project: ProjectId, store: StoreId, source: SourceId, wish: SourceWish, next_run_at: int | None, now: int
    ) -> SourceRow:
        lock_active(self._connection, project, store, now)
        columns = _columns(wish)
        here = (sources.c[name] == columns[name] for name in ("kind", "location", "include", "exclude"))
        same = self._connection.execute(select(sources.c.id).where(sources.c.store_id == store, *here)).scalar()
        if same is not None:  # each would bring every document once
            raise InvalidInput(f"This vector store has that source already: {same}. Change that one.", param="source")
        self._connection.execute(
            insert(sources).values(
                id=source,
                store_id=store,
                project_id=project,
                created_at=now,
                next_run_at=next_run_at,
                leased_until=0,
                **columns,
            )
        )
        return self.get(project, store, source)

    def get(self, project: ProjectId, store: StoreId, source: SourceId) -> SourceRow:
        row = None
        if well_formed(source) and well_formed(store):
            row = self._connection.execute(_wanted(project, store, source)).first()
        if row is None:
            raise no_such_source(source)
        return source_from(row)

    def page(self, project: ProjectId, store: StoreId, query: PageQuery) -> Page[SourceRow]:
        wanted = select(sources).where(sources.c.store_id == store, sources.c.project_id == project)
        return page(self._connection, wanted, sources, sources.c.id, store, query, source_from)

    def change(
        self, project: ProjectId, store: StoreId, source: SourceId, wish: SourceWish, next_run_at: int | None
    ) -> SourceRow:
        """Whatever the wish changes about items is done by the next run."""
        locked_source(self._connection, project, store, source)
        mine = update(sources).where(sources.c.id == source)
        self._connection.execute(mine.values(next_run_at=next_run_at, **_columns(wish)))
        return self.get(project, store, source)

    def delete(self, project: ProjectId, store: StoreId, source: SourceId, now: int) -> None:
        """A run under way loses its lease and ends. The files that came from the source stay in the store."""
        found = locked_source(self._connection, project, store, source)
        serial = self._connection.execute(select(sources.c.serial).where(sources.c.id == source)).scalar_one()
        delete_sources(self._connection, sources.c.id == source)
        remember_place(self._connection, store, source, project, (found.created_at, serial), now)
