"""Editions: a store's documents and segments as one model and one chunking made them; searches find one edition.

A second edition says the same as the first as soon as every living document of the first has a living counterpart
of the same `origin`. Whatever dies, or gets other attributes, does so in both; whatever is published is published in
the first, and the second then lacks it. So a swap needs no log of what happened: it is allowed when nothing is
lacking, decided while the store's row is held. Callers hold the store's row.
"""

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, case, delete, exists, func, or_, select, update

from retrieval.catalog.reindex_rows import ReindexProgress
from retrieval.catalog.reindex_tables import reindex_files, reindexes
from retrieval.catalog.rows import FailureCode, FileStatus
from retrieval.catalog.tables import codebooks, documents, entries, indexes, segments, stores
from retrieval.catalog.tally import move, slices
from retrieval.catalog.vector_stores import next_generation
from retrieval.ids import ProjectId, StoreId

_other = documents.alias("other")


def active_reindex(connection: Connection, store: StoreId) -> Row[Any] | None:
    """The row of the store's second edition, being built or kept."""
    return connection.execute(select(reindexes).where(reindexes.c.store_id == store, reindexes.c.active)).first()


def serving(store: StoreId, edition: int) -> ColumnElement[bool]:
    return and_(documents.c.store_id == store, documents.c.edition == edition, documents.c.living)


def has_counterpart(store: StoreId, edition: int) -> ColumnElement[bool]:
    """Of a document: whether `edition` says the same."""
    return exists().where(
        _other.c.store_id == store,
        _other.c.edition == edition,
        _other.c.origin == documents.c.origin,
        _other.c.living,
    )


def work_of_document() -> ColumnElement[bool]:
    return and_(reindex_files.c.store_id == documents.c.store_id, reindex_files.c.document == documents.c.number)


def lacking(store: StoreId, present: int, other: int) -> Select[Any]:
    """The documents without a counterpart, with what is known of the work on each."""
    return (
        select(documents.c.number, documents.c.file_id, reindex_files.c.error_code, reindex_files.c.error_message)
        .join_from(documents, reindex_files, work_of_document(), isouter=True)
        .where(serving(store, present), ~has_counterpart(store, other))
    )


def progress_of(connection: Connection, store: StoreId, present: int, other: int) -> ReindexProgress:
    covered = has_counterpart(store, other)
    failed = and_(~covered, reindex_files.c.error_code.is_not(None))
    row = connection.execute(
        select(
            func.count(),
            func.coalesce(func.sum(case((covered, 1), else_=0)), 0),
            func.coalesce(func.sum(case((failed, 1), else_=0)), 0),
            func.coalesce(func.sum(documents.c.chunks), 0),
            func.coalesce(func.sum(case((covered, documents.c.chunks), else_=0)), 0),
        )
        .select_from(documents.outerjoin(reindex_files, work_of_document()))
        .where(serving(store, present))
    ).one()
    return ReindexProgress(*(int(number) for number in row))


def exchange(connection: Connection, held: Row[Any], job: Row[Any], now: int) -> int:
    """Make the second edition the one that searches find, and the first one the second; the new generation.

    Files without a counterpart are `failed` from here on, files that a swap before had made so come back. Claims of
    the store's waiting files end: whoever holds one has embedded, or will, with the model that is now the other.
    """
    store = StoreId(held.id)
    generation = next_generation(connection, store)
    _give_up(connection, store, held.edition, job.edition, now)
    _bring_back(connection, store, job.edition)
    connection.execute(
        update(entries)
        .where(entries.c.store_id == store, *_living_in(store, job.edition))
        .values(live_document=documents.c.number, chunks=documents.c.chunks, usage_bytes=documents.c.usage_bytes)
    )
    connection.execute(
        update(entries)
        .where(entries.c.store_id == store, *_living_in(store, job.edition))
        .where(entries.c.status != FileStatus.IN_PROGRESS.value)
        .values(chunk_max_tokens=documents.c.chunk_max_tokens, chunk_overlap_tokens=documents.c.chunk_overlap_tokens)
    )
    connection.execute(
        update(entries)
        .where(entries.c.store_id == store, entries.c.status == FileStatus.IN_PROGRESS.value)
        .where(entries.c.lease_token.is_not(None))
        .values(
            lease_token=None,
            document=None,
            leased_until=0,
            attempt=case((entries.c.attempt > 0, entries.c.attempt - 1), else_=0),
        )
    )
    used = select(func.coalesce(func.sum(entries.c.usage_bytes), 0)).where(entries.c.store_id == store)
    connection.execute(
        update(stores)
        .where(stores.c.id == store)
        .values(
            edition=job.edition,
            model=job.edition_model,
            width=job.edition_width,
            codebook=job.codebook,
            purged_generation=generation,  # every reader is given everything anew
            held_until=0,
            usage_bytes=used.scalar_subquery(),
        )
    )
    connection.execute(
        update(reindexes)
        .where(reindexes.c.id == job.id)
        .values(edition=held.edition, edition_model=held.model, edition_width=held.width, codebook=held.codebook)
    )
    connection.execute(delete(reindex_files).where(reindex_files.c.store_id == store))
    return generation


