"""Exporting: a store at one generation as an archive that can be downloaded, in pieces and again, while writes go on.

A hold keeps what the archive names from the sweeper. What is small (manifest, list of files) and segments without
their dead rows are objects of the export; whole segments and uploaded bytes are read from where they lie. The plan
says which object stands where, so that any range of the archive can be sent at any time, the same bytes every time.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import numpy as np

from retrieval.archive import layout
from retrieval.archive.layout import ArchiveManifest, CodebookEntry, SegmentEntry
from retrieval.archive.members import END, Member, header, padding, whole
from retrieval.catalog.moving_rows import HoldRow, MovedStore
from retrieval.catalog.rows import CodebookRow, SegmentLoad, SegmentRow
from retrieval.catalog.transaction import Catalog, Transaction
from retrieval.errors import NotAllowedNow, ObjectMissing
from retrieval.ids import HoldId, ProjectId, SegmentId, StoreId, new_export_id
from retrieval.index.files import codebook_name
from retrieval.segments.folding import fold_segments
from retrieval.segments.layout import segment_name
from retrieval.segments.reader import open_all
from retrieval.storage.objects import Storage, put

EXPORTS: Final = "exports"
PIECE_BYTES: Final = 1 << 20
PLAN: Final = "plan"
RENEWED_BYTES: Final = 64 << 20


@dataclass(frozen=True, slots=True)
class Placed:
    """One member of the archive and the object that holds its bytes."""

    member: Member
    stored: str


@dataclass(frozen=True, slots=True)
class _View:
    """A store at one generation, as far as it is not listed in the export's own objects."""

    store: MovedStore
    segments: tuple[SegmentRow, ...]
    loads: Mapping[SegmentId, SegmentLoad]
    living: tuple[int, ...]  # documents of segments that hold dead rows too
    codebook: CodebookRow | None
    files: "_Listed"


@dataclass(slots=True)
class _Listed:
    """What was written into the list of files on the way."""

    count: int = 0
    chunks: int = 0
    bytes: int = 0
    sha256: str = ""
    blobs: dict[str, tuple[str, int]] | None = None  # by hash, in the order of first mention


def folder(hold: HoldRow) -> str:
    return f"{EXPORTS}/{hold.project_id}/{hold.id}"


def begin_export(catalog: Catalog, storage: Storage, project: ProjectId, store: StoreId) -> HoldRow:
    """Hold a store and lay out its archive; what is downloaded later is the store of this moment."""
    with catalog.transaction() as tx:
        tx.moving.store(project, store)  # says if it is not there
        hold = tx.holds.add(new_export_id(), project, store, catalog.now())
    try:
        return _lay_out(catalog, storage, hold, project, store)
    except BaseException:
        release(catalog, storage, hold)
        raise


def release(catalog: Catalog, storage: Storage, hold: HoldRow) -> None:
    """End a hold and remove what was made for it; objects first, for the row is what they are found by."""
    if hold.project_id is not None:
        for stored in list(storage.list(folder(hold))):
            storage.delete(stored.name)
    with catalog.transaction() as tx:
        tx.holds.release(hold.id)


