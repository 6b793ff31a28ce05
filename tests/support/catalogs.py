"""A project with one store in a catalog, and the short way to everything tests do to it.

Every call is a transaction of its own. Time stands still until a test moves `now`.
"""

from collections.abc import Sequence

from sqlalchemy import insert

from retrieval.catalog import tables
from retrieval.catalog.account_rows import FileRow, NewFile
from retrieval.catalog.rows import (
    Attachment,
    Attributes,
    BatchRow,
    Claim,
    FileCounts,
    Ingested,
    Manifest,
    Publication,
    SegmentRow,
    StaticChunking,
    StoreFileRow,
    StoreRow,
)
from retrieval.catalog.transaction import Catalog
from retrieval.catalog.vector_stores import NewStore
from retrieval.ids import (
    FileId,
    LeaseToken,
    StoreId,
    new_batch_id,
    new_blob_name,
    new_file_id,
    new_lease_token,
    new_project_id,
    new_segment_id,
    new_store_id,
)

LEASE_SECONDS = 60
CHUNKS = 3
USAGE_BYTES = 5000


class World:
    def __init__(self, catalog: Catalog, now: int = 1_000_000) -> None:
        self.catalog = catalog
        self.now = now
        self.project = new_project_id()
        with catalog.transaction() as tx:
            tx.projects.add(self.project, f"project {self.project}", now)
        self.store = self.new_store()

    def new_store(self, expires_days: int | None = None) -> StoreId:
        store = new_store_id()
        with self.catalog.transaction() as tx:
            tx.stores.add(self.project, NewStore(store, "hashed", 8, expires_days=expires_days), self.now)
        return store

    def file(self, name: str = "a.txt", *, size: int = 10, sha256: str | None = None) -> FileId:
        return self.files(1, name=name, size=size, sha256=sha256)[0]

    def files(self, how_many: int, *, name: str = "a.txt", size: int = 10, sha256: str | None = None) -> list[FileId]:
        made = [new_file_id() for _ in range(how_many)]
        with self.catalog.transaction() as tx:
            for file in made:
                fresh = NewFile(file, name, "assistants", size, sha256 or f"hash of {file}", new_blob_name())
                tx.files.add(self.project, fresh, self.now)
        return made

    def many_files(self, how_many: int) -> list[FileId]:
        """As `files`, by statements for all at once, for tests that need thousands and do not test adding."""
        made = [new_file_id() for _ in range(how_many)]
        mine = {"project_id": self.project, "bytes": 10}
        with self.catalog.transaction() as tx:
            run = tx.projects._connection.execute
            run(insert(tables.blobs), [{**mine, "name": file, "sha256": file, "orphaned_at": None} for file in made])
            rest = {"created_at": self.now, "filename": "a.txt", "purpose": "assistants", "media_type": "text/plain"}
            run(insert(tables.files), [{**mine, **rest, "id": file, "blob": file, "expires_at": None} for file in made])
            tx.projects.lock_and_add_bytes(self.project, 10 * how_many)
        return made

    def attach(
        self,
        file: FileId,
        *,
        attributes: Attributes | None = None,
        chunking: StaticChunking | None = None,
        supersedes: FileId | None = None,
        store: StoreId | None = None,
    ) -> StoreFileRow:
        wish = Attachment(file, attributes, chunking, supersedes)
        with self.catalog.transaction() as tx:
            return tx.store_files.attach(self.project, store or self.store, wish, self.now)

    def attach_new(self, how_many: int) -> list[FileId]:
        files = self.files(how_many)
        for file in files:
            self.attach(file)
        return files

    def batch(self, files: Sequence[FileId], attributes: Attributes | None = None) -> BatchRow:
        wishes = [Attachment(file, attributes) for file in files]
        with self.catalog.transaction() as tx:
            return tx.batches.add(self.project, self.store, new_batch_id(), wishes, self.now)

    def batch_again(self, batch: BatchRow) -> BatchRow:
        with self.catalog.reading() as tx:
            return tx.batches.get(self.project, self.store, batch.id)

    def claim(
        self, most: int = 100, *, most_bytes: int = 10**9, token: LeaseToken | None = None, store: StoreId | None = None
    ) -> list[Claim]:
        with self.catalog.transaction() as tx:
            return tx.claims.claim(
                store or self.store,
                most=most,
                most_bytes=most_bytes,
                token=token or new_lease_token(),
                now=self.now,
                lease_seconds=LEASE_SECONDS,
            )

    def publish(self, claims: Sequence[Claim], segment: SegmentRow | None = None) -> Publication:
        store = claims[0].store_id
        done = [Ingested(one.file_id, one.token, one.document, CHUNKS, USAGE_BYTES) for one in claims]
        with self.catalog.transaction() as tx:
            return tx.publish(store, done, segment or self.segment(CHUNKS * len(claims), store), self.now)

    def segment(self, rows: int = CHUNKS, store: StoreId | None = None) -> SegmentRow:
        return SegmentRow(new_segment_id(), store or self.store, rows, 8, rows * 32, 0xABCD, self.now)

    def ingest(self, file: FileId, **wish: Attributes | StaticChunking | FileId | None) -> Publication:
        """Attach a file and bring it to `completed`; nothing else may be waiting."""
        self.attach(file, **wish)  # type: ignore[arg-type]  # the names are attach's own
        return self.publish(self.claim())

    def entry(self, file: FileId, store: StoreId | None = None) -> StoreFileRow:
        with self.catalog.reading() as tx:
            return tx.store_files.get(self.project, store or self.store, file)

    def row(self, store: StoreId | None = None) -> StoreRow:
        with self.catalog.reading() as tx:
            return tx.stores.get(self.project, store or self.store)

    def counts(self) -> FileCounts:
        return self.row().counts

    def file_row(self, file: FileId) -> FileRow:
        with self.catalog.reading() as tx:
            return tx.files.get(self.project, file)

    def manifest(self, since: int = 0, store: StoreId | None = None) -> Manifest:
        with self.catalog.reading() as tx:
            return tx.manifests.read(store or self.store, since)

    def found(self) -> set[FileId]:
        """The files that a search would find."""
        return {document.file_id for document in self.manifest().documents if document.living}

    def untruths(self) -> list[str]:
        with self.catalog.reading() as tx:
            return tx.untruths(self.project)
