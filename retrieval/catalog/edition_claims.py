"""Claims on the second edition of a store: which documents of the first are made anew by whom, and their publishing.

The same words as `claims`, so that the same workers can do it: a claim is a lease with a token and a new document
number; who lost it publishes nothing. What has no row in `reindex_files` is free, so nothing is written down before
somebody takes it, and files that come, go or change meanwhile need no care.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, case, delete, func, insert, or_, select, update

from retrieval.catalog.claims import travelling
from retrieval.catalog.editions import active_reindex, has_counterpart, serving, work_of_document
from retrieval.catalog.manifest import insert_segment
from retrieval.catalog.reindex_rows import BUILDING, ReindexState
from retrieval.catalog.reindex_tables import reindex_files, reindexes
from retrieval.catalog.rows import (
    Claim,
    Failure,
    Ingested,
    Publication,
    Reason,
    SegmentRow,
    StaticChunking,
    StoreStatus,
)
from retrieval.catalog.tables import documents, files, segments, stores
from retrieval.catalog.tally import slices
from retrieval.catalog.values import chunking_from_columns, legible
from retrieval.catalog.vector_stores import locked, next_documents, store_from
from retrieval.ids import FileId, LeaseToken, ProjectId, SegmentId, StoreId

_STATES = frozenset(state.value for state in BUILDING)
_PUBLISHABLE = _STATES | {ReindexState.PAUSED.value, ReindexState.BLOCKED.value}
_FREE = {"lease_token": None, "number": None}


def _chunking(row: Row[Any]) -> StaticChunking | None:
    return chunking_from_columns(row.chunk_max_tokens, row.chunk_overlap_tokens)


class EditionClaims:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def claim(
        self,
        store: StoreId,
        *,
        most: int,
        most_bytes: int,
        token: LeaseToken,
        now: int,
        lease_seconds: int,
        edition: int | None = None,
        most_chunks: int | None = None,
    ) -> list[Claim]:
        held = locked(self._connection, store)
        if held is None or store_from(held).status_at(now) is StoreStatus.EXPIRED:
            return []
        job = active_reindex(self._connection, store)
        if job is None or job.state not in _STATES or job.paced_until > now or edition not in {None, job.edition}:
            return []
        if job.chunks_per_second is not None:
            most_chunks = max(1, int(min(most_chunks or 1 << 60, job.chunks_per_second * lease_seconds)))
        waiting = self._waiting(held, job, most, now)
        taken = travelling(waiting, most_bytes, most_chunks)
        if not taken:
            return []
        numbers = next_documents(self._connection, held, len(taken))
        self._lease(store, taken, numbers, token, now + lease_seconds)
        self._move_on(job, taken, now)
        rechunk = job.rechunk and job.state != ReindexState.ROLLING_BACK.value
        return [
            Claim(
                store_id=store,
                project_id=ProjectId(held.project_id),
                file_id=FileId(row.file_id),
                filename=row.filename,
                media_type=row.media_type,
                bytes=row.bytes,
                blob=row.blob,
                chunking=_chunking(job if rechunk else row),
                document=number,
                token=token,
                attempt=(row.attempt or 0) + 1,
                deaths=(row.deaths or 0) + int(row.lease_token is not None),
                leased_until=now + lease_seconds,
                edition=job.edition,
                model=job.edition_model,
                copy_of=None if rechunk else row.document,
                segment_id=None if row.segment_id is None else SegmentId(row.segment_id),
            )
            for row, number in zip(taken, numbers, strict=True)
        ]

    def _waiting(self, held: Row[Any], job: Row[Any], most: int, now: int) -> list[Row[Any]]:
        """In the order of numbers, from where the last claim stopped; from the start again once the end is reached."""
        free = or_(
            reindex_files.c.document.is_(None),
            and_(reindex_files.c.error_code.is_(None), reindex_files.c.leased_until <= now),
        )
        wanted = (
            select(
                documents.c.number.label("document"),
                documents.c.file_id,
                documents.c.segment_id,
                documents.c.chunks,
                documents.c.chunk_max_tokens,
                documents.c.chunk_overlap_tokens,
                files.c.filename,
                files.c.bytes,
                files.c.blob,
                files.c.media_type,
                reindex_files.c.attempt,
                reindex_files.c.deaths,
                reindex_files.c.lease_token,
            )
            .join_from(documents, files, documents.c.file_id == files.c.id)
            .outerjoin(reindex_files, work_of_document())
            .where(serving(held.id, held.edition), ~has_counterpart(held.id, job.edition), free)
            .where(documents.c.number > bindparam("behind"))
            .order_by(documents.c.number)
            .limit(most)
        )
        found: list[Row[Any]] = []
        found += self._connection.execute(wanted, {"behind": job.cursor})
        if not found and job.cursor:
            found += self._connection.execute(wanted, {"behind": 0})
        return found

    def _lease(
        self, store: StoreId, taken: Sequence[Row[Any]], numbers: Sequence[int], token: LeaseToken, until: int
    ) -> None:
        for some in slices([row.document for row in taken]):
            here = (reindex_files.c.store_id == store) & reindex_files.c.document.in_(some)
            self._connection.execute(delete(reindex_files).where(here))
        self._connection.execute(
            insert(reindex_files),
            [
                {
                    "store_id": store,
                    "document": row.document,
                    "file_id": row.file_id,
                    "lease_token": token,
                    "leased_until": until,
                    "number": number,
                    "attempt": (row.attempt or 0) + 1,
                    "deaths": (row.deaths or 0) + int(row.lease_token is not None),
                }
                for row, number in zip(taken, numbers, strict=True)
            ],
        )

    def _move_on(self, job: Row[Any], taken: Sequence[Row[Any]], now: int) -> None:
        values: dict[str, Any] = {"cursor": taken[-1].document}
        if job.chunks_per_second is not None:
            chunks = sum(row.chunks for row in taken)
            values["paced_until"] = max(float(now), job.paced_until) + chunks / job.chunks_per_second
        self._connection.execute(update(reindexes).where(reindexes.c.id == job.id).values(values))

    def _mine(self, store: StoreId, token: LeaseToken, wanted: Collection[FileId] | None) -> dict[FileId, int]:
        """Documents that this token still makes anew and that still live; the store's row is held from here on."""
        if locked(self._connection, store) is None:
            return {}
        held = (
            select(reindex_files.c.file_id, reindex_files.c.document)
            .join_from(reindex_files, documents, work_of_document())
            .where(reindex_files.c.lease_token == token, reindex_files.c.store_id == store, documents.c.living)
        )
        found = {FileId(row.file_id): row.document for row in self._connection.execute(held)}
        return found if wanted is None else {file: found[file] for file in wanted if file in found}

    def _set(self, store: StoreId, mine: Collection[int], values: dict[str, Any]) -> int:
        for some in slices(list(mine)):
            here = (reindex_files.c.store_id == store) & reindex_files.c.document.in_(some)
            self._connection.execute(update(reindex_files).where(here).values(values))
        return len(mine)

    def renew(self, store: StoreId, token: LeaseToken, *, now: int, lease_seconds: int) -> frozenset[FileId]:
        mine = self._mine(store, token, None)
        self._set(store, mine.values(), {"leased_until": now + lease_seconds})
        return frozenset(mine)

    def release(self, store: StoreId, token: LeaseToken, wanted: Collection[FileId] | None = None) -> int:
        attempts = case((reindex_files.c.attempt > 0, reindex_files.c.attempt - 1), else_=0)
        mine = self._mine(store, token, wanted)
        return self._set(store, mine.values(), {**_FREE, "leased_until": 0, "attempt": attempts})

    def retry_later(
        self,
        store: StoreId,
        token: LeaseToken,
        wanted: Collection[FileId],
        *,
        until: int,
        reason: Reason | None = None,  # noqa: ARG002 - the words of `Claims`
    ) -> int:
        return self._set(store, self._mine(store, token, wanted).values(), {**_FREE, "leased_until": until})

    def fail(self, store: StoreId, token: LeaseToken, failures: Sequence[Failure], *, now: int) -> tuple[FileId, ...]:  # noqa: ARG002 - the words of `Claims`
        """The first edition keeps these documents; whether the second may serve without them is asked at the swap."""
        verdicts = {failure.file_id: failure for failure in failures}
        mine = self._mine(store, token, verdicts)
        for file, document in mine.items():
            said = {"error_code": verdicts[file].code.value, "error_message": legible(verdicts[file].message)}
            self._set(store, [document], {**_FREE, **said, "leased_until": 0})
        return tuple(mine)

    def any_waiting(self, store: StoreId, *, now: int) -> bool:
        """Whether a claim would find anything."""
        held = self._connection.execute(select(stores).where(stores.c.id == store)).first()
        job = None if held is None else active_reindex(self._connection, store)
        if held is None or job is None or job.state not in _STATES:
            return False
        return len(self._waiting(held, job, 1, now)) > 0


