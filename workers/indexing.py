"""Indexing: give a store codes when it is large enough, and keep them complete, measured and whole.

Everything made here is derived. A search without it is slower and just as right, so any step may be cut off or done
twice: a codebook's version is claimed by creating its file, a segment's codes are the same whoever makes them, and
rows appear only when their files are durable.
"""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from retrieval.catalog.rows import CodebookRow, IndexRow, Manifest
from retrieval.catalog.transaction import Catalog
from retrieval.errors import IndexDamaged, NotFound, ObjectExists, ObjectMissing, SegmentDamaged
from retrieval.ids import SegmentId, StoreId
from retrieval.index.files import (
    codebook_name,
    codes_name,
    index_checksum,
    indexed_by,
    indexes_folder,
    read_codebook,
    read_codes,
    write_index,
)
from retrieval.index.vectors import (
    CODED_FROM,
    SMALL_ROWS,
    SPLIT_FROM,
    TARGET,
    Codebook,
    Effort,
    SegmentCodes,
    SegmentVectors,
    StoreIndex,
    VectorSide,
    calibrate,
    encode_segment,
    index_store,
    train_codebook,
)
from retrieval.segments.layout import segment_name
from retrieval.segments.reader import open_all
from retrieval.storage.objects import Storage, put

MEASURED_AGAIN: Final = 2  # times the rows at the last measurement
TRAINED_AGAIN: Final = 10  # times the rows at training
EVERY_LIST: Final = 1_000
FEWEST_ROWS: Final = 16  # of which nothing can be measured: as many as a small group of dimensions has centroids
FEW_TRAINED: Final = 1_000  # rows for a codebook that only says that codes do not serve

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IndexLimits:
    code_from_rows: int = CODED_FROM
    recall_target: float = TARGET


@dataclass(frozen=True, slots=True)
class Indexed:
    """What was done to a store."""

    trained: bool = False
    coded: int = 0  # segments
    dropped: int = 0  # damaged codes; made anew where their segment is whole
    recall: float | None = None  # if it was measured
    refused: int = 0  # somebody else was quicker, or the segment has been merged
    damaged: SegmentId | None = None  # a segment that cannot be read: nothing could be trained or measured


def index_segments(
    store: StoreId,
    catalog: Catalog,
    storage: Storage,
    limits: IndexLimits | None = None,
    edition: int | None = None,
) -> Indexed:
    """Bring the codes of an edition (None: of the one that searches find) up to what it holds."""
    wanted = limits or IndexLimits()
    manifest = _manifest(store, catalog, edition)
    rows = sum(segment.rows for segment in manifest.segments) if manifest else 0
    if manifest is None or rows < (wanted.code_from_rows if manifest.codebook is None else FEWEST_ROWS):
        return Indexed()
    try:
        return _index(manifest, rows, catalog, storage, wanted)
    except SegmentDamaged as damage:
        log.error("segment damaged", extra={"store": store, "segment": damage.segment, "why": str(damage)})
        storage.forget_local(segment_name(store, damage.segment))
        return Indexed(damaged=damage.segment)
    except ObjectMissing:
        return Indexed(refused=1)  # merged meanwhile; a lost file is the merger's and the searchers' to tell


def _manifest(store: StoreId, catalog: Catalog, edition: int | None) -> Manifest | None:
    """Without documents: their lives do not matter to codes."""
    try:
        generation = catalog.generation(store)
        with catalog.reading() as tx:
            return tx.manifests.read(store, since=generation, edition=edition)
    except NotFound:
        return None


def _index(manifest: Manifest, rows: int, catalog: Catalog, storage: Storage, limits: IndexLimits) -> Indexed:
    row = manifest.codebook
    if row is None or rows >= TRAINED_AGAIN * row.trained_rows or (not row.candidates and _grown(row, rows)):
        return _train(manifest, rows, catalog, storage, limits)
    if not row.candidates:
        return Indexed()
    try:
        book = read_codebook(storage, row.store_id, row.version, row.checksum)
    except IndexDamaged as damage:
        log.warning("codebook damaged", extra={"store": row.store_id, "version": row.version, "why": str(damage)})
        return replace(_train(manifest, rows, catalog, storage, limits), dropped=1)
    done = _code_missing(manifest, book, catalog, storage)
    split = row.probes >= EVERY_LIST and any(segment.rows >= SPLIT_FROM for segment in manifest.segments)
    if not split and not _grown(row, rows):
        return done
    return _measure(row, book, done, catalog, storage, limits, manifest.edition)


def _grown(row: CodebookRow, rows: int) -> bool:
    return rows >= MEASURED_AGAIN * row.measured_rows


