"""Sweeps: what is left behind on purpose, and may go when nobody can need it any more.

Stored files go after a grace time in which readers of older generations may still open them: first the file, then
`forget_…`, so that a sweep that dies in between only repeats itself. Files that no row ever named (a writer died
before its commit) are found by asking for the unknown among those older than a grace time longer than any writer
works on one file. Rows go a slice at a time, so that no sweep makes writers wait for long.
"""

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Table, delete, exists, select, update

from retrieval.catalog.holds import held
from retrieval.catalog.reindex_tables import reindex_files, reindexes
from retrieval.catalog.rows import RemovedCodebook, RemovedIndex, RemovedSegment
from retrieval.catalog.source_tables import sources
from retrieval.catalog.sources import delete_sources
from retrieval.catalog.tables import (
    batches,
    codebooks,
    departed,
    documents,
    entries,
    indexes,
    segments,
    stores,
)
from retrieval.catalog.tally import slices
from retrieval.catalog.vector_store_files import detach
from retrieval.ids import SegmentId, StoreId


class Sweeps:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # Stored files

    def removed_segments(self, before: int, most: int, now: int = 0) -> tuple[RemovedSegment, ...]:
        free = ~held(segments.c.project_id, segments.c.store_id, now)
        due = select(segments).where(segments.c.removed_at <= before, free).order_by(segments.c.removed_at).limit(most)
        return tuple(
            RemovedSegment(SegmentId(row.id), StoreId(row.store_id), row.removed_at)
            for row in self._connection.execute(due)
        )

    def forget_segment(self, segment: SegmentId) -> bool:
        """Forget a removed segment whose file and indexes are gone from storage; a live one is never forgotten."""
        removed = (segments.c.id == segment) & segments.c.removed_at.is_not(None)
        if self._connection.execute(select(segments.c.id).where(removed)).first() is None:
            return False
        self._connection.execute(delete(indexes).where(indexes.c.segment_id == segment))
        self._connection.execute(delete(segments).where(removed))
        return True

    def removed_indexes(self, before: int, most: int, now: int = 0) -> tuple[RemovedIndex, ...]:
        free = ~held(indexes.c.project_id, indexes.c.store_id, now)
        due = select(indexes).where(indexes.c.removed_at <= before, free).order_by(indexes.c.removed_at).limit(most)
        return tuple(
            RemovedIndex(SegmentId(row.segment_id), StoreId(row.store_id), row.codebook, row.removed_at)
            for row in self._connection.execute(due)
        )

    def forget_index(self, index: RemovedIndex) -> bool:
        mine = (indexes.c.segment_id == index.segment_id) & (indexes.c.codebook == index.codebook)
        gone = self._connection.execute(delete(indexes).where(mine, indexes.c.removed_at.is_not(None)))
        return gone.rowcount > 0

    def removed_codebooks(self, before: int, most: int, now: int = 0) -> tuple[RemovedCodebook, ...]:
        free = ~held(codebooks.c.project_id, codebooks.c.store_id, now)
        due = (
            select(codebooks).where(codebooks.c.removed_at <= before, free).order_by(codebooks.c.removed_at).limit(most)
        )
        return tuple(
            RemovedCodebook(StoreId(row.store_id), row.version, row.removed_at) for row in self._connection.execute(due)
        )

    def forget_codebook(self, codebook: RemovedCodebook) -> bool:
        mine = (codebooks.c.store_id == codebook.store_id) & (codebooks.c.version == codebook.version)
        gone = self._connection.execute(delete(codebooks).where(mine, codebooks.c.removed_at.is_not(None)))
        return gone.rowcount > 0

    def known_segments(self, store: StoreId) -> frozenset[SegmentId]:
        """Live or removed but not yet forgotten: everything else under the store's name in storage is an orphan."""
        here = select(segments.c.id).where(segments.c.store_id == store)
        return frozenset(SegmentId(segment) for segment in self._connection.execute(here).scalars())

    def known_indexes(self, store: StoreId) -> frozenset[tuple[SegmentId, int]]:
        here = select(indexes.c.segment_id, indexes.c.codebook).where(indexes.c.store_id == store)
        return frozenset((SegmentId(segment), version) for segment, version in self._connection.execute(here))

    def known_codebooks(self, store: StoreId) -> frozenset[int]:
        here = select(codebooks.c.version).where(codebooks.c.store_id == store)
        return frozenset(self._connection.execute(here).scalars())

    def stores_in_use(self, after: str, most: int) -> tuple[tuple[StoreId, int], ...]:
        """Stores that hold segments, with their generations, in the order of their ids; page on `after` the last."""
        held = exists().where(segments.c.store_id == stores.c.id, segments.c.removed_at.is_(None))
        here = (stores.c.id > after) & stores.c.deleted_at.is_(None) & stores.c.expired_at.is_(None)
        wanted = select(stores.c.id, stores.c.generation).where(here, held).order_by(stores.c.id).limit(most)
        return tuple((StoreId(store), generation) for store, generation in self._connection.execute(wanted))

    def unknown_stores(self, wanted: Collection[StoreId]) -> frozenset[StoreId]:
        """Of these, the stores of which the catalog has not even a deleted row: their folders may go altogether."""
        known: set[str] = set()
        for some in slices(sorted(wanted)):
            known.update(self._connection.execute(select(stores.c.id).where(stores.c.id.in_(some))).scalars())
        return frozenset(wanted) - {StoreId(store) for store in known}

    # Rows

    def stores_with_dead_documents(self, most: int) -> tuple[StoreId, ...]:
        due = select(documents.c.store_id).where(~documents.c.living, documents.c.segment_id.is_(None))
        found = self._connection.execute(due.group_by(documents.c.store_id).limit(most)).scalars()
        return tuple(StoreId(store) for store in found)

    def purge_documents(self, store: StoreId, most: int) -> int:
        """Remove rows of dead documents that no live segment holds; how many. Readers that have not heard of these
        deaths are given everything anew."""
        held = self._hold(store)
        if held is None:
            return 0
        dead = (
            select(documents.c.number, documents.c.changed)
            .where(documents.c.store_id == store, ~documents.c.living, documents.c.segment_id.is_(None))
            .order_by(documents.c.number)
            .limit(most)
        )
        found = self._connection.execute(dead).all()
        for some in slices([row.number for row in found]):
            here = (documents.c.store_id == store) & documents.c.number.in_(some)
            self._connection.execute(delete(documents).where(here))
        if found:
            heard = max(held.purged_generation, *(row.changed for row in found))
            self._connection.execute(update(stores).where(stores.c.id == store).values(purged_generation=heard))
        return len(found)

    def purge_store(self, store: StoreId, most: int, now: int) -> int:
        """Remove at most `most` rows of a deleted or expired store; 0: nothing is left to do for now.

        Of an expired store the files go, each leaving the counts as any file does. A deleted store's own row goes
        last, when sweeps have forgotten its segments.
        """
        held = self._hold(store)
        if held is None or (held.deleted_at is None and held.expired_at is None):
            return 0
        leaving = self._connection.execute(
            select(entries).where(entries.c.store_id == store).order_by(entries.c.serial).limit(most)
        ).all()
        if leaving:
            detach(self._connection, store, leaving, now)
            return len(leaving)
        removed = self._slice_of(documents, store, documents.c.number, most)
        if removed or held.deleted_at is None:
            return removed
        for table in (segments, indexes, codebooks):
            if self._connection.execute(select(exists().where(table.c.store_id == store))).scalar():
                return 0
        delete_sources(self._connection, sources.c.store_id == store)
        self._connection.execute(delete(batches).where(batches.c.store_id == store))
        self._connection.execute(delete(reindex_files).where(reindex_files.c.store_id == store))
        self._connection.execute(delete(reindexes).where(reindexes.c.store_id == store))
        self._connection.execute(delete(departed).where(departed.c.scope == store))
        self._connection.execute(delete(stores).where(stores.c.id == store))
        return 1

    def _hold(self, store: StoreId) -> Any:
        """The store's row, also of a deleted store, held until the commit."""
        return self._connection.execute(
            select(stores).where(stores.c.id == store).with_for_update(key_share=True)
        ).first()

    def _slice_of(self, table: Table, store: StoreId, key: Any, most: int) -> int:
        some = select(key).where(table.c.store_id == store).order_by(key).limit(most)
        gone = self._connection.execute(delete(table).where(table.c.store_id == store, key.in_(some)))
        return gone.rowcount

    def forget_departed(self, before: int, most: int) -> int:
        """Forget where elements stood that were deleted before; a caller who pages so slowly is told so."""
        some = select(departed.c.scope, departed.c.id).where(departed.c.departed_at <= before).limit(most)
        found = self._connection.execute(some).all()
        for scope, identity in found:
            self._connection.execute(delete(departed).where(departed.c.scope == scope, departed.c.id == identity))
        return len(found)
