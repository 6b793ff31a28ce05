"""Steps of a refresh run: each one transaction that moves items, entries and the report together.

A run that is killed between two steps leaves a catalog in which some items are done and counted and the others are
as they were; whoever takes it over compares again and goes on. Every step holds the source's row and refuses a token
that is no longer the current one. Locks: files, then the store, then the source.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, case, delete, func, select, update

from retrieval.catalog.conflicts import insert_or_replace
from retrieval.catalog.files import Files
from retrieval.catalog.rows import Attachment, FailureCode, FileStatus
from retrieval.catalog.source_rows import (
    Change,
    Found,
    ItemRow,
    Outcome,
    RunStatus,
    SourceClaim,
    SourceRow,
    Stamp,
)
from retrieval.catalog.source_tables import source_changes, source_items, source_leftovers, source_runs, sources
from retrieval.catalog.tables import entries, files
from retrieval.catalog.tally import slices
from retrieval.catalog.values import legible
from retrieval.catalog.vector_store_files import VectorStoreFiles, detach
from retrieval.catalog.vector_stores import lock_active
from retrieval.errors import LeaseLost
from retrieval.ids import FileId, RunId, SourceId

LISTED: int = 1000  # changes of one outcome that a report names; all are counted


_OUTCOMES = {outcome.value: outcome for outcome in Outcome}
_STATUSES: dict[str | None, FileStatus | None] = {None: None} | {status.value: status for status in FileStatus}
_SEEN = (
    source_items.c.item_key,
    source_items.c.bytes,
    source_items.c.modified_ns,
    source_items.c.etag,
    source_items.c.sha256,
    source_items.c.recipe,
    source_items.c.file_id,
    source_items.c.replaces,
    source_items.c.run_id,
    source_items.c.outcome,
    entries.c.status,
    entries.c.error_code,
    entries.c.error_message,
)


def _item(row: Sequence[Any]) -> ItemRow:
    """By position: a run that has nothing to do spends most of its time here."""
    key, size, modified_ns, etag, sha256, recipe, file, replaces, run, outcome, status, code, message = row
    return ItemRow(
        key=key,
        stamp=Stamp(size, modified_ns, etag),
        sha256=sha256,
        recipe=recipe,
        file_id=file,
        replaces=replaces,
        run_id=run,
        outcome=_OUTCOMES[outcome],
        status=_STATUSES[status],
        error_code=None if code is None else FailureCode(code),
        error_message=message,
    )


class SourceSteps:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def items(self, source: SourceRow) -> list[ItemRow]:
        """Everything as last seen, and where its file stands in the store now."""
        there = and_(entries.c.store_id == source.store_id, entries.c.file_id == source_items.c.file_id)
        wanted = select(*_SEEN).join_from(source_items, entries, there, isouter=True)
        found = self._connection.execute(wanted.where(source_items.c.source_id == source.id)).all()
        return [_item(row) for row in found]

    def take_in(self, claim: SourceClaim, found: Sequence[Found], now: int) -> tuple[str, ...]:
        """Attach what is new, let what has changed replace what was, remember all as seen. Answers the names of
        stored objects that are not needed, because the project has the same bytes already."""
        new = [one.file for one in found if one.file is not None]
        add, project = Files(self._connection).add, claim.source.project_id
        spare = [file.blob for file in new if add(project, file, now).blob != file.blob]
        before = self._held_items(claim.source.id, [one.key for one in found])
        moved = [one for one in found if one.outcome is not None]
        ids = {one.key: one.file.id if one.file else FileId(before[one.key].file_id) for one in found}
        wishes: list[Attachment] = []
        leaving: list[Row[Any]] = []
        chained: dict[str, str | None] = {}
        if moved:
            self._hold_known_files([ids[one.key] for one in moved if one.file is None])
            lock_active(self._connection, claim.source.project_id, claim.source.store_id, now)
        standing = self._entries(claim, [row.file_id for row in before.values()] if moved else [])
        for one in moved:
            old = before.get(one.key)
            replaced, gone = self._succession(old, standing, ids[one.key])
            chained[one.key] = replaced
            leaving += gone
            supersedes = None if replaced is None else FileId(replaced)
            wishes.append(Attachment(ids[one.key], one.attributes, claim.source.wish.chunking, supersedes))
        if wishes:
            attach = VectorStoreFiles(self._connection).attach_all
            attach(claim.source.project_id, claim.source.store_id, wishes, now)
            detach(self._connection, claim.source.store_id, leaving, now)
        self._hold(claim)
        self._remember(claim, found, before, ids, chained)
        return tuple(spare)

    def _hold_known_files(self, known: Sequence[FileId]) -> None:
        """As whoever deletes a file does: its row before the store's."""
        for some in slices(sorted(known)):
            rows = select(files.c.id).where(files.c.id.in_(some)).order_by(files.c.serial)
            self._connection.execute(rows.with_for_update(read=True, key_share=True))

    def _held_items(self, source: SourceId, keys: Sequence[str]) -> dict[str, Row[Any]]:
        found: dict[str, Row[Any]] = {}
        for some in slices(keys):
            here = (source_items.c.source_id == source) & source_items.c.item_key.in_(some)
            found.update((row.item_key, row) for row in self._connection.execute(select(source_items).where(here)))
        return found

    def _entries(self, claim: SourceClaim, wanted: Collection[str]) -> dict[str, Row[Any]]:
        found: dict[str, Row[Any]] = {}
        for some in slices(sorted(set(wanted))):
            here = (entries.c.store_id == claim.source.store_id) & entries.c.file_id.in_(some)
            found.update((row.file_id, row) for row in self._connection.execute(select(entries).where(here)))
        return found

    @staticmethod
    def _succession(
        old: Row[Any] | None, standing: dict[str, Row[Any]], new: FileId
    ) -> tuple[str | None, list[Row[Any]]]:
        """What the new file takes the place of once it is found, and which entries leave at once: a version that was
        never found gives way to the one before it."""
        if old is None or old.file_id == new:
            return (None if old is None else old.replaces), []
        entry = standing.get(old.file_id)
        if entry is None:
            return old.replaces, []
        if entry.live_document is not None:
            return old.file_id, []
        return old.replaces, [entry]

    def _remember(
        self,
        claim: SourceClaim,
        found: Sequence[Found],
        before: dict[str, Row[Any]],
        ids: dict[str, FileId],
        chained: dict[str, str | None],
    ) -> None:
        source, run = claim.source, claim.run.id
        rows, gone = [], set[str]()
        counted = dict.fromkeys(Outcome, 0)
        for one in found:
            old = before.get(one.key)
            mine = old is not None and old.run_id == run  # changed once more since this run changed it: counted once
            outcome = Outcome(old.outcome) if old is not None and (mine or one.outcome is None) else one.outcome
            assert outcome is not None
            if one.outcome is not None and not mine:
                counted[outcome] += 1
            if old is not None and old.file_id != ids[one.key]:
                gone.add(old.file_id)
            rows.append(
                {
                    "source_id": source.id,
                    "item_key": one.key,
                    "project_id": source.project_id,
                    "bytes": one.stamp.bytes,
                    "modified_ns": one.stamp.modified_ns,
                    "etag": one.stamp.etag,
                    "sha256": one.sha256,
                    "recipe": one.recipe,
                    "file_id": ids[one.key],
                    "replaces": chained.get(one.key, old.replaces if old else None),
                    "run_id": run if one.outcome is not None or old is None else old.run_id,
                    "outcome": outcome.value,
                }
            )
        insert_or_replace(self._connection, source_items, rows)
        self._leave_over(source, gone)
        self._write_down(claim, [Change(one.key, one.outcome) for one in found if one.outcome is not None])
        self._count(
            claim,
            added=counted[Outcome.ADDED],
            changed=counted[Outcome.CHANGED],
            bytes_read=sum(one.bytes for one in found),
        )

    def drop(self, claim: SourceClaim, keys: Sequence[str], now: int) -> None:
        """Take items out that the source no longer has: no search finds them from the commit on."""
        source, run = claim.source, claim.run.id
        lock_active(self._connection, source.project_id, source.store_id, now)
        items = self._held_items(source.id, keys)
        theirs = {row.file_id for row in items.values()} | {row.replaces for row in items.values() if row.replaces}
        detach(self._connection, source.store_id, list(self._entries(claim, theirs).values()), now)
        self._hold(claim)
        for some in slices(list(items)):
            here = (source_items.c.source_id == source.id) & source_items.c.item_key.in_(some)
            self._connection.execute(delete(source_items).where(here))
        self._leave_over(source, theirs)
        own = [Outcome(row.outcome) for row in items.values() if row.run_id == run]  # added and gone within one run
        self._write_down(claim, [Change(key, Outcome.REMOVED) for key in items])
        added, changed = own.count(Outcome.ADDED), own.count(Outcome.CHANGED)
        self._count(claim, removed=len(items) - added, added=-added, changed=-changed)

    def finish_listing(self, claim: SourceClaim, *, listed: int, unchanged: int, failures: Sequence[Change]) -> None:
        """Everything is attached: what is left is the workers', and the report."""
        self._hold(claim)
        old = (source_changes.c.run_id == claim.run.id) & (source_changes.c.outcome == Outcome.FAILED.value)
        self._connection.execute(delete(source_changes).where(old))  # an attempt before this one may have had others
        self._write_down(claim, failures)
        values = {"listed": listed, "unchanged": unchanged, "failed": len(failures)}
        mine = update(source_runs).where(source_runs.c.id == claim.run.id)
        self._connection.execute(mine.values(status=RunStatus.INDEXING.value, **values))

    def foresee(
        self,
        claim: SourceClaim,
        changes: Sequence[Change],
        failures: Sequence[Change],
        *,
        listed: int,
        unchanged: int,
        bytes_read: int,
        now: int,
    ) -> None:
        """End a dry run with what it found."""
        self._hold(claim)
        self._connection.execute(delete(source_changes).where(source_changes.c.run_id == claim.run.id))
        self._write_down(claim, [*changes, *failures])
        found = [change.outcome for change in changes]
        counts = {outcome.value: found.count(outcome) for outcome in Outcome}
        counts |= {"listed": listed, "unchanged": unchanged, "failed": len(failures), "bytes_read": bytes_read}
        self._end(claim.source.id, claim.run.id, now, {"status": RunStatus.COMPLETED.value, **counts})

    def end(self, claim: SourceClaim, status: RunStatus, message: str | None, now: int) -> None:
        self._hold(claim)
        self._end(claim.source.id, claim.run.id, now, {"status": status.value, "message": message})

    def conclude(self, claim: SourceClaim, now: int, *, dollars_per_token: float) -> bool:
        """Complete the report once workers are done with what the run attached, and the files that this replaced are
        gone; False while they are not."""
        self._hold(claim)
        source, run = claim.source, claim.run.id
        here = and_(entries.c.store_id == source.store_id, entries.c.file_id == source_items.c.file_id)
        mine = source_items.c.source_id == source.id
        ours = source_items.c.run_id == run
        joined = select(
            func.count(case((ours & (entries.c.status == FileStatus.IN_PROGRESS.value), 1))).label("waiting"),
            func.coalesce(func.sum(case((ours, entries.c.chunks), else_=0)), 0).label("chunks"),
            func.coalesce(func.sum(case((ours, entries.c.texts_embedded), else_=0)), 0).label("texts"),
            func.coalesce(func.sum(case((ours, entries.c.tokens_embedded), else_=0)), 0).label("tokens"),
            func.coalesce(func.sum(case((ours, entries.c.embedding_calls), else_=0)), 0).label("calls"),
        ).join_from(source_items, entries, here)
        sums = self._connection.execute(joined.where(mine)).one()
        if sums.waiting or self.leftovers(source.id, 1):
            return False
        columns = (source_items.c.item_key, source_items.c.run_id, source_items.c.outcome, entries.c.error_message)
        failed = select(*columns).join_from(source_items, entries, here)
        told = select(source_changes.c.item_key).where(
            source_changes.c.run_id == run, source_changes.c.outcome == Outcome.FAILED.value
        )
        unread = set(self._connection.execute(told).scalars())  # counted already: they could not be read this time
        ended = self._connection.execute(failed.where(mine, entries.c.status == FileStatus.FAILED.value))
        lost = [row for row in ended if row.item_key not in unread]
        by_outcome = [Outcome(row.outcome) if row.run_id == run else None for row in lost]
        self._write_down(claim, [Change(row.item_key, Outcome.FAILED, row.error_message) for row in lost])
        self._count(
            claim,
            failed=len(lost),
            added=-by_outcome.count(Outcome.ADDED),
            changed=-by_outcome.count(Outcome.CHANGED),
            unchanged=-by_outcome.count(None),
            chunks=int(sums.chunks),
            texts_embedded=int(sums.texts),
            tokens_embedded=int(sums.tokens),
            embedding_calls=int(sums.calls),
        )
        dollars = int(sums.tokens) * dollars_per_token
        self._end(source.id, run, now, {"status": RunStatus.COMPLETED.value, "dollars": dollars})
        return True

    def leftovers(self, source: SourceId, most: int) -> list[FileId]:
        """Files that nothing of the source needs and that are no longer in its store."""
        held = and_(entries.c.file_id == source_leftovers.c.file_id, entries.c.store_id == sources.c.store_id)
        wanted = (
            select(source_leftovers.c.file_id)
            .join_from(source_leftovers, sources, source_leftovers.c.source_id == sources.c.id)
            .join(entries, held, isouter=True)
            .where(source_leftovers.c.source_id == source, entries.c.serial.is_(None))
            .order_by(source_leftovers.c.file_id)
            .limit(most)
        )
        return [FileId(file) for file in self._connection.execute(wanted).scalars()]

    def clear_leftovers(self, source: SourceRow, gone: Sequence[FileId], now: int) -> int:
        """Delete such files, unless another store holds them; how many were deleted."""
        deleted = 0
        for some in slices(gone):
            deleted += Files(self._connection).delete_unused(source.project_id, some, now)
            mine = (source_leftovers.c.source_id == source.id) & source_leftovers.c.file_id.in_(some)
            self._connection.execute(delete(source_leftovers).where(mine))
        return deleted

    def _hold(self, claim: SourceClaim) -> None:
        mine = select(sources.c.lease_token).where(sources.c.id == claim.source.id).with_for_update()
        if self._connection.execute(mine).scalar() != claim.token:
            raise LeaseLost(f"run {claim.run.id} of source {claim.source.id} was taken over or deleted")

    def _end(self, source: SourceId, run: RunId, now: int, values: dict[str, Any]) -> None:
        self._connection.execute(update(source_runs).where(source_runs.c.id == run).values(ended_at=now, **values))
        free = {"run_id": None, "lease_token": None, "leased_until": 0}
        self._connection.execute(update(sources).where(sources.c.id == source).values(**free))

    def _leave_over(self, source: SourceRow, gone: Collection[str]) -> None:
        mine = {"source_id": source.id, "project_id": source.project_id}
        insert_or_replace(self._connection, source_leftovers, [{**mine, "file_id": file} for file in sorted(gone)])

    def _write_down(self, claim: SourceClaim, changes: Sequence[Change]) -> None:
        """As many of each outcome as a report lists."""
        there = select(source_changes.c.outcome, func.count()).where(source_changes.c.run_id == claim.run.id)
        found = self._connection.execute(there.group_by(source_changes.c.outcome)).all()
        room = dict.fromkeys(Outcome, LISTED) | {Outcome(name): LISTED - count for name, count in found}
        rows = []
        for change in changes:
            if room[change.outcome] > 0:
                room[change.outcome] -= 1
                rows.append(
                    {
                        "run_id": claim.run.id,
                        "item_key": change.key,
                        "project_id": claim.source.project_id,
                        "outcome": change.outcome.value,
                        "reason": None if change.reason is None else legible(change.reason),
                    }
                )
        insert_or_replace(self._connection, source_changes, rows)

    def _count(self, claim: SourceClaim, **more: int) -> None:
        values = {name: source_runs.c[name] + number for name, number in more.items() if number}
        if values:
            self._connection.execute(update(source_runs).where(source_runs.c.id == claim.run.id).values(values))
