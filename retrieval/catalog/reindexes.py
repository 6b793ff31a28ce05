"""Re-indexing of a store: started, paused, swapped, rolled back, ended. One at a time for each store.

What is built is in `editions` and `edition_claims`; here stand its states and what callers may ask for.
"""

from collections.abc import Callable
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, exists, func, insert, select, update

from retrieval.catalog import editions
from retrieval.catalog.edition_claims import count_leased, stores_with_work
from retrieval.catalog.reindex_rows import (
    BUILDING,
    ReindexFailure,
    ReindexProgress,
    ReindexRow,
    ReindexState,
    ReindexWish,
    SwapOutcome,
)
from retrieval.catalog.reindex_tables import reindex_files, reindexes
from retrieval.catalog.rows import FailureCode, LastError
from retrieval.catalog.tables import documents, stores
from retrieval.catalog.values import chunking_columns, chunking_from_columns
from retrieval.catalog.vector_stores import lock_active, locked, no_such_store
from retrieval.errors import InvalidInput, NotAllowedNow, NotFound
from retrieval.ids import FileId, ProjectId, ReindexId, StoreId, well_formed

HELD_SECONDS: Final = 10  # for so long new files wait, so that an edition that is all but complete can be swapped
HELD_AGAIN_SECONDS: Final = 60  # and not again before
ALL_BUT_COMPLETE: Final = 5_000  # documents that are lacking


def _row(row: Row[Any], progress: ReindexProgress) -> ReindexRow:
    return ReindexRow(
        id=ReindexId(row.id),
        store_id=StoreId(row.store_id),
        project_id=ProjectId(row.project_id),
        created_at=row.created_at,
        state=ReindexState(row.state),
        reason=row.reason,
        model=row.model,
        replaces_model=row.replaces_model,
        rechunk=row.rechunk,
        chunking=chunking_from_columns(row.chunk_max_tokens, row.chunk_overlap_tokens),
        chunks_per_second=row.chunks_per_second,
        keep_seconds=row.keep_seconds,
        allow_failed=row.allow_failed,
        edition=row.edition,
        edition_model=row.edition_model,
        edition_width=row.edition_width,
        resumed_at=row.resumed_at,
        resumed_done=row.resumed_done,
        swapped_at=row.swapped_at,
        kept_until=row.kept_until,
        finished_at=row.finished_at,
        tokens=row.tokens,
        dollars_per_million_tokens=row.dollars_per_million_tokens,
        progress=progress,
    )


