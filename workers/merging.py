"""Merging: a store's many segments become few, and the rows of the dead go.

Chosen by a pure policy, folded beside the living store, swapped in one transaction that refuses whenever one of the
folded segments is no longer live: of two who merge the same, the second throws its work away. What is published or
deleted meanwhile is untouched: a document that died under way is carried along, dead. A merged segment brings its
codes with it, so that no search meets it without.
"""

import logging
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.rows import CodebookRow, IndexRow, SegmentRow
from retrieval.catalog.transaction import Catalog
from retrieval.errors import IndexDamaged, ObjectMissing, SegmentDamaged
from retrieval.ids import SegmentId, StoreId, new_segment_id
from retrieval.index.files import codes_name, read_codebook, write_index
from retrieval.index.vectors import SMALL_ROWS, encode_segment
from retrieval.segments.folding import fold_segments
from retrieval.segments.layout import segment_name
from retrieval.segments.merging import MergeLimits, SegmentSize, choose_merges
from retrieval.segments.reader import open_all, open_stored
from retrieval.storage.objects import Storage

MOST_ROUNDS: Final = 32  # of one call: appends may come faster than merges end

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Merged:
    """What was done to a store."""

    segments: int = 0  # folded away
    made: int = 0
    rows_dropped: int = 0
    refused: int = 0  # somebody else was quicker
    damaged: frozenset[SegmentId] = frozenset()  # left as they are: a person must look

    def plus(self, more: Self) -> Self:
        return type(self)(
            self.segments + more.segments,
            self.made + more.made,
            self.rows_dropped + more.rows_dropped,
            self.refused + more.refused,
            self.damaged | more.damaged,
        )


@dataclass(frozen=True, slots=True)
class _Group:
    """Segments to fold, and who of them lived at one moment."""

    store: StoreId
    rows: tuple[SegmentRow, ...]
    living: NDArray[np.int64]
    dead: tuple[int, ...]
    codebook: CodebookRow | None
    edition: int | None


def merge_store(
    store: StoreId,
    catalog: Catalog,
    storage: Storage,
    limits: MergeLimits | None = None,
    edition: int | None = None,
) -> Merged:
    """Fold an edition (None: the one that searches find) until the policy is content. Safe beside every publish,
    delete, search and other merge."""
    done, started = Merged(), time.perf_counter()
    for _ in range(MOST_ROUNDS):
        chosen = _choose(store, catalog, limits or MergeLimits(), done.damaged, edition)
        if not chosen:
            break
        for group in chosen:
            done = done.plus(_merge(_read(store, group, catalog, edition), catalog, storage))
    if done.segments:
        _tell(store, done, time.perf_counter() - started, catalog)
    return done


def _tell(store: StoreId, done: Merged, seconds: float, catalog: Catalog) -> None:
    glance = catalog.glance(store)
    log.info(
        "store merged",
        extra={
            "project": glance.project_id if glance else None,
            "store": store,
            "segments": done.segments,
            "made": done.made,
            "rows_dropped": done.rows_dropped,
            "latency_ms": round(1000 * seconds, 3),
        },
    )


def _choose(
    store: StoreId, catalog: Catalog, limits: MergeLimits, damaged: Collection[SegmentId], edition: int | None
) -> list[tuple[SegmentId, ...]]:
    with catalog.reading() as tx:
        loads = tx.manifests.loads(store, edition)
        bytes_of = {row.id: row.bytes for row in tx.manifests.segments(store, edition)}
    sizes = [
        SegmentSize(load.id, load.rows, max(load.rows - load.living_chunks, 0), bytes_of[load.id])
        for load in loads
        if load.id not in damaged
    ]
    return choose_merges(sizes, limits)


def _read(store: StoreId, chosen: Collection[SegmentId], catalog: Catalog, edition: int | None) -> _Group | None:
    """None if one of the segments has gone since it was chosen."""
    with catalog.reading() as tx:
        rows = tuple(row for row in tx.manifests.segments(store, edition) if row.id in chosen)
        living, dead = tx.manifests.lives(store, chosen)
        codebook = tx.manifests.codebook(store, edition)
    if len(rows) < len(chosen):
        return None
    return _Group(store, rows, np.array(living, np.int64), tuple(dead), codebook, edition)


def _merge(group: _Group | None, catalog: Catalog, storage: Storage) -> Merged:
    if group is None:
        return Merged(refused=1)
    try:
        made = _fold(group, catalog.now(), storage)
    except SegmentDamaged as damage:
        log.error("segment damaged", extra={"store": group.store, "segment": damage.segment, "why": str(damage)})
        storage.forget_local(segment_name(group.store, damage.segment))
        return Merged(damaged=frozenset({damage.segment}))
    except ObjectMissing as missing:
        return _merge_missing(group, catalog, missing)
    index = None if made is None else _codes(made, group.codebook, storage)
    if not _swap(group, made, index, catalog):
        _take_back(group, made, storage)
        return Merged(refused=1)
    kept = 0 if made is None else made.rows
    return Merged(len(group.rows), int(made is not None), sum(row.rows for row in group.rows) - kept)


def _fold(group: _Group, now: int, storage: Storage) -> SegmentRow | None:
    if not len(group.living):
        return None
    with open_all(storage, group.rows) as segments:
        return fold_segments(
            storage,
            segments,
            lambda numbers: np.isin(numbers, group.living),
            store=group.store,
            segment=new_segment_id(),
            created_at=now,
        )


def _merge_missing(group: _Group, catalog: Catalog, missing: ObjectMissing) -> Merged:
    """A file is not there: its segment was merged by another meanwhile, or it is lost."""
    with catalog.reading() as tx:
        live = {row.id for row in tx.manifests.segments(group.store, group.edition)}
    if not live.issuperset(row.id for row in group.rows):
        return Merged(refused=1)
    lost = frozenset(row.id for row in group.rows if row.id in str(missing))
    log.error("segment lost", extra={"store": group.store, "segments": sorted(lost), "why": str(missing)})
    return Merged(damaged=lost or frozenset(row.id for row in group.rows))


def _codes(made: SegmentRow, codebook: CodebookRow | None, storage: Storage) -> IndexRow | None:
    """The new segment's codes, unless codes do not serve this store or their codebook is to be made anew first."""
    if codebook is None or not codebook.candidates or made.rows < SMALL_ROWS:
        return None
    with suppress(IndexDamaged), open_stored(storage, made) as segment:
        book = read_codebook(storage, made.store_id, codebook.version, codebook.checksum)
        codes = encode_segment(book, segment.verified_vectors())
        size, checksum = write_index(storage, codes_name(made.store_id, made.id, book.version), codes.as_bytes())
        return IndexRow(made.id, book.version, size, checksum)
    return None


def _swap(group: _Group, made: SegmentRow | None, index: IndexRow | None, catalog: Catalog) -> bool:
    removed, now = [row.id for row in group.rows], catalog.now()
    with catalog.transaction() as tx:
        swapped = tx.replace_segments(group.store, removed, made, dropped=group.dead, now=now) is not None
        if swapped and index is not None:
            tx.manifests.add_index(
                group.store, index
            )  # refused if there is a newer codebook: the next indexing codes it
        return swapped


def _take_back(group: _Group, made: SegmentRow | None, storage: Storage) -> None:
    if made is None:
        return
    storage.delete(segment_name(group.store, made.id))
    if group.codebook is not None:
        storage.delete(codes_name(group.store, made.id, group.codebook.version))
