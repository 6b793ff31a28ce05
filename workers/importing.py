"""Importing: an uploaded archive becomes a store, whole or not at all.

Every name that an import gives is made of its own id and of what it names, so that an attempt finds what an earlier
one has put in place. Objects come first, each looked at before it counts; one transaction then makes everything
visible and settles the import. An archive that is refused leaves nothing: what was put in place for it goes again.
"""

import hashlib
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Final

from ingest.errors import ModelMissing
from retrieval.archive.errors import ArchiveRefused
from retrieval.archive.listing import Listing, files_of, read_listing
from retrieval.archive.reading import Archive, Span
from retrieval.catalog.moving_rows import ImportRow, MovedFile, MovedStore, ReceivedStore
from retrieval.catalog.rows import CodebookRow, FileStatus, IndexRow, SegmentRow
from retrieval.errors import CallerError, IndexDamaged, LeaseLost, NotFound, ObjectExists, SegmentDamaged
from retrieval.ids import FileId, LeaseToken, SegmentId
from retrieval.index.files import codebook_name, codes_name, index_checksum, write_index
from retrieval.index.vectors import SMALL_ROWS, Codebook, encode_segment, load_codebook
from retrieval.segments.checking import check_content, check_head
from retrieval.segments.layout import HEAD_BYTES, VECTORS, head_checksum, segment_name
from retrieval.segments.renaming import renamed
from retrieval.segments.tensors import MappedTensors
from retrieval.storage.blobs import BLOBS
from retrieval.storage.objects import put
from workers.leases import ImportKeeper
from workers.resources import WorkerResources

COPIED_AT_ONCE: Final = 16  # files: most of their time is waiting for the disk
SEGMENTS_AT_ONCE: Final = 2  # one is looked at while another waits for the disk

log = logging.getLogger(__name__)


