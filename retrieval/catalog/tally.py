"""Counts of files and bytes, moved in the transaction that moves what they count; and the check that they are true.

Whoever calls holds the store's row.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Table, Update, bindparam, func, select, update

from retrieval.catalog.rows import FileCounts, FileStatus
from retrieval.catalog.tables import batch_files, batches, documents, entries, files, projects, stores
from retrieval.ids import BatchId, ProjectId, StoreId

T = TypeVar("T")

_TOGETHER = 1000  # values in one IN list


def slices(values: Sequence[T]) -> Iterator[Sequence[T]]:
    """As many at a time as one statement may name."""
    for start in range(0, len(values), _TOGETHER):
        yield values[start : start + _TOGETHER]


def counts_of(row: Row[Any]) -> FileCounts:
    return FileCounts(row.files_in_progress, row.files_completed, row.files_failed, row.files_cancelled)


def _column(status: FileStatus) -> str:
    return f"files_{status.value}"


def _shifting(table: Table, *others: str) -> Update:
    """Add to the counts of one row of `table`, and to `others`. Built once: building costs more than executing."""
    names = [*map(_column, FileStatus), *others]
    return (
        update(table)
        .where(table.c.id == bindparam("whose"))
        .values({name: table.c[name] + bindparam(f"more_{name}") for name in names})
    )


_SHIFT_STORE = _shifting(stores, "usage_bytes")
_SHIFT_BATCH = _shifting(batches)
_PER_BATCH = (
    select(batch_files.c.batch_id, func.count())
    .where(batch_files.c.entry.in_(bindparam("moved", expanding=True)))
    .group_by(batch_files.c.batch_id)
)


def _more(how_many: int, before: FileStatus | None, after: FileStatus | None) -> dict[str, int]:
    changed = dict.fromkeys((f"more_{_column(status)}" for status in FileStatus), 0)
    if before is not None:
        changed[f"more_{_column(before)}"] -= how_many
    if after is not None:
        changed[f"more_{_column(after)}"] += how_many
    return changed


def move(
    connection: Connection,
    store: StoreId,
    moved: Collection[int],
    before: FileStatus | None,
    after: FileStatus | None,
    usage_bytes: int = 0,
) -> None:
    """These entries go from one status to another: None is outside the store. Batches that hold them count along."""
    if before == after and not usage_bytes:
        return
    changed = {**_more(len(moved), before, after), "whose": store, "more_usage_bytes": usage_bytes}
    connection.execute(_SHIFT_STORE, changed)
    if before is None or before == after:
        return
    per_batch: dict[str, int] = {}
    for some in slices(list(moved)):
        for batch, how_many in connection.execute(_PER_BATCH, {"moved": some}):
            per_batch[batch] = per_batch.get(batch, 0) + how_many
    for batch, how_many in per_batch.items():
        connection.execute(_SHIFT_BATCH, {**_more(how_many, before, after), "whose": batch})


def _grouped(rows: Collection[Row[str, int]]) -> FileCounts:
    return FileCounts(**{FileStatus(status).value: how_many for status, how_many in rows})


def members(connection: Connection, batch: BatchId) -> FileCounts:
    """A batch's files by status, counted one by one."""
    found = connection.execute(
        select(entries.c.status, func.count())
        .join_from(batch_files, entries, batch_files.c.entry == entries.c.serial)
        .where(batch_files.c.batch_id == batch)
        .group_by(entries.c.status)
    ).all()
    return _grouped(found)


def untruths(connection: Connection, project: ProjectId | None = None) -> list[str]:
    """Every stored count that differs from what it counts, as a sentence: none, unless there is a bug. Of one project,
    or of all."""
    wrong: list[str] = []

    def compare(what: str, stored: object, counted: object) -> None:
        if stored != counted:
            wrong.append(f"{what}: stored {stored}, counted {counted}")

    def of(table: Table) -> Sequence[Row[Any]]:
        mine = select(table) if project is None else select(table).where(table.c[owner[table.name]] == project)
        return connection.execute(mine).all()

    owner = {projects.name: "id", stores.name: "project_id", batches.name: "project_id"}
    for row in of(projects):
        stored = connection.execute(
            select(func.coalesce(func.sum(files.c.bytes), 0)).where(files.c.project_id == row.id)
        ).scalar_one()
        compare(f"bytes of {row.id}", row.bytes_stored, int(stored))
    for store in of(stores):
        here = entries.c.store_id == store.id
        by_status = connection.execute(select(entries.c.status, func.count()).where(here).group_by(entries.c.status))
        compare(f"files of {store.id}", counts_of(store), _grouped(by_status.all()))
        used = connection.execute(select(func.coalesce(func.sum(entries.c.usage_bytes), 0)).where(here)).scalar_one()
        compare(f"usage of {store.id}", store.usage_bytes, int(used))
        living = (documents.c.store_id == store.id) & documents.c.living & (documents.c.edition == store.edition)
        searched = connection.execute(select(documents.c.number, documents.c.usage_bytes).where(living)).all()
        named = connection.execute(
            select(entries.c.live_document, entries.c.usage_bytes).where(here, entries.c.live_document.is_not(None))
        ).all()
        compare(f"living documents of {store.id}", sorted(tuple(row) for row in named), sorted(map(tuple, searched)))
    for batch in of(batches):
        compare(f"files of {batch.id}", counts_of(batch), members(connection, BatchId(batch.id)))
    return wrong