class Reindexes:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # What is asked

    def latest(self, project: ProjectId, store: StoreId) -> ReindexRow:
        """The store's re-index, or its last one."""
        found = None
        if well_formed(store):
            found = self._connection.execute(
                self._of(project).where(reindexes.c.store_id == store).order_by(reindexes.c.serial.desc()).limit(1)
            ).first()
        if found is not None:
            return self._shown(found)
        there = select(stores.c.id).where(
            stores.c.id == store, stores.c.project_id == project, stores.c.deleted_at.is_(None)
        )
        if not well_formed(store) or self._connection.execute(there).first() is None:
            raise no_such_store(store)
        raise NotFound(f"Vector store {store} has never been indexed anew.", param="vector_store_id")

    def all(self, project: ProjectId, most: int = 100) -> tuple[ReindexRow, ...]:
        """The newest first."""
        found = self._connection.execute(self._of(project).order_by(reindexes.c.serial.desc()).limit(most)).all()
        return tuple(self._shown(row) for row in found)

    def stores_of(self, project: ProjectId) -> tuple[StoreId, ...]:
        """All that can be indexed anew, the oldest first."""
        there = (stores.c.project_id == project) & stores.c.deleted_at.is_(None) & stores.c.expired_at.is_(None)
        found = self._connection.execute(select(stores.c.id).where(there).order_by(stores.c.serial)).scalars()
        return tuple(StoreId(store) for store in found)

    def failures(self, store: StoreId, most: int = 100) -> tuple[ReindexFailure, ...]:
        wanted = (
            select(documents.c.file_id, documents.c.filename, reindex_files.c.error_code, reindex_files.c.error_message)
            .join_from(reindex_files, documents, editions.work_of_document())
            .where(reindex_files.c.store_id == store, reindex_files.c.error_code.is_not(None), documents.c.living)
            .order_by(documents.c.number)
            .limit(most)
        )
        return tuple(
            ReindexFailure(FileId(row.file_id), row.filename, LastError(FailureCode(row.error_code), row.error_message))
            for row in self._connection.execute(wanted)
        )

    def _of(self, project: ProjectId) -> Select[Any]:
        return (
            select(*reindexes.c, stores.c.edition.label("serving"))
            .join_from(reindexes, stores, reindexes.c.store_id == stores.c.id)
            .where(reindexes.c.project_id == project, stores.c.deleted_at.is_(None))
        )

    def _shown(self, row: Row[Any]) -> ReindexRow:
        state = ReindexState(row.state)
        if row.active and state is not ReindexState.SWAPPED:
            return _row(row, editions.progress_of(self._connection, StoreId(row.store_id), row.serving, row.edition))
        return _row(row, ReindexProgress(row.documents + row.failed, row.documents, row.failed, row.chunks, row.chunks))

    # What is wished

    def start(self, project: ProjectId, store: StoreId, reindex: ReindexId, wish: ReindexWish, now: int) -> ReindexRow:
        lock_active(self._connection, project, store, now)
        held = locked(self._connection, store, project)
        assert held is not None
        if editions.active_reindex(self._connection, store) is not None:
            raise NotAllowedNow(
                f"Vector store {store} has a second edition already: cancel it, or finish it if it is kept for a "
                "rollback.",
                param="vector_store_id",
            )
        if not wish.rechunk and wish.model == held.model:
            raise InvalidInput(
                f"Vector store {store} has the model '{wish.model}' already, and no chunking is given: nothing would "
                "change.",
                param="embedding_model",
                code="invalid_value",
            )
        known = select(func.max(reindexes.c.edition)).where(reindexes.c.store_id == store)
        edition = max(held.edition, self._connection.execute(known).scalar() or 0) + 1
        self._connection.execute(
            insert(reindexes).values(
                id=reindex,
                store_id=store,
                project_id=project,
                created_at=now,
                state=ReindexState.RUNNING.value,
                active=True,
                dropping=False,
                model=wish.model,
                replaces_model=held.model,
                rechunk=wish.rechunk,
                **chunking_columns(wish.chunking),
                chunks_per_second=wish.chunks_per_second,
                paced_until=0.0,
                keep_seconds=wish.keep_seconds,
                allow_failed=wish.allow_failed,
                edition=edition,
                edition_model=wish.model,
                edition_width=wish.width,
                cursor=0,
                resumed_at=now,
                resumed_done=0,
                documents=0,
                chunks=0,
                failed=0,
                tokens=0,
                dollars_per_million_tokens=wish.dollars_per_million_tokens,
            )
        )
        return self.latest(project, store)

    def pause(self, project: ProjectId, store: StoreId, now: int) -> ReindexRow:  # noqa: ARG002 - as its siblings
        """What is being worked on is finished; nothing more is claimed."""
        return self._change(project, store, {ReindexState.RUNNING}, lambda _: {"state": ReindexState.PAUSED.value})

    def resume(self, project: ProjectId, store: StoreId, now: int) -> ReindexRow:
        return self._change(project, store, {ReindexState.PAUSED}, lambda job: self._running(job, now))

    def retry(self, project: ProjectId, store: StoreId, now: int) -> ReindexRow:
        """Try again what failed."""

        def again(job: Row[Any]) -> dict[str, Any]:
            failed = (reindex_files.c.store_id == store) & reindex_files.c.error_code.is_not(None)
            self._connection.execute(delete(reindex_files).where(failed))
            return {} if job.state == ReindexState.RUNNING else self._running(job, now)

        return self._change(project, store, {ReindexState.RUNNING, ReindexState.BLOCKED}, again)

    def allow_failed(self, project: ProjectId, store: StoreId, now: int) -> ReindexRow:
        """Swap although files failed."""
        states = {ReindexState.RUNNING, ReindexState.PAUSED, ReindexState.BLOCKED}
        return self._change(project, store, states, lambda job: {**self._running(job, now), "allow_failed": True})

    def _running(self, job: Row[Any], now: int) -> dict[str, Any]:
        store = StoreId(job.store_id)
        held = locked(self._connection, store)
        assert held is not None
        done = editions.progress_of(self._connection, store, held.edition, job.edition).documents_done
        return {
            "state": ReindexState.RUNNING.value,
            "reason": None,
            "resumed_at": now,
            "resumed_done": done,
            "cursor": 0,
            "paced_until": 0.0,
        }

    def cancel(self, project: ProjectId, store: StoreId, now: int) -> ReindexRow:
        """Give up what is being built. Of a rollback that is under way: stay with what was swapped in."""
        states = {ReindexState.RUNNING, ReindexState.PAUSED, ReindexState.BLOCKED, ReindexState.ROLLING_BACK}

        def ended(job: Row[Any]) -> dict[str, Any]:
            if job.state == ReindexState.ROLLING_BACK:
                self._connection.execute(delete(reindex_files).where(reindex_files.c.store_id == store))
                self._connection.execute(update(stores).where(stores.c.id == store).values(held_until=0))
                return {"state": ReindexState.SWAPPED.value}
            editions.drop_edition(self._connection, job, now)
            return {"state": ReindexState.CANCELLED.value}

        return self._change(project, store, states, ended)

    def finish(self, project: ProjectId, store: StoreId, now: int) -> ReindexRow:
        """Let the old edition go before its time: there is no rollback afterwards."""
        return self._change(project, store, {ReindexState.SWAPPED}, lambda job: self._completed(job, now))

    def _completed(self, job: Row[Any], now: int) -> dict[str, Any]:
        editions.drop_edition(self._connection, job, now)
        return {"state": ReindexState.COMPLETED.value}

    def roll_back(self, project: ProjectId, store: StoreId, now: int) -> ReindexRow:
        """Serve the old edition again: at once if nothing came since the swap, otherwise as soon as it has that too."""
        row = self._change(project, store, {ReindexState.SWAPPED}, lambda job: self._going_back(job, now))
        self.swap(store, now)
        return self.latest(project, row.store_id)

    def _going_back(self, job: Row[Any], now: int) -> dict[str, Any]:
        return {**self._running(job, now), "state": ReindexState.ROLLING_BACK.value, "chunks_per_second": None}

    def _change(
        self,
        project: ProjectId,
        store: StoreId,
        states: set[ReindexState],
        change: Callable[[Row[Any]], dict[str, Any]],
    ) -> ReindexRow:
        if locked(self._connection, store, project) is None:
            raise no_such_store(store)
        try:
            row = self.latest(project, store)
        except NotFound as error:  # the store is there: it is a step that cannot be taken
            raise NotAllowedNow(error.message, param="vector_store_id") from error
        if row.state not in states:
            raise NotAllowedNow(
                f"The re-index of {store} is {row.state.value}; this needs it to be "
                f"{' or '.join(sorted(state.value for state in states))}.",
                param="vector_store_id",
            )
        job = self._connection.execute(select(reindexes).where(reindexes.c.id == row.id)).one()
        values = change(job)
        if values:
            self._connection.execute(update(reindexes).where(reindexes.c.id == row.id).values(values))
        return self.latest(project, store)

    # What workers do

    def swap(self, store: StoreId, now: int) -> SwapOutcome:
        """Make the second edition the one that searches find, if nothing is lacking in it."""
        held = locked(self._connection, store)
        job = None if held is None else editions.active_reindex(self._connection, store)
        if held is None or job is None or ReindexState(job.state) not in BUILDING:
            return SwapOutcome.ENDED
        back = job.state == ReindexState.ROLLING_BACK
        progress = editions.progress_of(self._connection, store, held.edition, job.edition)
        left = progress.documents - progress.documents_done - progress.documents_failed
        if left:
            self._hold_files(held, left, now)
            return SwapOutcome.BEHIND
        if progress.documents_failed and (back or not job.allow_failed):
            return self._block(job, progress)
        editions.exchange(self._connection, held, job, now)
        counted = {"documents": progress.documents_done, "failed": progress.documents_failed}
        swapped = self._connection.execute(select(reindexes).where(reindexes.c.id == job.id)).one()
        values: dict[str, Any] = {**counted, "chunks": self._chunks(store, job.edition), "reason": None}
        if back:
            editions.drop_edition(self._connection, swapped, now)
            values |= {"state": ReindexState.ROLLED_BACK.value}
        else:
            values |= {
                "state": ReindexState.SWAPPED.value,
                "swapped_at": now,
                "kept_until": now + job.keep_seconds,
            }
        self._connection.execute(update(reindexes).where(reindexes.c.id == job.id).values(values))
        if not back and not job.keep_seconds:
            self._settle_kept(job.id, now)
        return SwapOutcome.SWAPPED

    def _chunks(self, store: StoreId, edition: int) -> int:
        counted = select(func.coalesce(func.sum(documents.c.chunks), 0)).where(editions.serving(store, edition))
        return int(self._connection.execute(counted).scalar_one())

    def _block(self, job: Row[Any], progress: ReindexProgress) -> SwapOutcome:
        reason, state = f"{progress.documents_failed} files that searches find now could not be indexed anew", "blocked"
        if job.state == ReindexState.ROLLING_BACK:
            reason, state = f"{reason} for the old edition: it was not rolled back to.", "swapped"
            self._connection.execute(delete(reindex_files).where(reindex_files.c.store_id == job.store_id))
        else:
            reason = f"{reason}. Retry them, swap all the same, or cancel."
        values = {"state": ReindexState(state).value, "reason": reason}
        self._connection.execute(update(reindexes).where(reindexes.c.id == job.id).values(values))
        return SwapOutcome.BLOCKED

    def _hold_files(self, held: Row[Any], left: int, now: int) -> None:
        """Files may be published as fast as they are made anew; then they wait for a moment, or it would never end."""
        put_off = (reindex_files.c.lease_token.is_(None)) & (reindex_files.c.leased_until > now)
        waits = select(exists().where(reindex_files.c.store_id == held.id, put_off))
        if self._connection.execute(waits).scalar():
            return  # for a model that does not answer: files need not wait with it
        if left <= ALL_BUT_COMPLETE and held.held_until + HELD_AGAIN_SECONDS <= now:
            until = now + HELD_SECONDS
            self._connection.execute(update(stores).where(stores.c.id == held.id).values(held_until=until))

    def with_work(self, now: int, most: int = 100) -> tuple[StoreId, ...]:
        return stores_with_work(self._connection, now, most)

    def second_editions(self) -> dict[StoreId, int]:
        """Stores that have one, and its number: to be merged and coded like the first."""
        found = self._connection.execute(select(reindexes.c.store_id, reindexes.c.edition).where(reindexes.c.active))
        return {StoreId(store): edition for store, edition in found}

    def to_be_swapped(self, store: StoreId, now: int) -> bool:
        """Whether all is made anew that can be, and nobody is at work on the rest."""
        return not count_leased(self._connection, store, now)

    # Sweeps

    def kept_too_long(self, now: int, most: int) -> tuple[ReindexId, ...]:
        due = (
            select(reindexes.c.id)
            .where(reindexes.c.active, reindexes.c.state == ReindexState.SWAPPED.value, reindexes.c.kept_until <= now)
            .limit(most)
        )
        return tuple(ReindexId(found) for found in self._connection.execute(due).scalars())

    def settle_kept(self, reindex: ReindexId, now: int) -> bool:
        """The time of an old edition is over."""
        found = self._connection.execute(select(reindexes.c.store_id).where(reindexes.c.id == reindex)).scalar()
        if found is None or locked(self._connection, StoreId(found)) is None:
            return False
        return self._settle_kept(reindex, now)

    def _settle_kept(self, reindex: str, now: int) -> bool:
        job = self._connection.execute(select(reindexes).where(reindexes.c.id == reindex)).one()
        if not job.active or job.state != ReindexState.SWAPPED or job.kept_until > now:
            return False
        values = self._completed(job, now)
        self._connection.execute(update(reindexes).where(reindexes.c.id == reindex).values(values))
        return True

    def dropping(self, most: int) -> tuple[ReindexId, ...]:
        due = select(reindexes.c.id).where(reindexes.c.dropping).order_by(reindexes.c.serial).limit(most)
        return tuple(ReindexId(found) for found in self._connection.execute(due).scalars())

    def purge(self, reindex: ReindexId, most: int) -> int:
        """Remove at most `most` documents of an edition that was given up; 0: none is left."""
        job = self._connection.execute(select(reindexes).where(reindexes.c.id == reindex)).first()
        if job is None or not job.dropping or locked(self._connection, StoreId(job.store_id)) is None:
            return 0
        removed = editions.purge_edition(self._connection, StoreId(job.store_id), job.edition, most)
        if not removed:
            self._connection.execute(update(reindexes).where(reindexes.c.id == reindex).values(dropping=False))
        return removed
