"""A folder, a store that mirrors it, and the parts that refresh it: real catalog, disk, children and pipeline."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import update

from ingest.children import ChildPool
from ingest.embedding import Embedder, EmbedderConfig, open_embedder
from retrieval.catalog.paging import PageQuery
from retrieval.catalog.rows import Attachment, DocumentRow
from retrieval.catalog.source_rows import Change, Location, Outcome, RunRow, SourceKind, SourceRow, SourceWish
from retrieval.catalog.source_tables import sources
from retrieval.catalog.tables import entries
from retrieval.catalog.transaction import Catalog
from retrieval.catalog.vector_stores import NewStore
from retrieval.ids import (
    FileId,
    ProjectId,
    RunId,
    SourceId,
    StoreId,
    new_project_id,
    new_run_id,
    new_source_id,
    new_store_id,
)
from retrieval.sources.permits import Permits
from retrieval.storage.directory import Directory
from tests.support.workshop import Watched
from workers import refresh
from workers.pipeline import index_waiting
from workers.refresh import RefreshParts
from workers.resources import WorkerResources


def folder_wish(root: Path, **changes: Any) -> SourceWish:
    wish = SourceWish(
        kind=SourceKind.DIRECTORY,
        location=Location(path=str(root)),
        include=(),
        exclude=(".*",),
        attributes={"path": "{path}"},
        chunking=None,
        cron=None,
        time_zone="UTC",
        max_removed_share=0.3,
    )
    return replace(wish, **changes)


@dataclass
class Mirror:
    catalog: Catalog
    embedder: Watched
    parts: RefreshParts
    project: ProjectId
    store: StoreId
    root: Path
    source_id: SourceId
    rung: list[StoreId]

    # The folder

    def write(self, path: str, text: str, *, modified: int | None = None) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        if modified is not None:
            os.utime(file, (modified, modified))

    def fill(self, count: int) -> None:
        for number in range(count):
            self.write(f"part{number % 3}/page{number}.md", f"# Page {number}\n\nWhat page {number} says of rivers.")

    # The source

    def add(self, wish: SourceWish, next_run_at: int | None = None) -> SourceId:
        source = new_source_id()
        with self.catalog.transaction() as tx:
            tx.sources.add(self.project, self.store, source, wish, next_run_at, self.catalog.now())
        return source

    def add_store(self) -> StoreId:
        store, spec = new_store_id(), self.embedder.spec
        with self.catalog.transaction() as tx:
            tx.stores.add(self.project, NewStore(store, spec.name, spec.width), self.catalog.now())
        return store

    def attach(self, file: FileId) -> None:
        with self.catalog.transaction() as tx:
            tx.store_files.attach(self.project, self.store, Attachment(file), self.catalog.now())

    @staticmethod
    def query() -> PageQuery:
        return PageQuery(limit=100)

    def source(self) -> SourceRow:
        with self.catalog.reading() as tx:
            return tx.sources.get(self.project, self.store, self.source_id)

    def change(self, **changes: Any) -> None:
        wish = replace(self.source().wish, **changes)
        with self.catalog.transaction() as tx:
            tx.sources.change(self.project, self.store, self.source_id, wish, None)

    def ask(self, *, dry_run: bool = False, force: bool = False) -> RunRow:
        with self.catalog.transaction() as tx:
            now = self.catalog.now()
            return tx.source_runs.request(
                self.project, self.store, self.source_id, new_run_id(), now, dry_run=dry_run, force=force
            )

    def run(self, *, dry_run: bool = False, force: bool = False) -> RunRow:
        """A whole refresh, with everything it attached brought to be found."""
        asked = self.ask(dry_run=dry_run, force=force)
        self.finish()
        return self.report(asked.id)

    def finish(self) -> None:
        """Until no run of the source is under way."""
        while self.source().run_id is not None:
            self.let_go_on()
            refresh.refresh(self.source_id, self.parts)
            self.index()

    def let_go_on(self) -> None:
        """As if the pause after the last look were over, or the leases of a worker that died."""
        with self.catalog.transaction() as tx:
            execute = tx.sources._connection.execute
            execute(update(sources).where(sources.c.id == self.source_id).values(leased_until=0))
            execute(update(entries).where(entries.c.store_id == self.store).values(leased_until=0))

    def index(self) -> None:
        while index_waiting(self.store, self.parts.resources):
            pass

    def report(self, run: RunId) -> RunRow:
        with self.catalog.reading() as tx:
            return tx.source_runs.get(self.project, self.store, self.source_id, run)

    def changes(self, run: RunId) -> list[Change]:
        with self.catalog.reading() as tx:
            return list(tx.source_runs.changes(run))

    def keys(self, run: RunId, outcome: Outcome) -> list[str]:
        return [change.key for change in self.changes(run) if change.outcome is outcome]

    # What came of it

    def living(self) -> list[DocumentRow]:
        with self.catalog.reading() as tx:
            return [one for one in tx.manifests.read(self.store, 0).documents if one.living]

    def found(self) -> dict[str, str]:
        """What searches find: by path, the hash of the content. A document found twice is an error here."""
        by_path: dict[str, str] = {}
        with self.catalog.reading() as tx:
            for one in self.living():
                path = str(one.attributes["path"])
                assert path not in by_path, f"{path} is there twice"
                by_path[path] = tx.files.get(self.project, one.file_id).sha256
        return by_path

    def expected(self) -> dict[str, str]:
        """What the folder holds."""
        files = [path for path in self.root.rglob("*") if path.is_file() and not path.is_symlink()]
        return {
            path.relative_to(self.root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in files
            if not any(part.startswith(".") for part in path.relative_to(self.root).parts)
        }

    def files(self) -> int:
        """Rows of files in the project: what replaced and removed documents leave behind would show here."""
        with self.catalog.reading() as tx:
            return len(tx.files.page(self.project, PageQuery(limit=10_000)).items)

    def untruths(self) -> list[str]:
        with self.catalog.reading() as tx:
            return tx.untruths(self.project)


def _parts(catalog: Catalog, folder: Path, children: ChildPool, embedder: Watched, rung: list[StoreId]) -> RefreshParts:
    resources = WorkerResources(catalog, Directory(folder / "objects"), children, lambda _: embedder)
    return RefreshParts(resources, Permits(roots=(folder,)), rung.append)


@contextmanager
def open_mirror(
    catalog: Catalog, folder: Path, children: ChildPool, *, embedder: Embedder | None = None
) -> Iterator[Mirror]:
    """A new store with a folder as its source."""
    watched = Watched(embedder or open_embedder(EmbedderConfig(provider="hashed", model="hashed")))
    root, rung = folder / "source", list[StoreId]()
    root.mkdir(exist_ok=True)
    parts = _parts(catalog, folder, children, watched, rung)
    project, store = new_project_id(), new_store_id()
    with catalog.transaction() as tx:
        tx.projects.add(project, f"mirror {project}", catalog.now())
        tx.stores.add(project, NewStore(store, watched.spec.name, watched.spec.width), catalog.now())
    mirror = Mirror(catalog, watched, parts, project, store, root, SourceId(""), rung)
    mirror.source_id = mirror.add(folder_wish(root))
    try:
        yield mirror
    finally:
        parts.resources.storage.close()


def mirror_again(
    catalog: Catalog, folder: Path, children: ChildPool, project: ProjectId, store: StoreId, source: SourceId
) -> Mirror:
    """One that another process made."""
    watched, rung = Watched(open_embedder(EmbedderConfig(provider="hashed", model="hashed"))), list[StoreId]()
    parts = _parts(catalog, folder, children, watched, rung)
    return Mirror(catalog, watched, parts, project, store, folder / "source", source, rung)