def _train(manifest: Manifest, rows: int, catalog: Catalog, storage: Storage, limits: IndexLimits) -> Indexed:
    """A new codebook with codes for every large segment, shown together."""
    store = manifest.store_id
    with catalog.reading() as tx:
        version = max(tx.manifests.next_codebook(store), _free_version(store, storage))
    with open_all(storage, manifest.segments) as segments:
        vectors = [segment.verified_vectors() for segment in segments]
        made = index_store(vectors, version=version, target=limits.recall_target)
        if made is None:
            made = StoreIndex(
                train_codebook(np.ascontiguousarray(vectors[0][:FEW_TRAINED]), version=version),
                (None,) * len(vectors),
                Effort(0, EVERY_LIST, 1.0),
            )
    content = made.codebook.as_bytes()
    try:
        put(storage, codebook_name(store, version), [content])
    except ObjectExists:
        return Indexed(refused=1)
    coded = [
        _written(segment.id, store, codes, storage)
        for segment, codes in zip(manifest.segments, made.codes, strict=True)
        if codes is not None
    ]
    effort, checksum = made.effort, index_checksum(content)
    probes, now = _probes(effort, made.codes), catalog.now()
    book = CodebookRow(store, version, rows, rows, effort.candidates, probes, effort.recall, len(content), checksum)
    with catalog.transaction() as tx:
        shown = tx.manifests.set_codebook(book, coded, now, manifest.edition)
    if not shown:
        for name in (*(codes_name(store, index.segment_id, version) for index in coded), codebook_name(store, version)):
            storage.delete(name)
        return Indexed(refused=1)
    log.info("store coded", extra={"store": store, "rows": rows, "segments": len(coded), "recall": effort.recall})
    return Indexed(trained=True, coded=len(coded), recall=effort.recall)


def _probes(effort: Effort, codes: Iterable[SegmentCodes | None]) -> int:
    """As measured; of a store with split segments never quite all, which says that nothing split was measured."""
    split = any(one is not None and one.split is not None for one in codes)
    return min(effort.probes, EVERY_LIST - 1) if split else effort.probes


def _free_version(store: StoreId, storage: Storage) -> int:
    """Behind every version that left a file, also those whose trainer died: a name has one content only."""
    found = (indexed_by(stored.name) for stored in storage.list(indexes_folder(store)))
    return 1 + max((version for one in found if one for version in one[2:]), default=0)


def _code_missing(manifest: Manifest, book: Codebook, catalog: Catalog, storage: Storage) -> Indexed:
    have = {index.segment_id for index in manifest.indexes}
    coded = refused = 0
    for row in manifest.segments:
        if row.rows < SMALL_ROWS or row.id in have:
            continue
        with open_all(storage, [row]) as [segment]:
            codes = encode_segment(book, segment.verified_vectors())
        index = _written(row.id, row.store_id, codes, storage)
        with catalog.transaction() as tx:
            shown = tx.manifests.add_index(row.store_id, index)
        coded, refused = coded + shown, refused + (not shown)
    return Indexed(coded=coded, refused=refused)


def _written(segment: SegmentId, store: StoreId, codes: SegmentCodes, storage: Storage) -> IndexRow:
    size, checksum = write_index(storage, codes_name(store, segment, codes.codebook), codes.as_bytes())
    return IndexRow(segment, codes.codebook, size, checksum)


def _measure(
    row: CodebookRow,
    book: Codebook,
    done: Indexed,
    catalog: Catalog,
    storage: Storage,
    limits: IndexLimits,
    edition: int,
) -> Indexed:
    """Calibrate anew once the store has grown, or has got its first segment that is split into lists."""
    manifest = _manifest(row.store_id, catalog, edition)
    if manifest is None or manifest.codebook != row:
        return replace(done, refused=done.refused + 1)
    rows = sum(segment.rows for segment in manifest.segments)
    codes, dropped = _readable_codes(manifest, book, catalog, storage)
    if dropped:
        again = _code_missing(_without(manifest, codes), book, catalog, storage)
        return replace(done, coded=done.coded + again.coded, dropped=dropped)  # measured when it is next looked at
    if not _grown(row, rows) and not any(one.split is not None for one in codes.values()):
        return done
    with open_all(storage, manifest.segments) as segments:
        held = [SegmentVectors(one.verified_vectors(), codes.get(one.row.id)) for one in segments]
        side = VectorSide.empty(manifest.width, book).with_segments(held)
        effort = calibrate(side, target=limits.recall_target)
    if not effort.candidates:
        return _train(manifest, rows, catalog, storage, limits)
    with catalog.transaction() as tx:
        kept = tx.manifests.calibrate(
            row.store_id,
            row.version,
            rows=rows,
            candidates=effort.candidates,
            probes=_probes(effort, codes.values()),
            recall=effort.recall,
        )
    return replace(done, recall=effort.recall if kept else None, refused=done.refused + (not kept))


def _readable_codes(
    manifest: Manifest, book: Codebook, catalog: Catalog, storage: Storage
) -> tuple[Mapping[SegmentId, SegmentCodes], int]:
    """The store's codes, and how many were damaged and are dropped now."""
    codes: dict[SegmentId, SegmentCodes] = {}
    dropped = 0
    for index in manifest.indexes:
        try:
            codes[index.segment_id] = read_codes(storage, manifest.store_id, index.segment_id, book, index.checksum)
        except IndexDamaged as damage:
            log.warning("codes damaged", extra={"store": manifest.store_id, "why": str(damage)})
            now = catalog.now()
            with catalog.transaction() as tx:
                dropped += tx.manifests.drop_index(manifest.store_id, index.segment_id, book.version, now)
    return codes, dropped


def _without(manifest: Manifest, codes: Mapping[SegmentId, SegmentCodes]) -> Manifest:
    return replace(manifest, indexes=tuple(index for index in manifest.indexes if index.segment_id in codes))
