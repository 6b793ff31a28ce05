"""Merging: a store's many segments become few, and the rows of the dead go.

Chosen by a pure policy, folded beside the living store, swapped in one transaction that refuses whenever one of the
folded segments is no longer live: of two who merge the same, the second throws its work away. What is published or
deleted meanwhile is untouched: a document that died under way is carried along, dead. A merged segment brings its
codes with it, so that no search meets it without.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.rows import CodebookRow, IndexRow, SegmentRow
from retrieval.catalog.transaction import Catalog
from retrieval.errors import IndexDamaged, ObjectMissing, SegmentDamaged
from retrieval.ids import SegmentId, StoreId, new_segment_id
from retrieval.index.files import codes_name, read_codebook, write_index
from retrieval.index.vectors import encode_segment
from retrieval.segments.folding import fold_segments
from retrieval.segments.layout import segment_name
from retrieval.segments.merging import MergeLimits, SegmentSize, choose_merges
from retrieval.segments.reader import Segment, open_segment
from retrieval.storage.objects import Storage

MOST_ROUNDS: Final = 32  # of one call: appends may come faster than merges end
CODED_ROWS: Final = 4_000  # a smaller segment is coded by whoever opens it

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Merged:
    """What one call did to a store."""

    segments: int = 0  # folded away
    made: int = 0
    rows_dropped: int = 0
    refused: int = 0  # somebody else was quicker
    damaged: tuple[SegmentId, ...] = ()  # left as they are: a person must look


@dataclass(frozen=True, slots=True)
class _Group:
    rows: tuple[SegmentRow, ...]
    living: NDArray[np.int64]
    dead: tuple[int, ...]
    codebook: CodebookRow | None


def merge_store(store: StoreId, catalog: Catalog, storage: Storage, limits: MergeLimits | None = None) -> Merged:
    """Fold until the policy is content."""
    done = Merged()
    for _ in range(MOST_ROUNDS):
        groups = _chosen(store, catalog, limits or MergeLimits(), done.damaged)
        if not groups:
            break
        for group in groups:
            done = _merge(store, group, catalog, storage, done)
    return done


def _chosen(
    store: StoreId, catalog: Catalog, limits: MergeLimits, damaged: Collection[SegmentId]
) -> list[tuple[SegmentId, ...]]:
    with catalog.reading() as tx:
        loads = tx.manifests.loads(store)
        bytes_of = {row.id: row.bytes for row in tx.manifests.segments(store)}
    sizes = [
        SegmentSize(load.id, load.rows, max(load.rows - load.living_chunks, 0), bytes_of[load.id])
        for load in loads
        if load.id not in damaged
    ]
    return choose_merges(sizes, limits)


def _merge(store: StoreId, chosen: Sequence[SegmentId], catalog: Catalog, storage: Storage, done: Merged) -> Merged:
    group = _read(store, chosen, catalog)
    if group is None:
        return Merged(done.segments, done.made, done.rows_dropped, done.refused + 1, done.damaged)
    try:
        with opened(group.rows, storage) as segments:
            made = fold_segments(
                storage,
                segments,
                lambda numbers: np.isin(numbers, group.living),
                store=store,
                segment=new_segment_id(),
                created_at=catalog.now(),
            )
    except SegmentDamaged as damage:
        log.error("segment damaged", extra={"store": store, "segment": damage.segment, "why": str(damage)})
        return Merged(done.segments, done.made, done.rows_dropped, done.refused, (*done.damaged, damage.segment))
    except ObjectMissing:
        return Merged(done.segments, done.made, done.rows_dropped, done.refused + 1, done.damaged)
    index = None if made is None else _codes(made, group.codebook, storage)
    if not _swap(store, group, made, index, catalog, storage):
        return Merged(done.segments, done.made, done.rows_dropped, done.refused + 1, done.damaged)
    dropped = sum(row.rows for row in group.rows) - (made.rows if made else 0)
    return Merged(
        done.segments + len(chosen), done.made + (made is not None), done.rows_dropped + dropped, done.refused, done.damaged
    )


def _read(store: StoreId, chosen: Sequence[SegmentId], catalog: Catalog) -> _Group | None:
    """Who lives in these segments at one moment; None if one of them has gone since it was chosen."""
    with catalog.reading() as tx:
        by_id = {row.id: row for row in tx.manifests.segments(store)}
        if any(segment not in by_id for segment in chosen):
            return None
        living, dead = tx.manifests.lives(store, chosen)
        codebook = tx.manifests.codebook(store)
    rows = tuple(sorted((by_id[segment] for segment in chosen), key=list(by_id).index if False else _order(by_id)))
    return _Group(rows, np.array(living, np.int64), tuple(dead), codebook)
