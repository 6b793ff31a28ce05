"""Publishing: the one step by which ingested documents come to be found, and the swap by which segments are merged.

Both hold the store's row, write everything in the caller's transaction, and move the generation once. Who hears
`CatalogUnavailable` from the commit cannot know whether it took place: the segment's file stays for the orphan
sweep, and publishing the same again answers what is true.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, insert, select, update

from retrieval.catalog.manifest import insert_segment
from retrieval.catalog.rows import FileStatus, Ingested, Publication, SegmentRow, StoreStatus
from retrieval.catalog.tables import documents, entries, files, indexes, segments
from retrieval.catalog.tally import move, slices
from retrieval.catalog.vector_store_files import detach, kill
from retrieval.catalog.vector_stores import locked, next_generation, store_from
from retrieval.errors import NotAllowedNow
from retrieval.ids import SegmentId, StoreId

# Built once: building a statement costs more than executing it.
_SEGMENT = select(segments.c.id).where(segments.c.id == bindparam("which"))
_NEEDED: tuple[ColumnElement[Any], ...] = (
    entries.c.serial,
    entries.c.project_id,
    entries.c.file_id,
    entries.c.document,
    entries.c.lease_token,
    entries.c.attributes,
    entries.c.usage_bytes,
    entries.c.supersedes,
    entries.c.chunk_max_tokens,
    entries.c.chunk_overlap_tokens,
    files.c.filename,
)
_HELD = (
    select(*_NEEDED)
    .join_from(entries, files, entries.c.file_id == files.c.id)
    .where(entries.c.lease_token.in_(bindparam("tokens", expanding=True)), entries.c.store_id == bindparam("whose"))
    .where(entries.c.status == FileStatus.IN_PROGRESS.value)
    .order_by(entries.c.serial)
)
_INSERT_DOCUMENTS = insert(documents)
_COMPLETE = (
    update(entries)
    .where(entries.c.serial == bindparam("mine"))
    .values(
        status=FileStatus.COMPLETED.value,
        live_document=bindparam("number"),
        chunks=bindparam("how_many"),
        usage_bytes=bindparam("used"),
        texts_embedded=bindparam("texts"),
        tokens_embedded=bindparam("tokens"),
        embedding_calls=bindparam("calls"),
        document=None,
        lease_token=None,
        leased_until=0,
        deaths=0,
        supersedes=None,
        error_code=None,
        error_message=None,
        settled_at=bindparam("now"),
    )
)


def publish(
    connection: Connection, store: StoreId, ingested: Sequence[Ingested], segment: SegmentRow | None, now: int
) -> Publication:
    """Make documents living and their files completed, as far as their claims still hold; the others are passed over.

    What a document replaces dies in the same generation: an older document of the same file, and the file that its
    entry supersedes. If no claim holds, nothing changes and the segment does not become live.
    """
    row = locked(connection, store)
    everyone = tuple(dict.fromkeys(one.file_id for one in ingested))
    if row is None or store_from(row).status_at(now) is StoreStatus.EXPIRED:
        return Publication(0 if row is None else row.generation, (), everyone, segment_live=False)
    if segment is not None and _known(connection, segment.id):
        return _as_it_was(connection, store, ingested, row.generation)
    current = _current(connection, store, ingested)
    if not current:
        return Publication(row.generation, (), everyone, segment_live=False)
    generation = next_generation(connection, store)
    if segment is not None:
        insert_segment(connection, row.project_id, segment, row.edition)
    kill(connection, store, [one.file_id for _, one in current], generation)
    _insert_documents(connection, row, current, segment, generation)
    _complete(connection, store, current, now)
    _supersede(connection, store, [entry for entry, _ in current], generation, now)
    published = tuple(one.file_id for _, one in current)
    done = set(published)
    skipped = tuple(file for file in everyone if file not in done)
    return Publication(generation, published, skipped, segment_live=segment is not None)


def _known(connection: Connection, segment: SegmentId) -> bool:
    return connection.execute(_SEGMENT, {"which": segment}).first() is not None


def _as_it_was(connection: Connection, store: StoreId, ingested: Sequence[Ingested], generation: int) -> Publication:
    """The answer to a publish whose commit succeeded although the caller never heard of it."""
    numbers: set[int] = set()
    for some in slices([one.document for one in ingested]):
        made = select(documents.c.number).where(documents.c.store_id == store, documents.c.number.in_(some))
        numbers.update(connection.execute(made).scalars())
    published = tuple(dict.fromkeys(one.file_id for one in ingested if one.document in numbers))
    skipped = tuple(dict.fromkeys(one.file_id for one in ingested if one.file_id not in published))
    return Publication(generation, published, skipped, segment_live=True)


def _current(connection: Connection, store: StoreId, ingested: Sequence[Ingested]) -> list[tuple[Row[Any], Ingested]]:
    """Entries whose claim still holds, each with what was made of it."""
    by_number = {one.document: one for one in ingested}
    tokens = sorted({one.token for one in ingested})
    found = []
    for entry in connection.execute(_HELD, {"tokens": tokens, "whose": store}).all():
        one = by_number.get(entry.document)
        if one is not None and (one.file_id, one.token) == (entry.file_id, entry.lease_token):
            found.append((entry, one))
    return found


def _insert_documents(
    connection: Connection,
    store: Row[Any],
    current: Sequence[tuple[Row[Any], Ingested]],
    segment: SegmentRow | None,
    generation: int,
) -> None:
    connection.execute(
        _INSERT_DOCUMENTS,
        [
            {
                "store_id": store.id,
                "number": one.document,
                "project_id": entry.project_id,
                "file_id": one.file_id,
                "filename": entry.filename,
                "attributes": entry.attributes,
                "living": True,
                "changed": generation,
                "chunks": one.chunks,
                "usage_bytes": one.usage_bytes,
                "segment_id": None if segment is None else segment.id,
                "edition": store.edition,
                "origin": one.document,
                "chunk_max_tokens": entry.chunk_max_tokens,
                "chunk_overlap_tokens": entry.chunk_overlap_tokens,
            }
            for entry, one in current
        ],
    )


def _complete(connection: Connection, store: StoreId, current: Sequence[tuple[Row[Any], Ingested]], now: int) -> None:
    connection.execute(
        _COMPLETE,
        [
            {
                "now": now,
                "mine": entry.serial,
                "number": one.document,
                "how_many": one.chunks,
                "used": one.usage_bytes,
                "texts": one.texts_embedded,
                "tokens": one.tokens_embedded,
                "calls": one.embedding_calls,
            }
            for entry, one in current
        ],
    )
    grown = sum(one.usage_bytes - entry.usage_bytes for entry, one in current)
    serials = [entry.serial for entry, _ in current]
    move(connection, store, serials, FileStatus.IN_PROGRESS, FileStatus.COMPLETED, grown)


def _supersede(
    connection: Connection, store: StoreId, published: Sequence[Row[Any]], generation: int, now: int
) -> None:
    """Take out the files that the published ones replace."""
    leaving = {entry.supersedes for entry in published if entry.supersedes is not None}
    for some in slices(sorted(leaving - {entry.file_id for entry in published})):
        rows = select(entries).where(entries.c.store_id == store, entries.c.file_id.in_(some))
        found = connection.execute(rows).all()
        if found:
            detach(connection, store, found, now, generation)


def replace_segments(
    connection: Connection,
    store: StoreId,
    removed: Collection[SegmentId],
    added: SegmentRow | None,
    *,
    dropped: Collection[int],
    now: int,
) -> int | None:
    """Put a merged segment in the place of others; the new generation, or None where one of them is no longer live.

    `dropped` are the documents whose rows the merge left out. All of them must be dead: a merge never loses a
    living document, and one that died after the merge read it is carried along, dead.
    """
    row = locked(connection, store)
    if row is None:
        return None
    wanted = sorted(set(removed))
    found: set[int] = set()
    for some in slices(wanted):
        live = select(segments.c.edition).where(
            segments.c.store_id == store, segments.c.id.in_(some), segments.c.removed_at.is_(None)
        )
        of_edition = connection.execute(live).scalars().all()
        if len(of_edition) != len(some):
            return None
        found.update(of_edition)
    if len(found) > 1:
        raise NotAllowedNow(f"a merge of {store} would mix editions")
    left_out = sorted(set(dropped))
    for numbers in slices(left_out):
        here = (documents.c.store_id == store) & documents.c.number.in_(numbers) & documents.c.segment_id.in_(wanted)
        if connection.execute(select(documents.c.number).where(here, documents.c.living).limit(1)).first():
            raise NotAllowedNow(f"a merge of {store} would lose a living document")
        connection.execute(update(documents).where(here).values(segment_id=None))
    carried = documents.c.segment_id.in_(wanted) & (documents.c.store_id == store)
    if added is None:
        if connection.execute(select(documents.c.number).where(carried, documents.c.living).limit(1)).first():
            raise NotAllowedNow(f"a merge of {store} would lose a living document")
    else:
        insert_segment(connection, row.project_id, added, found.pop() if found else row.edition)
    connection.execute(update(documents).where(carried).values(segment_id=None if added is None else added.id))
    for some in slices(wanted):
        connection.execute(update(segments).where(segments.c.id.in_(some)).values(removed_at=now))
        stale = indexes.c.segment_id.in_(some) & indexes.c.removed_at.is_(None)
        connection.execute(update(indexes).where(stale).values(removed_at=now))
    return next_generation(connection, store)
