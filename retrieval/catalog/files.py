"""Files: what was uploaded, and the stored objects (blobs) that hold the bytes, one per project and hash.

Adding: bytes before rows. Removing: rows before bytes: a blob nobody names is marked, forgotten after a grace time,
and only then is its object removed. Names are never used twice, so no file can come to name it in between.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, insert, select, update

from retrieval.catalog.account_rows import BlobRow, FileRow, NewFile
from retrieval.catalog.conflicts import Values, insert_unless_there
from retrieval.catalog.holds import held
from retrieval.catalog.paging import PageQuery, page, remember_places
from retrieval.catalog.projects import Projects
from retrieval.catalog.rows import Page
from retrieval.catalog.tables import blobs, entries, files, parts
from retrieval.catalog.tally import slices
from retrieval.catalog.values import storable, within_range
from retrieval.catalog.vector_store_files import detach_file
from retrieval.errors import NotFound, StorageQuotaReached
from retrieval.ids import FileId, ProjectId, StoreId, well_formed

_INSERT: Final = insert(files)
_PLACES: Final[Select[Any]] = select(files.c.id, files.c.bytes, files.c.blob, files.c.created_at, files.c.serial)
_OWN: Final = tuple(field.name for field in fields(FileRow) if field.name != "sha256")  # the hash is its blob's


def file_from(row: Row[Any]) -> FileRow:
    return FileRow(
        id=FileId(row.id),
        project_id=ProjectId(row.project_id),
        created_at=row.created_at,
        filename=row.filename,
        purpose=row.purpose,
        bytes=row.bytes,
        sha256=row.sha256,
        blob=row.blob,
        media_type=row.media_type,
        expires_at=row.expires_at,
    )


def _blob(row: Row[Any]) -> BlobRow:
    return BlobRow(ProjectId(row.project_id), row.name, row.sha256, row.bytes, row.orphaned_at)


def _wanted() -> Select[Any]:
    return select(*files.c, blobs.c.sha256).join_from(files, blobs, files.c.blob == blobs.c.name)


_FILE: Final = _wanted().where(files.c.id == bindparam("wanted"), files.c.project_id == bindparam("whose"))


class Files:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, project: ProjectId, file: NewFile, now: int, *, most_bytes: int | None = None) -> FileRow:
        """Add a file whose bytes are durable. If the project has these bytes already, the row names that blob instead
        of `file.blob`: the caller then removes its own object. `most_bytes`: that the project may have afterwards."""
        stored = Projects(self._connection).lock_and_add_bytes(project, within_range(file.bytes, "bytes"))
        if most_bytes is not None and stored > most_bytes:
            raise StorageQuotaReached(most=most_bytes, stored=stored)
        fresh: Values = {"name": file.blob, "project_id": project, "sha256": file.sha256, "bytes": file.bytes}
        blob = insert_unless_there(self._connection, blobs, fresh)
        if blob is None:
            blob = self._connection.execute(
                update(blobs)
                .where(blobs.c.project_id == project, blobs.c.sha256 == file.sha256)
                .values(orphaned_at=None)
                .returning(*blobs.c)
            ).first()
            if blob is None:
                raise ValueError(f"the object name {file.blob} stands for other bytes already")
        row = FileRow(
            id=file.id,
            project_id=project,
            created_at=now,
            filename=storable(file.filename, "filename"),
            purpose=file.purpose,
            bytes=file.bytes,
            sha256=file.sha256,
            blob=blob.name,
            media_type=storable(file.media_type, "media_type"),
            expires_at=file.expires_at,
        )
        self._connection.execute(_INSERT, {name: getattr(row, name) for name in _OWN})
        return row

    def get(self, project: ProjectId, file: FileId) -> FileRow:
        row = None
        if well_formed(file):
            row = self._connection.execute(_FILE, {"whose": project, "wanted": file}).first()
        if row is None:
            raise NotFound(f"No such File object: {file}", param="id")
        return file_from(row)

    def missing(self, project: ProjectId, wanted: Sequence[FileId]) -> list[FileId]:
        """Those of `wanted` that the project does not have, in the order given."""
        found: set[str] = set()
        for some in slices([file for file in wanted if well_formed(file)]):
            there = select(files.c.id).where(files.c.project_id == project, files.c.id.in_(some))
            found.update(self._connection.execute(there).scalars())
        return [file for file in wanted if file not in found]

    def page(self, project: ProjectId, query: PageQuery, purpose: str | None = None) -> Page[FileRow]:
        wanted = _wanted().where(files.c.project_id == project)
        if purpose is not None:
            wanted = wanted.where(files.c.purpose == purpose)
        return page(self._connection, wanted, files, files.c.id, project, query, file_from)

    def delete(self, project: ProjectId, file: FileId, now: int) -> tuple[StoreId, ...]:
        """Delete a file and take it out of every store; the stores it was in. One file per transaction, so that no two
        transactions wait for each other's stores."""
        row = self.get(project, file)
        Projects(self._connection).lock_and_add_bytes(project, -row.bytes)
        held = self._connection.execute(_PLACES.where(files.c.id == file).with_for_update()).all()
        if not held:
            raise NotFound(f"No such File object: {file}", param="id")
        left = detach_file(self._connection, file, now)
        self._remove(project, held, now)
        return left

    def delete_unused(self, project: ProjectId, some: Sequence[FileId], now: int) -> int:
        """Delete those of these files that are in no store; how many there were. In one transaction, since no store is
        waited for. Their rows are held before stores are asked: nobody can attach them any more."""
        Projects(self._connection).lock_and_add_bytes(project, 0)  # before its files, as whoever deletes one does
        mine = _PLACES.where(files.c.id.in_(some), files.c.project_id == project).order_by(files.c.serial)
        held = self._connection.execute(mine.with_for_update()).all()
        used = set(self._connection.execute(select(entries.c.file_id).where(entries.c.file_id.in_(some))).scalars())
        gone = [row for row in held if row.id not in used]
        if gone:
            Projects(self._connection).lock_and_add_bytes(project, -sum(row.bytes for row in gone))
            self._remove(project, gone, now)
        return len(gone)

    def _remove(self, project: ProjectId, gone: Sequence[Row[Any]], now: int) -> None:
        """Rows that are held and in no store. A blob that nobody names any more is marked."""
        self._connection.execute(delete(files).where(files.c.id.in_([row.id for row in gone])))
        named = exists().where(files.c.blob == blobs.c.name)
        mine = blobs.c.name.in_({row.blob for row in gone})
        self._connection.execute(update(blobs).where(mine, ~named).values(orphaned_at=now))
        places = {row.id: (row.created_at, row.serial) for row in gone}
        remember_places(self._connection, project, places, project, now)

    def expired(self, now: int, most: int) -> tuple[FileRow, ...]:
        """Files whose time is over, oldest first; each is then deleted like any other."""
        due = _wanted().where(files.c.expires_at <= now).order_by(files.c.expires_at).limit(most)
        return tuple(file_from(row) for row in self._connection.execute(due))

    def stores_of(self, file: FileId) -> tuple[StoreId, ...]:
        found = select(entries.c.store_id).where(entries.c.file_id == file).order_by(entries.c.serial)
        return tuple(StoreId(store) for store in self._connection.execute(found).scalars())

    # Blobs

    def orphaned_blobs(self, before: int, most: int, now: int = 0) -> tuple[BlobRow, ...]:
        """Blobs that no file has named since `before`, and that nobody holds at `now`."""
        due = (
            select(blobs)
            .where(blobs.c.orphaned_at <= before, ~held(blobs.c.project_id, None, now))
            .order_by(blobs.c.orphaned_at)
            .limit(most)
        )
        return tuple(_blob(row) for row in self._connection.execute(due))

    def forget_blob(self, blob: BlobRow) -> bool:
        """Forget a blob that is still nobody's. True: once this is committed, its object may be removed."""
        Projects(self._connection).lock_and_add_bytes(blob.project_id, 0)  # no file can adopt it until the commit
        gone = delete(blobs).where(blobs.c.name == blob.name, blobs.c.orphaned_at.is_not(None)).returning(blobs.c.name)
        return self._connection.execute(gone).first() is not None

    def unknown_blobs(self, names: Collection[str]) -> frozenset[str]:
        """Of these stored objects, those that neither a file nor an upload's part names. A writer stores bytes first
        and rows later, so the caller asks only about objects older than the longest request can last."""
        known: set[str] = set()
        lookups: tuple[Callable[[Sequence[str]], Select[Any]], ...] = (
            lambda some: select(blobs.c.name).where(blobs.c.name.in_(some)),
            lambda some: select(parts.c.blob).where(parts.c.blob.in_(some)),
        )
        for some in slices(sorted(names)):
            for lookup in lookups:
                known.update(self._connection.execute(lookup(some)).scalars())
        return frozenset(names) - known