def publish_edition(
    connection: Connection, store: StoreId, ingested: Sequence[Ingested], segment: SegmentRow | None
) -> Publication:
    """Add documents to the second edition, as far as their claims hold and what they say again still lives.

    No search finds them before the swap, so the generation stays. Publishing the same again answers what is true.
    """
    held = locked(connection, store)
    everyone = tuple(dict.fromkeys(one.file_id for one in ingested))
    job = None if held is None else active_reindex(connection, store)
    if held is None or job is None or job.state not in _PUBLISHABLE:
        return Publication(0 if held is None else held.generation, (), everyone, segment_live=False)
    if segment is not None and connection.execute(select(segments.c.id).where(segments.c.id == segment.id)).first():
        return Publication(held.generation, everyone, (), segment_live=True)
    current = _current(connection, held, job, ingested)
    if not current:
        return Publication(held.generation, (), everyone, segment_live=False)
    if segment is not None:
        insert_segment(connection, held.project_id, segment, job.edition)
    rechunk = job.rechunk and job.state != ReindexState.ROLLING_BACK.value
    connection.execute(
        insert(documents),
        [
            {
                "store_id": store,
                "number": one.document,
                "project_id": row.project_id,
                "file_id": one.file_id,
                "filename": row.filename,
                "attributes": row.attributes,
                "living": True,
                "changed": held.generation,
                "chunks": one.chunks,
                "usage_bytes": one.usage_bytes,
                "segment_id": None if segment is None else segment.id,
                "edition": job.edition,
                "origin": row.origin,
                "chunk_max_tokens": job.chunk_max_tokens if rechunk else row.chunk_max_tokens,
                "chunk_overlap_tokens": job.chunk_overlap_tokens if rechunk else row.chunk_overlap_tokens,
            }
            for row, one in current
        ],
    )
    for some in slices([row.number for row, _ in current]):
        here = (reindex_files.c.store_id == store) & reindex_files.c.document.in_(some)
        connection.execute(delete(reindex_files).where(here))
    tokens = sum(one.tokens_embedded for _, one in current)
    connection.execute(update(reindexes).where(reindexes.c.id == job.id).values(tokens=reindexes.c.tokens + tokens))
    published = tuple(one.file_id for _, one in current)
    done = set(published)
    return Publication(
        held.generation,
        published,
        tuple(file for file in everyone if file not in done),
        segment_live=segment is not None,
    )