def _living_in(store: StoreId, edition: int) -> tuple[ColumnElement[bool], ...]:
    """The living document of an entry's file in an edition."""
    return (serving(store, edition), documents.c.file_id == entries.c.file_id)


def _give_up(connection: Connection, store: StoreId, present: int, other: int, now: int) -> None:
    """Files whose document has no counterpart: found until now, failed from here on."""
    for row in connection.execute(lacking(store, present, other)).all():
        entry = connection.execute(
            select(entries).where(entries.c.store_id == store, entries.c.live_document == row.number)
        ).first()
        if entry is None:
            continue
        values: dict[str, Any] = {"live_document": None, "chunks": 0, "usage_bytes": 0}
        if entry.status == FileStatus.COMPLETED:
            values |= {
                "status": FileStatus.FAILED.value,
                "error_code": row.error_code or FailureCode.SERVER_ERROR.value,
                "error_message": row.error_message or "It could not be indexed anew.",
                "settled_at": now,
            }
            move(connection, store, [entry.serial], FileStatus.COMPLETED, FileStatus.FAILED)
        connection.execute(update(entries).where(entries.c.serial == entry.serial).values(values))


def _bring_back(connection: Connection, store: StoreId, edition: int) -> None:
    again = (
        update(entries)
        .where(entries.c.store_id == store, *_living_in(store, edition), entries.c.live_document.is_(None))
        .where(entries.c.status == FileStatus.FAILED.value)
        .values(status=FileStatus.COMPLETED.value, error_code=None, error_message=None)
        .returning(entries.c.serial)
    )
    serials = list(connection.execute(again).scalars())
    if serials:
        move(connection, store, serials, FileStatus.FAILED, FileStatus.COMPLETED)


def drop_edition(connection: Connection, job: Row[Any], now: int) -> None:
    """Give up the edition that searches do not find: its files go after the grace time of all removed ones, its
    documents a slice at a time."""
    store = StoreId(job.store_id)
    mine = select(segments.c.id).where(segments.c.store_id == store, segments.c.edition == job.edition)
    connection.execute(
        update(indexes)
        .where(indexes.c.store_id == store, indexes.c.segment_id.in_(mine), indexes.c.removed_at.is_(None))
        .values(removed_at=now)
    )
    connection.execute(
        update(segments)
        .where(segments.c.store_id == store, segments.c.edition == job.edition, segments.c.removed_at.is_(None))
        .values(removed_at=now)
    )
    if job.codebook is not None:
        connection.execute(
            update(codebooks)
            .where(codebooks.c.store_id == store, codebooks.c.version == job.codebook)
            .where(codebooks.c.removed_at.is_(None))
            .values(removed_at=now)
        )
    connection.execute(delete(reindex_files).where(reindex_files.c.store_id == store))
    connection.execute(update(stores).where(stores.c.id == store).values(held_until=0))
    connection.execute(
        update(reindexes)
        .where(reindexes.c.id == job.id)
        .values(active=False, dropping=True, codebook=None, finished_at=now)
    )


def purge_edition(connection: Connection, store: StoreId, edition: int, most: int) -> int:
    """Remove documents of an edition that was given up; how many."""
    some = (
        select(documents.c.number)
        .where(documents.c.store_id == store, documents.c.edition == edition)
        .order_by(documents.c.number)
        .limit(most)
    )
    numbers = list(connection.execute(some).scalars())
    for part in slices(numbers):
        here = (documents.c.store_id == store) & documents.c.number.in_(part)
        connection.execute(delete(documents).where(here))
    return len(numbers)


def untruths(connection: Connection, project: ProjectId | None = None) -> list[str]:
    """Documents of second editions that a search must never come to find, or not so: none, unless there is a bug."""
    said = documents.alias("said")
    differs = or_(
        documents.c.origin != said.c.origin,
        func.coalesce(documents.c.attributes, "") != func.coalesce(said.c.attributes, ""),
    )
    stray = (
        select(said.c.store_id, said.c.number)
        .join_from(
            said, reindexes, and_(reindexes.c.store_id == said.c.store_id, reindexes.c.edition == said.c.edition)
        )
        .outerjoin(entries, and_(entries.c.store_id == said.c.store_id, entries.c.file_id == said.c.file_id))
        .outerjoin(
            documents, and_(documents.c.store_id == said.c.store_id, documents.c.number == entries.c.live_document)
        )
        .where(reindexes.c.active, said.c.living)
        .where(or_(entries.c.serial.is_(None), and_(documents.c.number.is_not(None), differs)))
    )
    if project is not None:
        stray = stray.where(said.c.project_id == project)
    return [f"document {number} of {store} would come alive again" for store, number in connection.execute(stray)]
