"""Sweeping: what was left behind on purpose goes when nobody can need it, and what nobody knows goes much later.

Every sweep may die anywhere and may run beside its twin: it then only repeats itself. None holds a list of all
objects; each step takes a few hundred rows or a few thousand names at a time.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from retrieval import audit
from retrieval.archive.exporting import release
from retrieval.catalog.kept_answers import KEPT_SECONDS
from retrieval.catalog.transaction import Catalog, Transaction
from retrieval.errors import NotFound
from retrieval.ids import StoreId
from retrieval.index.files import INDEXES, codebook_name, codes_name, indexed_by
from retrieval.segments.layout import SEGMENTS, segment_name, segment_of
from retrieval.storage.blobs import Blobs
from retrieval.storage.objects import Storage

AT_ONCE: Final = 500  # rows of one transaction
LISTED_AT_ONCE: Final = 2_000

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Grace:
    """How long things stay. No reader needs as long to open what its manifest names; no request and no worker needs
    as long from storing bytes to naming them in a row."""

    removed_seconds: int = 15 * 60  # files of merged segments and replaced indexes, blobs of deleted files
    unknown_seconds: int = 24 * 3600  # objects that no row names
    departed_seconds: int = 24 * 3600  # where deleted rows stood in lists


@dataclass(frozen=True, slots=True)
class Expired:
    uploads: int = 0
    files: int = 0
    stores: int = 0
    store_rows: int = 0  # of deleted and expired stores
    documents: int = 0  # dead, and in no segment any more
    departed: int = 0
    editions: int = 0  # that were kept for a rollback, and whose time is over
    edition_documents: int = 0  # of editions that were given up
    kept_answers: int = 0  # to requests that may come again


@dataclass(frozen=True, slots=True)
class Swept:
    segments: int = 0
    indexes: int = 0
    codebooks: int = 0
    blobs: int = 0
    parts: int = 0
    exports: int = 0  # that nobody downloads any more
    leftovers: int = 0  # of writers that died; by `Storage.sweep`, which walks all folders


def expire(catalog: Catalog, now: int, grace: Grace | None = None) -> Expired:
    """End everything whose time is over. Rows only: their objects are for `sweep_removed`."""
    departed = now - (grace or Grace()).departed_seconds
    with catalog.transaction() as tx:
        uploads = tx.uploads.expire(now)
    files, stores = _expire_files(catalog, now), _expire_stores(catalog, now)
    return Expired(
        uploads,
        files,
        stores,
        sum(
            _until_none(catalog, lambda tx, store=store: tx.sweeps.purge_store(store, AT_ONCE, now))  # type: ignore[misc]
            for store in _listed(catalog, lambda tx: tx.stores.purgeable(AT_ONCE))
        ),
        sum(
            _until_none(catalog, lambda tx, store=store: tx.sweeps.purge_documents(store, AT_ONCE))  # type: ignore[misc]
            for store in _listed(catalog, lambda tx: tx.sweeps.stores_with_dead_documents(AT_ONCE))
        ),
        _until_none(catalog, lambda tx: tx.sweeps.forget_departed(departed, AT_ONCE)),
        _settle_editions(catalog, now),
        sum(
            _until_none(catalog, lambda tx, reindex=reindex: tx.reindexes.purge(reindex, AT_ONCE))  # type: ignore[misc]
            for reindex in _listed(catalog, lambda tx: tx.reindexes.dropping(AT_ONCE))
        ),
        _until_none(catalog, lambda tx: tx.kept_answers.forget(now - KEPT_SECONDS, AT_ONCE)),
    )


def sweep_removed(catalog: Catalog, storage: Storage, now: int, grace: Grace | None = None) -> Swept:
    """Objects whose rows say that they may go, once nobody can be reading them."""
    before = now - (grace or Grace()).removed_seconds
    exports = _sweep_exports(catalog, storage, now)
    indexes = _sweep_indexes(catalog, storage, before, now)  # first: a segment's row takes those of its indexes with it
    return Swept(
        _sweep_segments(catalog, storage, before, now),
        indexes,
        _sweep_codebooks(catalog, storage, before, now),
        _sweep_blobs(catalog, storage, before, now),
        _sweep_parts(catalog, storage),
        exports,
    )


def sweep_unknown(catalog: Catalog, storage: Storage, now: int, grace: Grace | None = None) -> int:
    """Objects that no row knows, left by writers that died before their commit; how many went."""
    before, blobs = now - (grace or Grace()).unknown_seconds, Blobs(storage)
    uploaded = [(stored for _, stored in blobs.list()), (stored for _, _, stored in blobs.list_parts())]
    derived = [storage.list(SEGMENTS), storage.list(INDEXES)]
    swept = 0
    for listing, unknown in [(one, _unknown_uploads) for one in uploaded] + [
        (one, _unknown_derived) for one in derived
    ]:
        old = (stored.name for stored in listing if stored.modified_at <= before)
        for names in _some(old, LISTED_AT_ONCE):
            swept += _delete(storage, unknown(catalog, names))
    return swept


# Rows


def _expire_files(catalog: Catalog, now: int) -> int:
    """One file a transaction, so that no two wait for each other's stores."""
    expired = 0
    while files := _listed(catalog, lambda tx: tx.files.expired(now, AT_ONCE)):
        for file in files:
            try:
                with catalog.transaction() as tx:
                    left = tx.files.delete(file.project_id, file.id, now)
            except NotFound:
                continue  # somebody else deleted it
            expired += 1
            audit.purged(
                audit.FILE_PURGED, "expires_after", project=file.project_id, file=file.id, stores=" ".join(left) or None
            )
    return expired


