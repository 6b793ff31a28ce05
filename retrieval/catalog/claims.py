"""Claims: who works on which waiting file of a store, until when, and what became of it.

A claim is a lease with a token and a document number of its own. The number is never used again, so that whatever
a stale attempt has written can never come alive. Files whose claim died (its lease ran out) are claimed a few at
a time, after a second death alone.
Every change holds the store's row: workers of one store take turns for the milliseconds that a claim lasts, and
work on what they claimed side by side.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, case, func, literal_column, select, update

from retrieval.catalog.rows import (
    Claim,
    Failure,
    FileStatus,
    Predecessor,
    Reason,
    StoreStatus,
    Trouble,
    Waiting,
)
from retrieval.catalog.tables import documents, entries, files, stores
from retrieval.catalog.tally import move, slices
from retrieval.catalog.values import chunking_from_columns, legible
from retrieval.catalog.vector_stores import locked, next_documents, store_from
from retrieval.ids import BatchId, FileId, LeaseToken, ProjectId, SegmentId, StoreId

# A literal, not a parameter: only so does every planner see that the index of waiting files serves.
_IN_PROGRESS = entries.c.status == literal_column(f"'{FileStatus.IN_PROGRESS.value}'")
_WANTED: tuple[ColumnElement[Any], ...] = (
    entries.c.serial,
    entries.c.file_id,
    entries.c.attempt,
    entries.c.deaths,
    entries.c.lease_token,
    entries.c.batch_id,
    entries.c.put_off_for,
    entries.c.put_off_message,
    entries.c.put_off_since,
    entries.c.chunk_max_tokens,
    entries.c.chunk_overlap_tokens,
    entries.c.live_document,
    entries.c.supersedes,
    files.c.filename,
    files.c.bytes,
    files.c.blob,
    files.c.media_type,
)
# Held by nobody. A clock that is set back must not keep for an hour what it was to keep for seconds; whoever really
# holds a file renews its lease by the new time.
_DUE = (entries.c.leased_until <= bindparam("now")) | (entries.c.leased_until > bindparam("beyond"))
# Built once: building a statement costs more than executing it.
_WAITING = (
    select(*_WANTED)
    .join_from(entries, files, entries.c.file_id == files.c.id)
    .where(entries.c.store_id == bindparam("whose"), _IN_PROGRESS, _DUE)
    .order_by(entries.c.bulk, entries.c.serial)
    .limit(bindparam("most"))
)
_WAITING_SMALL = _WAITING.where(files.c.bytes <= bindparam("largest"))
_ANY_WAITING = select(entries.c.serial).where(entries.c.store_id == bindparam("whose"), _IN_PROGRESS, _DUE).limit(1)
_LEASE = (
    update(entries)
    .where(entries.c.serial == bindparam("taken"))
    .values(
        document=bindparam("number"),
        lease_token=bindparam("token"),
        leased_until=bindparam("until"),
        attempt=entries.c.attempt + 1,
        deaths=entries.c.deaths + bindparam("died"),
    )
)
_HELD = (
    select(entries.c.file_id, entries.c.serial)
    .where(entries.c.lease_token == bindparam("token"), entries.c.store_id == bindparam("whose"), _IN_PROGRESS)
    .order_by(entries.c.serial)
)
_FREE = {"lease_token": None, "document": None}
SUSPECTS_TOGETHER = 16
LONGEST_HOLD_SECONDS = 900  # no lease and no pause is longer: what lies beyond was written by a clock gone wrong


def _at(now: int) -> dict[str, int]:
    """The moment of `_DUE`."""
    return {"now": now, "beyond": now + LONGEST_HOLD_SECONDS}


def travelling(waiting: Sequence[Row[Any]], most_bytes: int, most_chunks: int | None = None) -> list[Row[Any]]:
    """What one claim takes of the files that wait: the first, and after it as many like it as fit.

    A dead worker casts doubt on all that it held, and all but one of them did nothing: they are tried again a few
    together. Whatever was there at a second death comes alone.
    """
    if not waiting:
        return []
    doubt = _deaths(waiting[0])
    if doubt > 1:
        return [waiting[0]]
    taken: list[Row[Any]] = []
    size = chunks = 0
    for row in waiting:
        if _deaths(row) != doubt:
            continue
        size, chunks = size + row.bytes, chunks + (0 if most_chunks is None else row.chunks)
        full = size > most_bytes or (most_chunks is not None and chunks > most_chunks)
        if taken and (full or (doubt and len(taken) == SUSPECTS_TOGETHER)):
            break
        taken.append(row)
    return taken


def _deaths(row: Row[Any]) -> int:
    """A token on a file that is free means that the lease ran out before the claimant could say anything."""
    return (row.deaths or 0) + int(row.lease_token is not None)


def _reason(row: Row[Any]) -> Reason | None:
    return row.put_off_for and Reason(Trouble(row.put_off_for), row.put_off_message, row.put_off_since)


class Claims:
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
        largest_bytes: int | None = None,
        edition: int | None = None,
    ) -> list[Claim]:
        """Lease waiting files, those attached alone before those attached in bulk, the oldest first. Files above
        `largest_bytes` are left to others. With `edition`, only while that is the one that searches find."""
        held = locked(self._connection, store)
        if held is None or store_from(held).status_at(now) is StoreStatus.EXPIRED or held.held_until > now:
            return []
        if edition not in {None, held.edition}:
            return []
        waiting = _WAITING if largest_bytes is None else _WAITING_SMALL
        asked = {"whose": store, "most": most, "largest": largest_bytes, **_at(now)}
        taken = travelling(self._connection.execute(waiting, asked).all(), most_bytes)
        if not taken:
            return []
        numbers = next_documents(self._connection, held, len(taken))
        died = [int(row.lease_token is not None) for row in taken]
        lease = {"token": token, "until": now + lease_seconds}
        self._connection.execute(
            _LEASE,
            [
                {**lease, "taken": row.serial, "number": number, "died": dead}
                for row, number, dead in zip(taken, numbers, died, strict=True)
            ],
        )
        project = ProjectId(held.project_id)
        return [
            Claim(
                store_id=store,
                project_id=project,
                file_id=FileId(row.file_id),
                filename=row.filename,
                media_type=row.media_type,
                bytes=row.bytes,
                blob=row.blob,
                chunking=chunking_from_columns(row.chunk_max_tokens, row.chunk_overlap_tokens),
                document=number,
                token=token,
                attempt=row.attempt + 1,
                deaths=row.deaths + dead,
                leased_until=now + lease_seconds,
                edition=held.edition,
                model=held.model,
                batch_id=None if row.batch_id is None else BatchId(row.batch_id),
                put_off=_reason(row),
                replaces=row.live_document is not None or row.supersedes is not None,
            )
            for row, number, dead in zip(taken, numbers, died, strict=True)
        ]

    def _mine(self, store: StoreId, token: LeaseToken, wanted: Collection[FileId] | None) -> dict[FileId, int]:
        """Serials of the entries that this token still holds; the store's row is held from here on."""
        if locked(self._connection, store) is None:
            return {}
        held = self._connection.execute(_HELD, {"token": token, "whose": store})
        found = {FileId(row.file_id): row.serial for row in held}
        return found if wanted is None else {file: found[file] for file in wanted if file in found}

    def renew(self, store: StoreId, token: LeaseToken, *, now: int, lease_seconds: int) -> frozenset[FileId]:
        """Hold on to what is being worked on; the files that are still the token's. The others may be dropped: they
        were cancelled, deleted or taken over."""
        mine = self._mine(store, token, None)
        for some in slices(list(mine.values())):
            self._connection.execute(
                update(entries).where(entries.c.serial.in_(some)).values(leased_until=now + lease_seconds)
            )
        return frozenset(mine)

    def release(self, store: StoreId, token: LeaseToken, wanted: Collection[FileId] | None = None) -> int:
        """Give files back untouched, as if they had not been claimed; None: all that the token holds."""
        attempts = case((entries.c.attempt > 0, entries.c.attempt - 1), else_=0)
        return self._free(self._mine(store, token, wanted), {"leased_until": 0, "attempt": attempts})

    def retry_later(
        self,
        store: StoreId,
        token: LeaseToken,
        wanted: Collection[FileId],
        *,
        until: int,
        reason: Reason | None = None,
    ) -> int:
        """Give files back that are not to blame, to be claimed no sooner than `until`. Their attempts count. A reason
        that they had before keeps its beginning."""
        values: dict[str, Any] = {"leased_until": until}
        if reason is not None:
            same = entries.c.put_off_for == reason.trouble.value
            values |= {
                "put_off_for": reason.trouble.value,
                "put_off_message": legible(reason.message),
                "put_off_since": case((same, entries.c.put_off_since), else_=reason.since),
            }
        return self._free(self._mine(store, token, wanted), values)

    def _free(self, mine: dict[FileId, int], values: dict[str, Any]) -> int:
        for some in slices(list(mine.values())):
            self._connection.execute(update(entries).where(entries.c.serial.in_(some)).values({**_FREE, **values}))
        return len(mine)

    def fail(self, store: StoreId, token: LeaseToken, failures: Sequence[Failure], *, now: int) -> tuple[FileId, ...]:
        """Settle what cannot be ingested; the files settled. Whatever the token no longer holds is passed over."""
        verdicts = {failure.file_id: failure for failure in failures}
        mine = self._mine(store, token, verdicts)
        if not mine:
            return ()
        failed = (
            update(entries)
            .where(entries.c.serial == bindparam("mine"))
            .values(
                {
                    **_FREE,
                    "status": FileStatus.FAILED.value,
                    "leased_until": 0,
                    "settled_at": now,
                    "error_code": bindparam("code"),
                    "error_message": bindparam("message"),
                }
            )
        )
        self._connection.execute(
            failed,
            [
                {"mine": serial, "code": verdicts[file].code.value, "message": legible(verdicts[file].message)}
                for file, serial in mine.items()
            ],
        )
        move(self._connection, store, list(mine.values()), FileStatus.IN_PROGRESS, FileStatus.FAILED)
        return tuple(mine)

    def predecessors(self, store: StoreId, wanted: Collection[FileId]) -> tuple[Predecessor, ...]:
        """For each of these files that is to replace something, the living document that it replaces."""
        old = entries.alias("old")
        here = and_(old.c.store_id == entries.c.store_id, old.c.file_id == entries.c.supersedes)
        number = func.coalesce(entries.c.live_document, old.c.live_document)
        found: list[Predecessor] = []
        for some in slices(list(wanted)):
            replacing = (
                select(entries.c.file_id, documents.c.number, documents.c.segment_id)
                .join_from(entries, old, here, isouter=True)
                .join(documents, and_(documents.c.store_id == entries.c.store_id, documents.c.number == number))
                .where(entries.c.store_id == store, entries.c.file_id.in_(some), documents.c.segment_id.is_not(None))
            )
            found += [
                Predecessor(FileId(row.file_id), row.number, SegmentId(row.segment_id))
                for row in self._connection.execute(replacing)
            ]
        return tuple(found)

    def any_waiting(self, store: StoreId, *, now: int) -> bool:
        """Whether a claim would find anything, of whatever size."""
        return self._connection.execute(_ANY_WAITING, {"whose": store, **_at(now)}).first() is not None

    def waiting(self, *, now: int, untouched_seconds: int = 0, most: int = 1000) -> tuple[Waiting, ...]:
        """Stores for which somebody should ring: a file whose lease or pause is over, or that nobody has claimed
        for `untouched_seconds` after it was attached. Those who wait longest come first."""
        untouched = (entries.c.created_at <= now - untouched_seconds) | (entries.c.created_at > now)
        due = _DUE & ((entries.c.leased_until > 0) | untouched)
        wanted = (
            select(entries.c.store_id, stores.c.project_id, func.count())
            .join_from(entries, stores, entries.c.store_id == stores.c.id)
            .where(_IN_PROGRESS, due, stores.c.deleted_at.is_(None), stores.c.expired_at.is_(None))
            .group_by(entries.c.store_id, stores.c.project_id)
            .order_by(func.min(entries.c.serial))
            .limit(most)
        )
        return tuple(
            Waiting(StoreId(store), ProjectId(project), files)
            for store, project, files in self._connection.execute(wanted, _at(now))
        )
