"""A catalog, a disk and worker parts in a folder, without HTTP and Celery, for tests of what workers do."""

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ingest.children import ChildPool
from ingest.embedding import Embedded, Embedder, EmbedderConfig, ModelSpec, Purpose, open_embedder
from ingest.parsing.limits import Limits
from retrieval.catalog.account_rows import NewFile
from retrieval.catalog.rows import Attachment, FileStatus, StoreFileRow
from retrieval.catalog.transaction import Catalog
from retrieval.catalog.vector_stores import NewStore
from retrieval.ids import FileId, ProjectId, StoreId, new_file_id, new_project_id, new_store_id
from retrieval.storage.blobs import Blobs
from retrieval.storage.directory import Directory
from workers.resources import ClaimSize, WorkerResources


@dataclass
class Watched:
    """A real embedder that writes down how many texts it was given, and lets a test step in before each call."""

    inner: Embedder
    calls: list[int] = field(default_factory=list)
    before: Callable[[Sequence[str]], None] | None = None

    @property
    def spec(self) -> ModelSpec:
        return self.inner.spec

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embedded:
        if self.before is not None:
            self.before(texts)
        self.calls.append(len(texts))
        return self.inner.embed(texts, purpose=purpose)

    def close(self) -> None:
        self.inner.close()


@dataclass(frozen=True)
class Workshop:
    catalog: Catalog
    storage: Directory
    blobs: Blobs
    embedder: Watched
    resources: WorkerResources
    stop: threading.Event
    project: ProjectId

    def new_store(self) -> StoreId:
        store, spec = new_store_id(), self.embedder.spec
        with self.catalog.transaction() as tx:
            tx.stores.add(self.project, NewStore(store, spec.name, spec.width), self.catalog.now())
        return store

    def attach(self, store: StoreId, contents: Iterable[bytes], name: str = "page.txt") -> list[FileId]:
        new = []
        for content in contents:
            facts = self.blobs.receive(self.project, [content], most_bytes=1 << 30)
            new.append(NewFile(new_file_id(), name, "assistants", facts.bytes, facts.sha256, facts.name))
        now = self.catalog.now()
        for file in new:
            with self.catalog.transaction() as tx:
                tx.files.add(self.project, file, now)
                tx.store_files.attach(self.project, store, Attachment(file.id), now)
        return [file.id for file in new]

    def row(self, store: StoreId, file: FileId) -> StoreFileRow:
        with self.catalog.reading() as tx:
            return tx.store_files.get(self.project, store, file)

    def statuses(self, store: StoreId, files: Iterable[FileId]) -> list[FileStatus]:
        return [self.row(store, file).status for file in files]

    def segments(self, store: StoreId) -> list[str]:
        """Names of the segment files on the disk."""
        return [one.name for one in self.storage.list("segments") if store in one.name]

    def live_rows(self, store: StoreId) -> int:
        with self.catalog.reading() as tx:
            return sum(segment.rows for segment in tx.manifests.segments(store))


@contextmanager
def open_workshop(folder: Path, size: ClaimSize | None = None, children: int = 1) -> Iterator[Workshop]:
    stop = threading.Event()
    embedder = Watched(open_embedder(EmbedderConfig(provider="hashed", model="hashed")))
    with Catalog.open(f"sqlite:///{folder / 'catalog.db'}") as catalog, ChildPool(children, Limits()) as pool:
        storage = Directory(folder / "objects")
        resources = WorkerResources(
            catalog, storage, pool, lambda _: embedder, size or ClaimSize(), stopping=stop.is_set
        )
        project = new_project_id()
        with catalog.transaction() as tx:
            tx.projects.add(project, "tests", catalog.now())
        try:
            yield Workshop(catalog, storage, Blobs(storage), embedder, resources, stop, project)
        finally:
            storage.close()
