"""A whole retrieval side in a temporary folder: real catalog, real files, and the steps a worker takes, by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from ingest.embedding import Embedder, HashedEmbedder, Vectors
from retrieval.catalog.account_rows import NewFile
from retrieval.catalog.rows import Attachment, AttributeValue, Claim, Ingested, Publication, SegmentRow
from retrieval.catalog.transaction import Catalog
from retrieval.catalog.vector_stores import NewStore
from retrieval.ids import (
    FileId,
    ProjectId,
    StoreId,
    new_file_id,
    new_lease_token,
    new_project_id,
    new_segment_id,
    new_store_id,
)
from retrieval.index.snapshots import Snapshots
from retrieval.index.vectors import use_one_thread
from retrieval.search.query import Answer, Query
from retrieval.search.searcher import Searcher
from retrieval.segments.rows import NewRows, StoredChunk
from retrieval.segments.writer import write_segment
from retrieval.storage.directory import Directory
from retrieval.storage.objects import Storage

LEASE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Book:
    """One file to ingest: its chunks' texts, and their vectors unless the embedder is to make them."""

    texts: Sequence[str]
    vectors: Vectors | None = None
    filename: str = "book.txt"
    attributes: Mapping[str, AttributeValue] | None = None
    file: FileId | None = None  # to ingest a file anew
    supersedes: FileId | None = None


class Shelf:
    def __init__(self, catalog: Catalog, storage: Storage, embedder: Embedder) -> None:
        use_one_thread()
        self.catalog = catalog
        self.storage = storage
        self.embedder = embedder
        self.now = 1_000_000
        self.snapshots = Snapshots(catalog, storage)
        self.searcher = Searcher(catalog, self.snapshots, lambda _model: embedder, clock=lambda: float(self.now))
        self.project: ProjectId = new_project_id()

    @classmethod
    def open(cls, folder: Path, *, width: int = 32, embedder: Embedder | None = None, url: str = "") -> Self:
        """A new shelf in an empty folder; a folder that holds one is opened again, as its first project."""
        folder.mkdir(parents=True, exist_ok=True)
        catalog = Catalog.open(url or f"sqlite:///{folder}/catalog.db")
        shelf = cls(catalog, Directory(folder / "objects"), embedder or HashedEmbedder(width=width))
        with catalog.reading() as tx:
            known = tx.projects.all()
        if known:
            shelf.project = known[0].id
        else:
            with catalog.transaction() as tx:
                tx.projects.add(shelf.project, "tests", shelf.now)
        return shelf

    def close(self) -> None:
        self.snapshots.close()
        self.storage.close()
        self.catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def new_store(self) -> StoreId:
        store = new_store_id()
        spec = self.embedder.spec
        with self.catalog.transaction() as tx:
            tx.stores.add(self.project, NewStore(store, spec.name, spec.width), self.now)
        return store

    def attach(self, store: StoreId, books: Sequence[Book]) -> list[FileId]:
        """Make each book a file, unless it is one, and attach it."""
        files: list[FileId] = []
        with self.catalog.transaction() as tx:
            for book in books:
                file = book.file or new_file_id()
                if book.file is None:
                    name = f"blobs/{self.project}/{file}"
                    new = NewFile(file, book.filename, "assistants", 1, f"{len(files):064x}", name, "text/plain", None)
                    tx.files.add(self.project, new, self.now)
                wish = Attachment(file, book.attributes, None, book.supersedes)
                tx.store_files.attach(self.project, store, wish, self.now)
                files.append(file)
        return files

    def claim(self, store: StoreId, most: int = 4096) -> list[Claim]:
        with self.catalog.transaction() as tx:
            return tx.claims.claim(
                store,
                most=most,
                most_bytes=1 << 40,
                token=new_lease_token(),
                now=self.now,
                lease_seconds=LEASE_SECONDS,
            )

    def write(self, store: StoreId, claims: Sequence[Claim], books: Mapping[FileId, Book]) -> SegmentRow:
        chunks: list[StoredChunk] = []
        vectors = []
        for claim in claims:
            book = books[claim.file_id]
            at = 0
            for ordinal, text in enumerate(book.texts):
                chunks.append(StoredChunk(claim.document, ordinal, at, at + len(text), text, len(text.split())))
                at += len(text) + 1
            vectors.append(self.embedder.embed(list(book.texts)).vectors if book.vectors is None else book.vectors)
        rows = NewRows(chunks, [chunk.text for chunk in chunks], np.ascontiguousarray(np.concatenate(vectors)))
        return write_segment(self.storage, rows, store=store, segment=new_segment_id(), created_at=self.now)

    def publish(
        self, store: StoreId, claims: Sequence[Claim], books: Mapping[FileId, Book], segment: SegmentRow
    ) -> Publication:
        done = [
            Ingested(claim.file_id, claim.token, claim.document, len(books[claim.file_id].texts), 1) for claim in claims
        ]
        with self.catalog.transaction() as tx:
            return tx.publish(store, done, segment, self.now)

    def add(self, store: StoreId, books: Sequence[Book]) -> list[FileId]:
        """From texts to searchable, in one segment."""
        files = self.attach(store, books)
        by_file = dict(zip(files, books, strict=True))
        claims = self.claim(store)
        segment = self.write(store, claims, by_file)
        published = self.publish(store, claims, by_file, segment)
        assert set(published.published) == set(files)
        return files

    def detach(self, store: StoreId, file: FileId) -> None:
        with self.catalog.transaction() as tx:
            tx.store_files.delete(self.project, store, file, self.now)

    def search(self, store: StoreId, query: Query | str) -> Answer:
        asked = Query((query,)) if isinstance(query, str) else query
        return self.searcher.search(self.project, store, asked)
