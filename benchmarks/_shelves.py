"""Whole stores of given vectors, filled without parsing or embedding: real catalog, real segments, real codes.

A shelf lies in one folder and can be opened again, also by another process. Everything but the making of vectors is
the product's own: files are attached and claimed, a segment is written durably, published, and indexed.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from ingest.embedding import Embedded, ModelSpec
from ingest.embedding.embedder import Purpose
from retrieval.catalog.account_rows import NewFile
from retrieval.catalog.rows import Attachment, AttributeValue, Claim, Ingested
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
from retrieval.index.snapshot import Snapshot
from retrieval.index.snapshots import Snapshots
from retrieval.index.vectors import use_one_thread
from retrieval.search.searcher import Searcher
from retrieval.segments.rows import NewRows, StoredChunk
from retrieval.segments.writer import write_segment
from retrieval.storage.directory import Directory
from workers.indexing import Indexed, index_segments

Matrix = NDArray[np.float32]

_NOTES: Final = "shelf.json"
_LEASE_SECONDS: Final = 3_600


class GivenVectors:
    """An embedder of questions whose vectors are known: `ask` names one and says what it means."""

    def __init__(self, width: int) -> None:
        self._spec = ModelSpec("given", width, 1_000_000)
        self._known: dict[str, Matrix] = {}

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def ask(self, text: str, vector: Matrix) -> str:
        self._known[text] = vector
        return text

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embedded:
        del purpose  # what is given is given
        return Embedded(np.stack([self._known[text] for text in texts]), len(texts), (1,) * len(texts))

    def close(self) -> None:
        self._known.clear()


@dataclass(frozen=True, slots=True)
class File:
    """One file to put on a shelf: so many of the rows given with it, and its attributes."""

    rows: int
    attributes: Mapping[str, AttributeValue] | None = None


class Shelf:
    def __init__(self, folder: Path, width: int) -> None:
        use_one_thread()
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.catalog = Catalog.open(f"sqlite:///{folder}/catalog.db")
        self.storage = Directory(folder / "objects")
        self.embedder = GivenVectors(width)
        self.project = self._project()
        self.reopen()

    def reopen(self) -> None:
        """Forget everything that is opened, as a process does that has just started."""
        self.snapshots = Snapshots(self.catalog, self.storage)
        self.searcher = Searcher(self.catalog, self.snapshots, lambda _model: self.embedder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.snapshots.close()
        self.storage.close()
        self.catalog.close()

    def _project(self) -> ProjectId:
        with self.catalog.transaction() as tx:
            known = tx.projects.all()
            if known:
                return known[0].id
            project = new_project_id()
            tx.projects.add(project, "benchmark", int(time.time()))
            return project

    def new_store(self) -> StoreId:
        store = new_store_id()
        with self.catalog.transaction() as tx:
            tx.stores.add(self.project, NewStore(store, "given", self.embedder.spec.width), int(time.time()))
        return store

    def upload(self, count: int) -> list[FileId]:
        """Files whose bytes nobody will ask for."""
        now = int(time.time())
        made = [new_file_id() for _ in range(count)]
        with self.catalog.transaction() as tx:
            for number, file in enumerate(made):
                blob = f"blobs/{self.project}/{file}"
                new = NewFile(file, f"{number}.txt", "assistants", 1, f"{number:064x}", blob, "text/plain", None)
                tx.files.add(self.project, new, now)
        return made

    def attach(self, store: StoreId, uploaded: Sequence[FileId], files: Sequence[File]) -> None:
        wishes = [Attachment(file, one.attributes) for file, one in zip(uploaded, files, strict=True)]
        with self.catalog.transaction() as tx:
            tx.store_files.attach_all(self.project, store, wishes, int(time.time()))

    def claim(self, store: StoreId, files: Sequence[FileId]) -> list[Claim]:
        """What a worker takes up; in the order of `files`, which are all that wait."""
        with self.catalog.transaction() as tx:
            claims = tx.claims.claim(
                store,
                most=len(files),
                most_bytes=1 << 60,
                token=new_lease_token(),
                now=int(time.time()),
                lease_seconds=_LEASE_SECONDS,
            )
        of_file = {claim.file_id: claim for claim in claims}
        return [of_file[file] for file in files]

    def publish(
        self, store: StoreId, claims: Sequence[Claim], sizes: Sequence[int], vectors: Matrix, texts: Sequence[str]
    ) -> None:
        """One segment of all these files' rows, durable, and found by whoever searches next."""
        chunks: list[StoredChunk] = []
        for claim, size in zip(claims, sizes, strict=True):
            for ordinal in range(size):
                text = texts[len(chunks)]
                chunks.append(
                    StoredChunk(claim.document, ordinal, ordinal * 1_000, ordinal * 1_000 + len(text), text, 1)
                )
        now = int(time.time())
        new = NewRows(chunks, texts, np.ascontiguousarray(vectors))
        row = write_segment(self.storage, new, store=store, segment=new_segment_id(), created_at=now)
        done = [
            Ingested(claim.file_id, claim.token, claim.document, size, 1)
            for claim, size in zip(claims, sizes, strict=True)
        ]
        with self.catalog.transaction() as tx:
            tx.publish(store, done, row, now)

    def add(
        self, store: StoreId, files: Sequence[File], vectors: Matrix, texts: Sequence[str] | None = None
    ) -> list[FileId]:
        """From vectors to searchable, in one segment."""
        uploaded = self.upload(len(files))
        self.attach(store, uploaded, files)
        claims = self.claim(store, uploaded)
        self.publish(store, claims, [one.rows for one in files], vectors, texts or plain_texts(len(vectors)))
        return uploaded

    def index(self, store: StoreId) -> Indexed:
        return index_segments(store, self.catalog, self.storage)

    def snapshot(self, store: StoreId) -> Snapshot:
        return self.snapshots.at(store, self.catalog.generation(store))

    def remember(self, notes: Mapping[str, object]) -> None:
        (self.folder / _NOTES).write_text(json.dumps(notes))


def notes_of(folder: Path) -> dict[str, str] | None:
    """What a filled shelf says of itself; None while it is not whole."""
    path = folder / _NOTES
    return json.loads(path.read_text()) if path.exists() else None


def plain_texts(rows: int) -> list[str]:
    """Texts for rows whose words do not matter."""
    return [f"passage {row % 1000}" for row in range(rows)]
