"""A whole service without HTTP and Celery, in a temporary folder, for benchmarks to fill and to ask."""

import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from ingest.children import ChildPool
from ingest.cores import usable_cores
from ingest.embedding import Embedder
from ingest.parsing.limits import Limits
from retrieval.catalog.account_rows import NewFile
from retrieval.catalog.rows import Attachment, AttributeValue, StaticChunking
from retrieval.catalog.transaction import Catalog
from retrieval.catalog.vector_stores import NewStore
from retrieval.ids import FileId, StoreId, new_file_id, new_project_id, new_store_id
from retrieval.index.snapshots import Snapshots
from retrieval.index.vectors import use_one_thread
from retrieval.search.searcher import Searcher
from retrieval.storage.blobs import Blobs
from retrieval.storage.directory import Directory
from workers.pipeline import index_waiting
from workers.resources import WorkerResources


class Library:
    def __init__(self, embedder: Embedder, *, folder: Path | None = None) -> None:
        use_one_thread()
        self._temporary = tempfile.TemporaryDirectory(prefix="carrel-bench-") if folder is None else None
        self.folder = Path(self._temporary.name) if self._temporary else (folder or Path())
        self.catalog = Catalog.open(f"sqlite:///{self.folder}/catalog.db")
        self.storage = Directory(self.folder / "objects")
        self.blobs = Blobs(self.storage)
        self.embedder = embedder
        self.snapshots = Snapshots(self.catalog, self.storage)
        self.searcher = Searcher(self.catalog, self.snapshots, lambda _model: embedder)
        self.workers = WorkerResources(
            self.catalog, self.storage, ChildPool(usable_cores(), Limits()), lambda _model: embedder
        )
        self.project = new_project_id()
        with self.catalog.transaction() as tx:
            tx.projects.add(self.project, "benchmark", int(time.time()))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.workers.children.close()
        self.snapshots.close()
        self.storage.close()
        self.catalog.close()
        if self._temporary:
            self._temporary.cleanup()

    def new_store(self) -> StoreId:
        store, spec = new_store_id(), self.embedder.spec
        with self.catalog.transaction() as tx:
            tx.stores.add(self.project, NewStore(store, spec.name, spec.width), int(time.time()))
        return store

    def upload(self, name: str, content: bytes) -> FileId:
        facts = self.blobs.receive(self.project, [content], most_bytes=1 << 40)
        file = new_file_id()
        new = NewFile(file, name, "assistants", facts.bytes, facts.sha256, facts.name)
        with self.catalog.transaction() as tx:
            tx.files.add(self.project, new, int(time.time()))
        return file

    def attach(
        self,
        store: StoreId,
        files: Iterable[FileId],
        chunking: StaticChunking | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> None:
        with self.catalog.transaction() as tx:
            for file in files:
                tx.store_files.attach(self.project, store, Attachment(file, attributes, chunking), int(time.time()))

    def ingest(self, store: StoreId) -> None:
        """Work until nothing waits."""
        while index_waiting(store, self.workers):
            pass