def _lay_out(catalog: Catalog, storage: Storage, hold: HoldRow, project: ProjectId, store: StoreId) -> HoldRow:
    view = _read(catalog, storage, hold, project, store)
    placed, entries = _segments(catalog, storage, hold, view)
    now = catalog.now()
    blobs = view.files.blobs or {}
    manifest = layout.encode_manifest(
        ArchiveManifest(
            created_at=now,
            store=view.store,
            files=view.files.count,
            files_bytes=view.files.bytes,
            files_sha256=view.files.sha256,
            segments=tuple(entries),
            codebook=_codebook_entry(view.codebook),
            blobs=len(blobs),
            blobs_bytes=sum(size for _, size in blobs.values()),
        )
    )
    digest = hashlib.sha256(manifest).hexdigest()
    first = [
        _own(storage, hold, layout.MANIFEST, manifest),
        _own(storage, hold, layout.MANIFEST_SUM, f"{digest}  {layout.MANIFEST}\n".encode()),
        Placed(Member(layout.FILES, view.files.bytes), f"{folder(hold)}/{layout.FILES}"),
    ]
    if view.codebook is not None:
        stored = codebook_name(store, view.codebook.version)
        first.append(Placed(Member(layout.CODEBOOK, view.codebook.bytes), stored))
    last = (Placed(Member(layout.blob_member(sha256), size), stored) for sha256, (stored, size) in blobs.items())
    total = _write_plan(storage, hold, (*first, *placed), last)
    with catalog.transaction() as tx:
        described = tx.holds.describe(
            hold.id,
            generation=view.store.generation,
            size=total,
            files=view.files.count,
            chunks=view.files.chunks,
            etag=digest,
        )
        if not described:
            raise NotAllowedNow(f"The export of {store} took longer than it may be held.", param="vector_store_id")
        return tx.holds.get(project, store, hold.id, now)


def _own(storage: Storage, hold: HoldRow, name: str, content: bytes) -> Placed:
    stored = f"{folder(hold)}/{name}"
    put(storage, stored, [content])
    return Placed(Member(name, len(content)), stored)


# The store at one generation


def _read(catalog: Catalog, storage: Storage, hold: HoldRow, project: ProjectId, store: StoreId) -> _View:
    """Everything by one view of the catalog; the list of files goes to storage as it is read."""
    with catalog.reading() as tx, storage.draft() as draft:
        moved = tx.moving.store(project, store)
        segments = tx.manifests.segments(store)
        loads = {load.id: load for load in tx.manifests.loads(store)}
        mixed = [load.id for load in loads.values() if 0 < load.living_chunks < load.rows]
        living, _ = tx.manifests.lives(store, mixed) if mixed else ([], [])
        kept = [row for row in segments if loads[row.id].living_chunks]
        numbers = {row.id: number for number, row in enumerate(kept, 1)}
        listed = _list_files(tx, store, numbers, draft.write)
        codebook = tx.manifests.codebook(store)
        draft.create(f"{folder(hold)}/{layout.FILES}")
    return _View(moved, tuple(kept), loads, tuple(living), codebook, listed)


def _list_files(
    tx: Transaction, store: StoreId, numbers: Mapping[SegmentId, int], write: Callable[[bytes], None]
) -> _Listed:
    listed, digest = _Listed(blobs={}), hashlib.sha256()
    assert listed.blobs is not None
    waiting = bytearray()
    for file in tx.moving.files(store):
        listed.count += 1
        listed.chunks += file.document.chunks if file.document else 0
        listed.blobs.setdefault(file.sha256, (file.blob, file.bytes))
        waiting += layout.encode_file(file, numbers)
        if len(waiting) >= PIECE_BYTES:
            digest.update(waiting)
            write(bytes(waiting))
            listed.bytes += len(waiting)
            waiting.clear()
    digest.update(waiting)
    write(bytes(waiting))
    listed.bytes += len(waiting)
    listed.sha256 = digest.hexdigest()
    return listed


def _segments(
    catalog: Catalog, storage: Storage, hold: HoldRow, view: _View
) -> tuple[list[Placed], list[SegmentEntry]]:
    """Segments as they lie; one that holds dead rows is copied without them: what was deleted does not travel."""
    placed, entries = [], []
    living = np.array(sorted(view.living), np.int64)
    for number, segment in enumerate(view.segments, 1):
        member = layout.segment_member(number)
        row, stored = segment, segment_name(segment.store_id, segment.id)
        if view.loads[row.id].living_chunks < row.rows:
            stored = f"{folder(hold)}/{member}"
            with catalog.transaction() as tx:
                tx.holds.renew(hold.id, catalog.now())
            row = _without_the_dead(storage, segment, living, stored)
        placed.append(Placed(Member(member, row.bytes), stored))
        entries.append(SegmentEntry(row.rows, row.bytes, row.checksum, row.created_at))
    return placed, entries