def _current(
    connection: Connection, held: Row[Any], job: Row[Any], ingested: Sequence[Ingested]
) -> list[tuple[Row[Any], Ingested]]:
    """Documents of the first edition that are still to be said again, each with what was made of it."""
    by_number = {one.document: one for one in ingested}
    tokens = sorted({one.token for one in ingested})
    wanted = (
        select(documents, reindex_files.c.number.label("new_number"), reindex_files.c.lease_token)
        .join_from(documents, reindex_files, work_of_document())
        .where(serving(held.id, held.edition), ~has_counterpart(held.id, job.edition))
        .where(reindex_files.c.lease_token.in_(tokens))
        .order_by(documents.c.number)
    )
    found = []
    for row in connection.execute(wanted):
        one = by_number.get(row.new_number)
        if one is not None and (one.file_id, one.token) == (row.file_id, row.lease_token):
            found.append((row, one))
    return found


def stores_with_work(connection: Connection, now: int, most: int) -> tuple[StoreId, ...]:
    """Stores whose second edition is being built; whether there is anything to claim just now, a claim finds out."""
    due = (
        select(reindexes.c.store_id)
        .join_from(reindexes, stores, reindexes.c.store_id == stores.c.id)
        .where(reindexes.c.active, reindexes.c.state.in_(_STATES), reindexes.c.paced_until <= now)
        .where(stores.c.deleted_at.is_(None), stores.c.expired_at.is_(None))
        .order_by(reindexes.c.serial)
        .limit(most)
    )
    return tuple(StoreId(store) for store in connection.execute(due).scalars())


def count_leased(connection: Connection, store: StoreId, now: int) -> int:
    """Documents that somebody is at work on."""
    held = (reindex_files.c.store_id == store) & reindex_files.c.lease_token.is_not(None)
    return int(
        connection.execute(
            select(func.count()).select_from(reindex_files).where(held, reindex_files.c.leased_until > now)
        ).scalar_one()
    )