class Import:
    """One attempt at one import."""

    def __init__(self, row: ImportRow, keeper: ImportKeeper, resources: WorkerResources) -> None:
        assert row.token is not None
        self._row = row
        self._token: LeaseToken = row.token
        self._keeper = keeper
        self._resources = resources
        self._made: set[str] = set()  # objects that this import has put in place, by this attempt or an earlier one
        self._again = row.model is not None
        self._in_vain = threading.Event()  # another part of the archive was refused

    def run(self) -> int:
        """How many files are to be ingested here; `CallerError` where the archive cannot become a store."""
        with self._resources.catalog.reading() as tx:
            blob = tx.files.get(self._row.project_id, self._row.file_id).blob
        with self._resources.storage.local(blob) as path, Archive(path) as archive:
            try:
                return self._take(archive)
            except (SegmentDamaged, IndexDamaged) as error:
                self._take_back()
                raise ArchiveRefused(f"The archive is damaged or foreign: {error}") from error
            except CallerError:
                self._take_back()
                raise

    def _take(self, archive: Archive) -> int:
        names = [self._segment_id(number) for number in range(len(archive.manifest.segments))]
        listing = read_listing(archive, names)
        store = self._named(archive.manifest.store)
        self._check_model(store)
        if self._is_here(archive, store):
            with self._resources.catalog.transaction() as tx:
                now = self._resources.now()
                tx.imports.complete(self._token, store.id, files=archive.manifest.files, unchanged=True, now=now)
            return 0
        with ThreadPoolExecutor(1) as aside:  # small files wait for the disk, while vectors are coded
            copying = aside.submit(self._copy_blobs, archive, listing)
            try:
                segments, book, indexes = self._derived(archive, listing, store, names)
            except BaseException:
                self._in_vain.set()
                raise
            blobs = copying.result()
        return self._publish(archive, ReceivedStore(store, segments, book), indexes, blobs, names, listing)

    # Names

    def _made_of(self, kind: str, what: str) -> str:
        return hashlib.sha256(f"{self._row.id}/{kind}/{what}".encode()).hexdigest()[:24]

    def _segment_id(self, number: int) -> SegmentId:
        return SegmentId(f"seg_{self._made_of('segment', str(number))}")

    def _blob_name(self, sha256: str) -> str:
        made = self._made_of("blob", sha256)
        return f"{BLOBS}/{self._row.project_id}/{made[-2:]}/blob_{made}"

    def _file_id(self, file: FileId) -> FileId:
        return file if self._row.keep_ids else FileId(f"file-{self._made_of('file', file)}")

    def _named(self, store: MovedStore) -> MovedStore:
        named = store if self._row.name is None else replace(store, name=self._row.name)
        if self._row.store_id is not None and not self._row.keep_ids:
            named = replace(named, id=self._row.store_id)
        if self._row.model is None:
            return named
        spec = self._resources.embedder_of(self._row.model).spec
        return replace(named, model=self._row.model, width=spec.width)

    def _check_model(self, store: MovedStore) -> None:
        """Vectors are worth something only beside those that questions get here."""
        try:
            spec = self._resources.embedder_of(store.model).spec
        except ModelMissing:
            spec = None
        if spec is None or (spec.name, spec.width) != (store.model, store.width):
            raise ArchiveRefused(
                f"The archive's vectors are of the model '{store.model}' ({store.width} dimensions), which this server "
                "does not have: import it with 'embedding_model' to embed it anew."
            )

    # What is here already

    def _is_here(self, archive: Archive, store: MovedStore) -> bool:
        """Whether the very store is in the project already, so that nothing is to be done. Another store of its id
        refuses the import: whose it is, is not told."""
        with self._resources.catalog.reading() as tx:
            owner = tx.moving.taken(store.id)
            if owner is None:
                return False
            same = False
            with suppress(NotFound):
                if owner == self._row.project_id:
                    there = tx.moving.store(owner, store.id)
                    same = (there.model, there.width) == (store.model, store.width) and self._same_files(
                        archive, tx.moving.files(store.id)
                    )
        if not same:
            raise ArchiveRefused(
                f"The id {store.id} is taken by a vector store that is not the same: import with new ids, "
                "or delete that store and wait for half an hour."
            )
        return True

    def _same_files(self, archive: Archive, there: Iterator[MovedFile]) -> bool:
        names = [self._segment_id(number) for number in range(len(archive.manifest.segments))]
        for file in files_of(archive, names):
            if _likeness(file) != _likeness(next(there, None)):
                return False
        return next(there, None) is None

    # Objects

    def _derived(
        self, archive: Archive, listing: Listing, store: MovedStore, names: list[SegmentId]
    ) -> tuple[tuple[SegmentRow, ...], CodebookRow | None, list[IndexRow]]:
        """Segments, codebook and codes. They are looked at even where they are not wanted: an archive is right as a
        whole."""
        target = archive.manifest.store if self._again else store
        target = replace(target, id=store.id)
        book = self._codebook(archive, target)

        def copied(number: int) -> tuple[SegmentRow, IndexRow | None]:
            segment = self._copy_segment(archive, number, target, names[number], listing.chunks[number])
            coded = book is not None and book[0].candidates and segment.rows >= SMALL_ROWS and not self._again
            return segment, self._code(segment, book[1]) if coded and book is not None else None

        with ThreadPoolExecutor(SEGMENTS_AT_ONCE) as pool:
            made = list(pool.map(copied, range(len(names))))
        if self._again:
            self._take_back(blobs=False)
            return (), None, []
        indexes = [index for _, index in made if index is not None]
        return tuple(segment for segment, _ in made), None if book is None else book[0], indexes

    def _copy_segment(
        self, archive: Archive, number: int, store: MovedStore, name: SegmentId, chunks: dict[int, int]
    ) -> SegmentRow:
        entry, span = archive.manifest.segments[number], archive.segments[number]
        given = SegmentRow(name, store.id, entry.rows, store.width, entry.bytes, entry.head, entry.created_at)
        head = archive.content(Span(span.start, min(HEAD_BYTES, span.bytes)))
        if head_checksum(head) != entry.head or len(head) != HEAD_BYTES:
            raise SegmentDamaged(name, "its head has another checksum than the manifest says")
        check_head(head, given)
        row, pieces = renamed(given, head, archive.pieces(span, HEAD_BYTES), store.id, name)
        stored = segment_name(store.id, name)
        self._put(stored, pieces, span.bytes)
        with self._resources.storage.local(stored) as path:
            file = MappedTensors(row, path)
            try:
                check_content(file, row, chunks)
            finally:
                file.close()
        return row

    def _codebook(self, archive: Archive, store: MovedStore) -> tuple[CodebookRow, Codebook] | None:
        entry = archive.manifest.codebook
        if entry is None or archive.codebook is None:
            return None
        content = archive.content(archive.codebook)
        if index_checksum(content) != entry.checksum:
            raise IndexDamaged("the codebook has another checksum than the manifest says")
        book = load_codebook(content)
        if (book.version, book.width) != (entry.version, store.width):
            raise IndexDamaged("the codebook is not of this store")
        stored = codebook_name(store.id, book.version)
        self._put(stored, iter([content]), len(content))
        row = CodebookRow(
            store_id=store.id,
            version=book.version,
            trained_rows=entry.trained_rows,
            measured_rows=entry.measured_rows,
            candidates=entry.candidates,
            probes=entry.probes,
            recall=entry.recall,
            bytes=entry.bytes,
            checksum=entry.checksum,
        )
        return row, book

    def _code(self, segment: SegmentRow, book: Codebook) -> IndexRow:
        """A segment's codes, made anew: they follow from vectors and codebook, and need not be trusted."""
        stored = codes_name(segment.store_id, segment.id, book.version)
        self._made.add(stored)
        with self._resources.storage.local(segment_name(segment.store_id, segment.id)) as path:
            file = MappedTensors(segment, path)
            codes = encode_segment(book, file.check_tensor(VECTORS))
        size, checksum = write_index(self._resources.storage, stored, codes.as_bytes())
        return IndexRow(segment.id, book.version, size, checksum)

    def _copy_blobs(self, archive: Archive, listing: Listing) -> dict[str, str]:
        """By hash, the object that holds the bytes; those that the project has are only looked at."""
        with self._resources.catalog.reading() as tx:
            here = tx.moving.known_hashes(self._row.project_id, list(listing.hashes))
        names = {sha256: "" if sha256 in here else self._blob_name(sha256) for sha256 in listing.hashes}
        with ThreadPoolExecutor(COPIED_AT_ONCE) as pool:
            for _ in pool.map(lambda one: self._copy_blob(archive, *one), names.items()):
                self._keeper.check()
        return names

    def _copy_blob(self, archive: Archive, sha256: str, stored: str) -> None:
        span, digest = archive.blobs[sha256], hashlib.sha256()
        if self._in_vain.is_set():
            return

        def pieces() -> Iterator[bytes]:
            for piece in archive.pieces(span):
                digest.update(piece)
                yield piece
            if digest.hexdigest() != sha256:
                raise ArchiveRefused(f"The archive is damaged: a file has another hash than {sha256}.")

        if stored:
            self._put(stored, pieces(), span.bytes)
        else:
            for _ in pieces():
                pass
            self._keeper.done(span.bytes)

    def _put(self, stored: str, pieces: Iterator[bytes], size: int) -> None:
        """An object under a name that only these bytes can have; an earlier attempt may have made it whole."""
        self._made.add(stored)
        self._keeper.check()
        if not self._resources.storage.exists(stored):
            with suppress(ObjectExists):
                put(self._resources.storage, stored, pieces)
        else:
            for _ in pieces:  # what was checked as it was written is checked again
                pass
        self._keeper.done(size)

    def _take_back(self, *, blobs: bool = True) -> None:
        """Remove what was put in place."""
        for stored in sorted(self._made):
            if blobs or not stored.startswith(f"{BLOBS}/"):
                self._resources.storage.delete(stored)
                self._made.discard(stored)

    # Visible, all at once

    def _publish(
        self,
        archive: Archive,
        received: ReceivedStore,
        indexes: list[IndexRow],
        blobs: dict[str, str],
        names: list[SegmentId],
        listing: Listing,
    ) -> int:
        files = (self._arriving(file, blobs) for file in files_of(archive, names))
        catalog = self._resources.catalog
        now = catalog.now()
        with catalog.transaction() as tx:
            if not tx.imports.renew(self._token, self._row.bytes, now, self._keeper.lease_seconds):
                raise LeaseLost(f"import {self._row.id} was taken over by another worker")
            arrived = tx.moving.receive(self._row.project_id, received, files, listing.bytes, now)
            for index in indexes:
                tx.manifests.add_index(received.store.id, index)
            tx.imports.complete(self._token, received.store.id, files=arrived.files, unchanged=False, now=now)
        for spare in arrived.spare:
            self._resources.storage.delete(spare)
        log.info("store imported", extra={"store": received.store.id, "import": self._row.id, "files": arrived.files})
        return arrived.waiting

    def _arriving(self, file: MovedFile, blobs: dict[str, str]) -> MovedFile:
        named = replace(file, id=self._file_id(file.id), blob=blobs[file.sha256])
        if not self._again:
            return named
        waiting = file.status is FileStatus.COMPLETED or file.document is not None
        status = FileStatus.IN_PROGRESS if waiting else file.status
        return replace(named, document=None, status=status, settled_at=None if waiting else file.settled_at)


def _likeness(file: MovedFile | None) -> object:
    """What must be equal for a file of a store to count as the same."""
    if file is None:
        return None
    chunks = file.document.chunks if file.document else 0
    return file.id, file.sha256, file.filename, file.status, dict(file.attributes or {}), file.chunking, chunks