def _expire_stores(catalog: Catalog, now: int) -> int:
    expired = 0
    while stores := _listed(catalog, lambda tx: tx.stores.expiring(now, AT_ONCE)):
        for store in stores:
            with catalog.transaction() as tx:
                row = tx.stores.expire(store, now)
            if row is not None:
                expired += 1
                audit.purged(
                    audit.STORE_PURGED,
                    "expires_after",
                    project=row.project_id,
                    store=row.id,
                    files=row.counts.total,
                    last_active_at=row.last_active_at,
                )
    return expired


def _settle_editions(catalog: Catalog, now: int) -> int:
    settled = 0
    for reindex in _listed(catalog, lambda tx: tx.reindexes.kept_too_long(now, AT_ONCE)):
        with catalog.transaction() as tx:
            settled += tx.reindexes.settle_kept(reindex, now)
    return settled


def _listed(catalog: Catalog, ask: Callable[[Transaction], tuple[Item, ...]]) -> tuple[Item, ...]:
    with catalog.reading() as tx:
        return ask(tx)


def _until_none(catalog: Catalog, act: Callable[[Transaction], int]) -> int:
    """A slice a transaction, so that writers never wait for long; how many in all."""
    total = 0
    while True:
        with catalog.transaction() as tx:
            done = act(tx)
        total += done
        if not done:
            return total


# Objects that rows give free: files before rows, for the rows are what they are found by


def _sweep_segments(catalog: Catalog, storage: Storage, before: int, now: int) -> int:
    swept = 0
    while rows := _listed(catalog, lambda tx: tx.sweeps.removed_segments(before, AT_ONCE, now)):
        for row in rows:
            storage.delete(segment_name(row.store_id, row.id))
        with catalog.transaction() as tx:
            swept += sum([tx.sweeps.forget_segment(row.id) for row in rows])
    return swept


def _sweep_indexes(catalog: Catalog, storage: Storage, before: int, now: int) -> int:
    swept = 0
    while rows := _listed(catalog, lambda tx: tx.sweeps.removed_indexes(before, AT_ONCE, now)):
        for row in rows:
            storage.delete(codes_name(row.store_id, row.segment_id, row.codebook))
        with catalog.transaction() as tx:
            swept += sum([tx.sweeps.forget_index(row) for row in rows])
    return swept


def _sweep_codebooks(catalog: Catalog, storage: Storage, before: int, now: int) -> int:
    swept = 0
    while rows := _listed(catalog, lambda tx: tx.sweeps.removed_codebooks(before, AT_ONCE, now)):
        for row in rows:
            storage.delete(codebook_name(row.store_id, row.version))
        with catalog.transaction() as tx:
            swept += sum([tx.sweeps.forget_codebook(row) for row in rows])
    return swept


# Uploaded bytes: rows before files, for an equal file may still adopt a blob. Who dies between leaves an unknown object


def _sweep_blobs(catalog: Catalog, storage: Storage, before: int, now: int) -> int:
    swept = 0
    while rows := _listed(catalog, lambda tx: tx.files.orphaned_blobs(before, AT_ONCE, now)):
        for row in rows:
            with catalog.transaction() as tx:
                free = tx.files.forget_blob(row)
            swept += _delete(storage, [row.name] if free else [])
    return swept


def _sweep_parts(catalog: Catalog, storage: Storage) -> int:
    swept = 0
    while rows := _listed(catalog, lambda tx: tx.uploads.disposable_parts(AT_ONCE)):
        with catalog.transaction() as tx:
            swept += tx.uploads.forget_parts([row.id for row in rows])
        _delete(storage, [row.blob for row in rows])
    return swept


def _sweep_exports(catalog: Catalog, storage: Storage, now: int) -> int:
    swept = 0
    while rows := _listed(catalog, lambda tx: tx.holds.over(now, AT_ONCE)):
        for row in rows:
            release(catalog, storage, row)
        swept += len(rows)
    return swept


# Objects that nobody knows


def _unknown_uploads(catalog: Catalog, names: Iterable[str]) -> frozenset[str]:
    with catalog.reading() as tx:
        return tx.files.unknown_blobs(frozenset(names))


def _unknown_derived(catalog: Catalog, names: Iterable[str]) -> list[str]:
    """Segments and index files without a row. A name that is not one of ours is left alone."""
    of_store: dict[StoreId, list[str]] = {}
    for name in names:
        owner = segment_of(name) or indexed_by(name)
        if owner is not None:
            of_store.setdefault(owner[0], []).append(name)
    unknown = []
    for store, mine in of_store.items():
        with catalog.reading() as tx:
            known = {segment_name(store, segment) for segment in tx.sweeps.known_segments(store)}
            known |= {codes_name(store, segment, version) for segment, version in tx.sweeps.known_indexes(store)}
            known |= {codebook_name(store, version) for version in tx.sweeps.known_codebooks(store)}
        unknown += [name for name in mine if name not in known]
    return unknown


def _delete(storage: Storage, names: Iterable[str]) -> int:
    deleted = 0
    for name in names:
        storage.delete(name)
        deleted += 1
    return deleted


def _some(items: Iterator[Item], most: int) -> Iterator[list[Item]]:
    while some := list(islice(items, most)):
        yield some