def _without_the_dead(storage: Storage, segment: SegmentRow, living: np.ndarray, stored: str) -> SegmentRow:
    with open_all(storage, [segment]) as segments:
        folded = fold_segments(
            storage,
            segments,
            lambda numbers: np.isin(numbers, living),
            store=segment.store_id,
            segment=segment.id,
            created_at=segment.created_at,
            name=stored,
        )
    assert folded is not None, "a segment with living chunks has rows to keep"
    return folded


def _codebook_entry(book: CodebookRow | None) -> CodebookEntry | None:
    if book is None:
        return None
    return CodebookEntry(
        version=book.version,
        trained_rows=book.trained_rows,
        measured_rows=book.measured_rows,
        candidates=book.candidates,
        probes=book.probes,
        recall=book.recall,
        bytes=book.bytes,
        checksum=book.checksum,
    )


# The plan, and the archive that it describes


def _write_plan(storage: Storage, hold: HoldRow, first: Sequence[Placed], last: Iterator[Placed]) -> int:
    """How long the archive is."""
    total = 0

    def lines() -> Iterator[bytes]:
        nonlocal total
        for some in (first, last):
            for one in some:
                total += whole(one.member.bytes)
                yield json.dumps([one.member.name, one.member.bytes, one.stored]).encode() + b"\n"

    put(storage, f"{folder(hold)}/{PLAN}", lines())
    return total + len(END)


def _plan(storage: Storage, hold: HoldRow) -> Iterator[Placed]:
    rest = b""
    for piece in storage.read(f"{folder(hold)}/{PLAN}"):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            name, size, stored = json.loads(line)
            yield Placed(Member(name, size), stored)


def pieces(
    storage: Storage, hold: HoldRow, start: int, stop: int, *, renew: Callable[[], None] | None = None
) -> Iterator[bytes]:
    """Bytes [start, stop) of the archive; `renew` is called now and then."""
    waiting = bytearray()
    since = 0
    for piece in _parts(storage, hold, start, stop):
        since += len(piece)
        if len(piece) >= PIECE_BYTES and not waiting:
            yield piece
        else:
            waiting += piece
            if len(waiting) >= PIECE_BYTES:
                yield bytes(waiting)
                waiting.clear()
        if renew is not None and since >= RENEWED_BYTES:
            renew()
            since = 0
    if waiting:
        yield bytes(waiting)


def _parts(storage: Storage, hold: HoldRow, start: int, stop: int) -> Iterator[bytes]:
    at = 0
    for one in _plan(storage, hold):
        end = at + whole(one.member.bytes)
        if end > start and at < stop:
            yield from _member_parts(storage, one, max(start - at, 0), min(stop, end) - at)
        at = end
        if at >= stop:
            return
    yield END[max(start - at, 0) : stop - at]


def _member_parts(storage: Storage, one: Placed, start: int, stop: int) -> Iterator[bytes]:
    """Bytes [start, stop) of a member with its header and padding."""
    head, size = header(one.member), one.member.bytes
    if start < len(head):
        yield head[start:stop]
    begin, end = max(start - len(head), 0), min(stop - len(head), size)
    if begin < end:
        sent = 0
        for piece in storage.read(one.stored, begin, end):
            sent += len(piece)
            yield piece
        if sent != end - begin:
            raise ObjectMissing(f"{one.stored}: is shorter than its row says")
    left = max(start - len(head) - size, 0)
    tail = stop - len(head) - size - left
    if tail > 0:
        yield bytes(padding(size))[left : left + tail]


def read_export(catalog: Catalog, project: ProjectId, store: StoreId, export: HoldId) -> HoldRow:
    """The export, held for another while."""
    now = catalog.now()
    with catalog.transaction() as tx:
        tx.holds.get(project, store, export, now)
        tx.holds.renew(export, now)
        return tx.holds.get(project, store, export, now)


def renewer(catalog: Catalog, hold: HoldRow) -> Callable[[], None]:
    def renew() -> None:
        with suppress(NotAllowedNow), catalog.transaction() as tx:
            tx.holds.renew(hold.id, catalog.now())

    return renew
