"""A whole store out of the catalog, and into it: all rows of it by one view, or in one transaction.

What arrives is visible from the commit on, whole, at a generation that no earlier store of the same id can have had:
a process that remembers such a store is given everything anew.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from retrieval.catalog.manifest import insert_segment
from retrieval.catalog.moving_rows import MovedDocument, MovedFile, MovedStore, ReceivedStore
from retrieval.catalog.projects import Projects
from retrieval.catalog.rows import FailureCode, FileStatus, LastError
from retrieval.catalog.tables import blobs, codebooks, documents, entries, files, stores
from retrieval.catalog.tally import slices
from retrieval.catalog.values import (
    attributes_from_json,
    attributes_to_json,
    chunking_columns,
    chunking_from_columns,
    storable,
    to_json,
)
from retrieval.catalog.vector_stores import DAY_SECONDS, VectorStores
from retrieval.errors import NotAllowedNow
from retrieval.ids import FileId, ProjectId, SegmentId, StoreId

AT_ONCE: Final = 1_000


@dataclass(slots=True)
class Arrived:
    files: int = 0
    waiting: int = 0  # that are to be ingested here
    spare: list[str] = field(default_factory=list)  # stored objects whose bytes the project had already


def _moved(row: Any) -> MovedFile:
    document = None
    if row.live_document is not None:
        document = MovedDocument(
            number=row.live_document,
            segment=None if row.doc_segment is None else SegmentId(row.doc_segment),
            chunks=row.doc_chunks,
            usage_bytes=row.doc_usage,
            filename=row.doc_filename,
            attributes=attributes_from_json(row.doc_attributes),
        )
    return MovedFile(
        id=FileId(row.file_id),
        created_at=row.file_created_at,
        filename=row.filename,
        purpose=row.purpose,
        bytes=row.file_bytes,
        sha256=row.sha256,
        blob=row.blob,
        media_type=row.media_type,
        expires_at=row.file_expires_at,
        attached_at=row.created_at,
        status=FileStatus(row.status),
        attributes=attributes_from_json(row.attributes),
        chunking=chunking_from_columns(row.chunk_max_tokens, row.chunk_overlap_tokens),
        error=None if row.error_code is None else LastError(FailureCode(row.error_code), row.error_message),
        settled_at=row.settled_at,
        document=document,
    )


_COLUMNS = (
    entries.c.file_id,
    entries.c.created_at,
    entries.c.status,
    entries.c.attributes,
    entries.c.chunk_max_tokens,
    entries.c.chunk_overlap_tokens,
    entries.c.error_code,
    entries.c.error_message,
    entries.c.settled_at,
    entries.c.live_document,
    files.c.created_at.label("file_created_at"),
    files.c.filename,
    files.c.purpose,
    files.c.bytes.label("file_bytes"),
    files.c.blob,
    files.c.media_type,
    files.c.expires_at.label("file_expires_at"),
    blobs.c.sha256,
    documents.c.segment_id.label("doc_segment"),
    documents.c.chunks.label("doc_chunks"),
    documents.c.usage_bytes.label("doc_usage"),
    documents.c.filename.label("doc_filename"),
    documents.c.attributes.label("doc_attributes"),
)


class Moving:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def store(self, project: ProjectId, store: StoreId) -> MovedStore:
        row = VectorStores(self._connection).get(project, store)
        return MovedStore(
            id=row.id,
            created_at=row.created_at,
            name=row.name,
            description=row.description,
            metadata=row.metadata,
            model=row.model,
            width=row.width,
            expires_days=row.expires_days,
            generation=row.generation,
        )

    def files(self, store: StoreId) -> Iterator[MovedFile]:
        """Every file of the store in the order in which it was attached, a few at a time."""
        living = (documents.c.store_id == entries.c.store_id) & (documents.c.number == entries.c.live_document)
        wanted = (
            select(*_COLUMNS)
            .join_from(entries, files, entries.c.file_id == files.c.id)
            .join(blobs, files.c.blob == blobs.c.name)
            .join(documents, living, isouter=True)
            .where(entries.c.store_id == store)
            .order_by(entries.c.serial)
            .execution_options(yield_per=AT_ONCE)
        )
        for row in self._connection.execute(wanted):
            yield _moved(row)

    def taken(self, store: StoreId) -> ProjectId | None:
        """Whose a store of this id is, also one that is being deleted."""
        owner = self._connection.execute(select(stores.c.project_id).where(stores.c.id == store)).scalar()
        return None if owner is None else ProjectId(owner)

    def known_hashes(self, project: ProjectId, wanted: Sequence[str]) -> frozenset[str]:
        """Of these SHA-256, those whose bytes a file of the project holds already."""
        found: set[str] = set()
        for some in slices(wanted):
            mine = (blobs.c.project_id == project) & blobs.c.sha256.in_(some) & blobs.c.orphaned_at.is_(None)
            found.update(self._connection.execute(select(blobs.c.sha256).where(mine)).scalars())
        return frozenset(found)

    def receive(
        self, project: ProjectId, received: ReceivedStore, arriving: Iterable[MovedFile], total_bytes: int, now: int
    ) -> Arrived:
        """Make a store that is not there and everything in it. Files that the project has already, with the same
        bytes, are taken as they are; one of another project or with other bytes refuses the whole."""
        Projects(self._connection).lock_and_add_bytes(project, total_bytes)
        if self.taken(received.store.id) is not None:
            raise NotAllowedNow(f"There is a vector store {received.store.id} already: import it with new ids.")
        arrived = Arrived()
        counts = dict.fromkeys((f"files_{status.value}" for status in FileStatus), 0)
        self._add_store(project, received, now)
        usage = last = 0
        remaining = iter(arriving)
        while some := list(islice(remaining, AT_ONCE)):
            kept = self._add_files(project, some, arrived)
            if kept:
                Projects(self._connection).lock_and_add_bytes(project, -kept)
            self._add_entries(project, received.store.id, some)
            self._add_documents(project, received.store.id, some, now)
            for file in some:
                counts[f"files_{file.status.value}"] += 1
                usage += file.document.usage_bytes if file.document else 0
                last = max(last, file.document.number if file.document else 0)
        arrived.waiting = counts["files_in_progress"]
        mine = update(stores).where(stores.c.id == received.store.id)
        self._connection.execute(mine.values(usage_bytes=usage, next_document=last + 1, **counts))
        return arrived

    def _add_store(self, project: ProjectId, received: ReceivedStore, now: int) -> None:
        store, days = received.store, received.store.expires_days
        empty = dict.fromkeys((f"files_{status.value}" for status in FileStatus), 0)
        self._connection.execute(
            insert(stores).values(
                id=store.id,
                project_id=project,
                created_at=store.created_at,
                name=storable(store.name, "name"),
                description=None if store.description is None else storable(store.description, "description"),
                metadata=to_json(dict(store.metadata)),
                model=store.model,
                width=store.width,
                expires_days=days,
                expires_at=None if days is None else now + days * DAY_SECONDS,
                last_active_at=now,
                generation=now,
                purged_generation=now,
                next_document=1,
                codebook=None if received.codebook is None else received.codebook.version,
                usage_bytes=0,
                **empty,
            )
        )
        for segment in received.segments:
            insert_segment(self._connection, project, segment, 0)
        book = received.codebook
        if book is not None:
            self._connection.execute(
                insert(codebooks).values(
                    store_id=store.id,
                    version=book.version,
                    project_id=project,
                    trained_rows=book.trained_rows,
                    measured_rows=book.measured_rows,
                    candidates=book.candidates,
                    probes=book.probes,
                    recall=book.recall,
                    bytes=book.bytes,
                    checksum=book.checksum,
                )
            )

    def _add_files(self, project: ProjectId, some: Sequence[MovedFile], arrived: Arrived) -> int:
        """Rows of files and of their bytes; how many bytes of them the project had as files already."""
        there = select(files.c.id, files.c.project_id, blobs.c.sha256).join_from(
            files, blobs, files.c.blob == blobs.c.name
        )
        found = {row.id: row for row in self._connection.execute(there.where(files.c.id.in_([one.id for one in some])))}
        for one in some:
            row = found.get(one.id)
            if row is not None and (row.project_id != project or row.sha256 != one.sha256):
                raise NotAllowedNow(f"The id {one.id} is taken by another file: import with new ids.")
        fresh = [one for one in some if one.id not in found]
        names = self._add_blobs(project, fresh, arrived)
        if fresh:
            self._connection.execute(
                insert(files),
                [
                    {
                        "id": one.id,
                        "project_id": project,
                        "created_at": one.created_at,
                        "filename": storable(one.filename, "filename"),
                        "purpose": one.purpose,
                        "bytes": one.bytes,
                        "blob": names[one.sha256],
                        "media_type": storable(one.media_type, "media_type"),
                        "expires_at": one.expires_at,
                    }
                    for one in fresh
                ],
            )
        arrived.files += len(some)
        return sum(one.bytes for one in some if one.id in found)

    def _add_blobs(self, project: ProjectId, fresh: Sequence[MovedFile], arrived: Arrived) -> dict[str, str]:
        """The stored object of each hash: the one that the project has, or the one that came."""
        wanted = {one.sha256: one for one in fresh}
        mine = (blobs.c.project_id == project) & blobs.c.sha256.in_(list(wanted))
        names: dict[str, str] = {}
        for row in self._connection.execute(update(blobs).where(mine).values(orphaned_at=None).returning(*blobs.c)):
            names[row.sha256] = row.name
            if wanted[row.sha256].blob not in {"", row.name}:
                arrived.spare.append(wanted[row.sha256].blob)
        new = [one for sha256, one in wanted.items() if sha256 not in names]
        if any(not one.blob for one in new):
            raise NotAllowedNow("Bytes that were here when the import began have been deleted meanwhile.")
        if new:
            rows = [
                {"name": one.blob, "project_id": project, "sha256": one.sha256, "bytes": one.bytes, "orphaned_at": None}
                for one in new
            ]
            self._connection.execute(insert(blobs), rows)
        return names | {one.sha256: one.blob for one in new}

    def _add_entries(self, project: ProjectId, store: StoreId, some: Sequence[MovedFile]) -> None:
        self._connection.execute(
            insert(entries),
            [
                {
                    "store_id": store,
                    "file_id": one.id,
                    "project_id": project,
                    "created_at": one.attached_at,
                    "status": one.status.value,
                    "attributes": attributes_to_json(one.attributes),
                    **chunking_columns(one.chunking),
                    "usage_bytes": one.document.usage_bytes if one.document else 0,
                    "chunks": one.document.chunks if one.document else 0,
                    "error_code": one.error.code.value if one.error else None,
                    "error_message": one.error.message if one.error else None,
                    "batch_id": None,
                    "bulk": True,
                    "supersedes": None,
                    "attempt": 0,
                    "deaths": 0,
                    "lease_token": None,
                    "leased_until": 0,
                    "document": None,
                    "live_document": one.document.number if one.document else None,
                    "settled_at": one.settled_at,
                }
                for one in some
            ],
        )

    def _add_documents(self, project: ProjectId, store: StoreId, some: Sequence[MovedFile], generation: int) -> None:
        rows = [
            {
                "store_id": store,
                "number": one.document.number,
                "project_id": project,
                "file_id": one.id,
                "filename": storable(one.document.filename, "filename"),
                "attributes": attributes_to_json(one.document.attributes),
                "living": True,
                "changed": generation,
                "chunks": one.document.chunks,
                "usage_bytes": one.document.usage_bytes,
                "segment_id": one.document.segment,
                "origin": one.document.number,
                **chunking_columns(one.chunking),
            }
            for one in some
            if one.document is not None
        ]
        if rows:
            self._connection.execute(insert(documents), rows)
