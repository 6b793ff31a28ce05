"""Snapshots: the newest opened generation of each store that this process searches.

Opening a generation costs what is new in it: the manifest names what changed, and everything else is taken over
from the snapshot before. Searches never wait for each other, only those of one store for its newer generation.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from retrieval.catalog.rows import DocumentRow, IndexRow, Manifest
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogError, IndexDamaged, ObjectMissing, SegmentDamaged
from retrieval.ids import SegmentId, StoreId
from retrieval.index.documents import Documents
from retrieval.index.files import read_codebook, read_codes
from retrieval.index.selection import allow
from retrieval.index.snapshot import OpenSegment, Snapshot
from retrieval.index.vectors import CheckRows, Codebook, Effort, Rows, SegmentCodes, SegmentVectors, VectorSide
from retrieval.segments.layout import segment_name
from retrieval.segments.reader import Segment, open_stored
from retrieval.storage.objects import Storage

TRIES: Final = 4  # a generation whose segments are merged away while it opens is left for the newer one

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Held:
    """One store's newest snapshot. The lock is held while a newer one opens."""

    opening: threading.Lock
    snapshot: Snapshot | None = None


class Snapshots:
    def __init__(self, catalog: Catalog, storage: Storage, *, most_stores: int = 256) -> None:
        self._catalog = catalog
        self._storage = storage
        self._most_stores = most_stores
        self._held: OrderedDict[StoreId, _Held] = OrderedDict()
        self._fetched_again: set[SegmentId] = set()
        self._lock = threading.Lock()  # guards _held and _fetched_again

    def held(self, store: StoreId, generation: int) -> Snapshot | None:
        """A snapshot of `generation` or a newer one if it is open already."""
        snapshot = self._holder(store).snapshot
        return snapshot if snapshot is not None and snapshot.generation >= generation else None

    def at(self, store: StoreId, generation: int) -> Snapshot:
        """A snapshot of `generation` or a newer one; opened, or waited for, where it is not open yet."""
        open_already = self.held(store, generation)
        if open_already is not None:
            return open_already
        held = self._holder(store)
        with held.opening:
            snapshot = held.snapshot
            if snapshot is None or snapshot.generation < generation:
                snapshot = held.snapshot = self._newest(store, snapshot)
            return snapshot

    def forget(self, store: StoreId) -> None:
        """Let go of a store, such as one that was deleted; a search that holds its snapshot keeps it."""
        with self._lock:
            self._held.pop(store, None)

    def mend(self, store: StoreId, segment: SegmentId) -> bool:
        """After a segment turned out damaged: have it fetched anew for the next snapshot. True once for each segment:
        if it is damaged again, it is not the copy on this machine."""
        with self._lock:
            if segment in self._fetched_again:
                return False
            self._fetched_again.add(segment)
        self._storage.forget_local(segment_name(store, segment))
        self.forget(store)
        return True

    def close(self) -> None:
        with self._lock:
            self._held.clear()

    def _holder(self, store: StoreId) -> _Held:
        with self._lock:
            held = self._held.get(store)
            if held is None:
                held = self._held[store] = _Held(threading.Lock())
            self._held.move_to_end(store)
            while len(self._held) > self._most_stores:
                self._held.popitem(last=False)
            return held

    def _newest(self, store: StoreId, old: Snapshot | None) -> Snapshot:
        missing: ObjectMissing | None = None
        seen = -1
        for _ in range(TRIES):
            with self._catalog.reading() as tx:
                manifest = tx.manifests.read(store, since=old.generation if old else 0)
            if manifest.generation == seen and missing is not None:
                break  # nobody moved the store on: the file is lost
            seen = manifest.generation
            try:
                return self._open(manifest, old)
            except ObjectMissing as error:
                missing = error
        raise SegmentDamaged(_lost(manifest, missing), "its file is not in storage") from missing

    def _open(self, manifest: Manifest, old: Snapshot | None) -> Snapshot:
        if old is not None and old.edition != manifest.edition:
            old = None  # of another model: nothing of it may be taken over
        fresh = old is None or (manifest.since == 0 and old.generation > 0)
        base = Documents.none() if fresh or old is None else old.documents
        documents = base.updated(manifest.documents)
        died = [row for row in manifest.documents if not row.living]
        book, effort = self._codebook(manifest, old)
        known = {one.row.id: one for one in old.segments} if old is not None else {}
        codes = {index.segment_id: index for index in manifest.indexes} if book is not None else {}
        same_book = old is not None and book is old.side.codebook
        segments = []
        for row in manifest.segments:
            one = known.get(row.id)
            segment = one.segment if one is not None else open_stored(self._storage, row)
            vectors = one.vectors if one is not None and same_book else None
            if vectors is None or (vectors.codes is None and row.id in codes):
                vectors = SegmentVectors(
                    segment.vectors, self._codes(manifest, codes.get(row.id), book), _checker(segment)
                )
            living = one.living if one is not None and not fresh else None
            if living is None or (died and _holds(segment, died)):
                living = allow(documents, segment.runs, row.rows)
            segments.append(OpenSegment(row, segment, vectors, living))
        side = old.side if old is not None and same_book else VectorSide.empty(manifest.width, book, effort)
        side = side.with_segments([one.vectors for one in segments])
        if side.effort != effort:
            side = side.with_effort(effort)
        store, generation = manifest.store_id, manifest.generation
        return Snapshot(store, generation, manifest.model, documents, tuple(segments), side, manifest.edition)

    def _codebook(self, manifest: Manifest, old: Snapshot | None) -> tuple[Codebook | None, Effort]:
        row = manifest.codebook
        if row is None:
            return None, Effort()
        effort = Effort(row.candidates, row.probes, row.recall)
        if old is not None and old.side.codebook is not None and old.side.codebook.version == row.version:
            return old.side.codebook, effort
        try:
            return read_codebook(self._storage, row.store_id, row.version, row.checksum), effort
        except IndexDamaged as damage:
            log.warning("codebook damaged", extra={"store": row.store_id, "version": row.version, "why": str(damage)})
            return None, Effort()  # upkeep finds it too, and trains another

    def _codes(self, manifest: Manifest, index: IndexRow | None, book: Codebook | None) -> SegmentCodes | None:
        if index is None or book is None:
            return None
        store = manifest.store_id
        try:
            return read_codes(self._storage, store, index.segment_id, book, index.checksum)
        except IndexDamaged as damage:
            log.warning("codes damaged", extra={"store": store, "segment": index.segment_id, "why": str(damage)})
            self._drop(store, index)
            return None

    def _drop(self, store: StoreId, index: IndexRow) -> None:
        """Let upkeep code the segment anew."""
        with suppress(CatalogError):
            now = self._catalog.now()
            with self._catalog.transaction() as tx:
                tx.manifests.drop_index(store, index.segment_id, index.codebook, now)


def _checker(segment: Segment) -> CheckRows:
    """Vouch for vectors just before they are read, as the vector side asks for it."""

    def check(rows: Rows | slice) -> None:
        if not isinstance(rows, slice):
            segment.check_rows(rows)
        elif (rows.start, rows.stop) == (0, len(segment)):
            segment.verified_vectors()
        else:
            segment.check_range(rows.start, rows.stop)

    return check


def _holds(segment: Segment, died: Sequence[DocumentRow]) -> bool:
    return bool(np.isin([row.number for row in died], segment.runs.numbers).any())


def _lost(manifest: Manifest, missing: ObjectMissing | None) -> SegmentId:
    """Whose file it was that is missing."""
    text = str(missing)
    return next((row.id for row in manifest.segments if row.id in text), SegmentId("unknown"))
