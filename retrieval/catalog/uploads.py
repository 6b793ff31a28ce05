"""Uploads: a file sent in parts. It is completed exactly once, however often and by however many that is asked.

Parts are stored objects like blobs; their rows go once the upload is settled, and then the objects.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from retrieval.catalog.account_rows import FileRow, NewFile, PartRow, UploadRow, UploadStatus
from retrieval.catalog.files import Files
from retrieval.catalog.projects import Projects
from retrieval.catalog.tables import parts, uploads
from retrieval.catalog.tally import slices
from retrieval.catalog.values import storable, within_range
from retrieval.errors import NotAllowedNow, NotFound, StorageQuotaReached
from retrieval.ids import FileId, PartId, ProjectId, UploadId, well_formed

LIFETIME_SECONDS = 3600


@dataclass(frozen=True, slots=True)
class NewUpload:
    id: UploadId
    filename: str
    purpose: str
    bytes: int
    media_type: str
    file_expires_after_seconds: int | None = None


def _upload(row: Row[Any]) -> UploadRow:
    return UploadRow(
        id=UploadId(row.id),
        project_id=ProjectId(row.project_id),
        created_at=row.created_at,
        expires_at=row.expires_at,
        filename=row.filename,
        purpose=row.purpose,
        bytes=row.bytes,
        media_type=row.media_type,
        file_expires_after_seconds=row.file_expires_after_seconds,
        status=UploadStatus(row.status),
        file_id=None if row.file_id is None else FileId(row.file_id),
    )


def _part(row: Row[Any]) -> PartRow:
    return PartRow(PartId(row.id), UploadId(row.upload_id), row.created_at, row.bytes, row.blob)


class Uploads:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, project: ProjectId, upload: NewUpload, now: int) -> UploadRow:
        self._connection.execute(
            insert(uploads).values(
                id=upload.id,
                project_id=project,
                created_at=now,
                expires_at=now + LIFETIME_SECONDS,
                filename=storable(upload.filename, "filename"),
                purpose=upload.purpose,
                bytes=within_range(upload.bytes, "bytes"),
                media_type=storable(upload.media_type, "mime_type"),
                file_expires_after_seconds=upload.file_expires_after_seconds,
                status=UploadStatus.PENDING.value,
            )
        )
        return self.get(project, upload.id, now)

    def get(self, project: ProjectId, upload: UploadId, now: int) -> UploadRow:
        return self._found(project, upload, now, hold=False)

    def _found(self, project: ProjectId, upload: UploadId, now: int, *, hold: bool) -> UploadRow:
        """The upload; one whose hour is over counts as expired whether or not a sweep has come by."""
        row = None
        if well_formed(upload):
            wanted = select(uploads).where(uploads.c.id == upload, uploads.c.project_id == project)
            row = self._connection.execute(wanted.with_for_update(key_share=True) if hold else wanted).first()
        if row is None:
            raise NotFound(f"No such Upload object: {upload}", param="upload_id")
        found = _upload(row)
        if found.status is UploadStatus.PENDING and now >= found.expires_at:
            return replace(found, status=UploadStatus.EXPIRED)
        return found

    def _settle(self, upload: UploadId, status: UploadStatus, file: FileId | None = None) -> None:
        self._connection.execute(
            update(uploads).where(uploads.c.id == upload).values(status=status.value, file_id=file)
        )

    def _pending(self, project: ProjectId, upload: UploadId, now: int) -> UploadRow:
        found = self._found(project, upload, now, hold=True)
        if found.status is not UploadStatus.PENDING:
            raise NotAllowedNow(f"Upload {upload} is {found.status.value}.", param="upload_id")
        return found

    def add_part(
        self,
        project: ProjectId,
        upload: UploadId,
        part: PartId,
        size: int,
        blob: str,
        now: int,
        *,
        most_bytes: int | None = None,
    ) -> PartRow:
        """Add a part whose bytes are durable under the name `blob`. `most_bytes`: that the project may have in files
        and parts afterwards."""
        self._pending(project, upload, now)
        if most_bytes is not None:  # under the project's lock, or parts sent at once would each find the same room
            stored = Projects(self._connection).lock_and_add_bytes(project, 0) + self.pending_bytes(project) + size
            if stored > most_bytes:
                raise StorageQuotaReached(most=most_bytes, stored=stored)
        values = {
            "id": part,
            "upload_id": upload,
            "project_id": project,
            "created_at": now,
            "bytes": size,
            "blob": blob,
        }
        return _part(self._connection.execute(insert(parts).values(values).returning(*parts.c)).one())

    def pending_bytes(self, project: ProjectId) -> int:
        """Of the parts of all uploads that are not settled: stored, and in no file yet."""
        wanted = (
            select(func.coalesce(func.sum(parts.c.bytes), 0))
            .join_from(uploads, parts, parts.c.upload_id == uploads.c.id)
            .where(uploads.c.status == UploadStatus.PENDING.value, uploads.c.project_id == project)
        )
        return int(self._connection.execute(wanted).scalar_one())

    def parts(self, project: ProjectId, upload: UploadId) -> tuple[PartRow, ...]:
        """In the order in which they came, which need not be the order in which they make up the file."""
        wanted = select(parts).where(parts.c.upload_id == upload, parts.c.project_id == project)
        if not well_formed(upload):
            return ()
        return tuple(_part(row) for row in self._connection.execute(wanted.order_by(parts.c.serial)))

    def part_bytes(self, project: ProjectId, upload: UploadId) -> int:
        wanted = select(func.coalesce(func.sum(parts.c.bytes), 0)).where(
            parts.c.upload_id == upload, parts.c.project_id == project
        )
        return int(self._connection.execute(wanted).scalar_one())

    def complete(
        self, project: ProjectId, upload: UploadId, file: NewFile, now: int, *, most_bytes: int | None = None
    ) -> FileRow:
        """Turn the upload into `file`, whose bytes are durable. Of several who try, the first makes the file and all
        are given it; the others (`FileRow.id` is not theirs) remove their own object."""
        found = self._found(project, upload, now, hold=True)
        files = Files(self._connection)
        if found.status is UploadStatus.COMPLETED and found.file_id is not None:
            return files.get(project, found.file_id)
        self._pending(project, upload, now)
        made = files.add(project, file, now, most_bytes=most_bytes)
        self._settle(upload, UploadStatus.COMPLETED, file.id)
        return made

    def cancel(self, project: ProjectId, upload: UploadId, now: int) -> UploadRow:
        """Cancelling again is answered with the same upload; a completed or expired one cannot be cancelled."""
        found = self._found(project, upload, now, hold=True)
        if found.status is UploadStatus.CANCELLED:
            return found
        self._pending(project, upload, now)
        self._settle(upload, UploadStatus.CANCELLED)
        return self.get(project, upload, now)

    def expire(self, now: int) -> int:
        """Settle all pending uploads whose hour is over: how many."""
        due = (uploads.c.status == UploadStatus.PENDING.value) & (uploads.c.expires_at <= now)
        return self._connection.execute(update(uploads).where(due).values(status=UploadStatus.EXPIRED.value)).rowcount

    def disposable_parts(self, most: int) -> tuple[PartRow, ...]:
        """Parts of settled uploads: their rows are forgotten first, then their objects are removed."""
        due = (
            select(*parts.c)
            .join_from(parts, uploads, parts.c.upload_id == uploads.c.id)
            .where(uploads.c.status != UploadStatus.PENDING.value)
            .order_by(parts.c.serial)
            .limit(most)
        )
        return tuple(_part(row) for row in self._connection.execute(due))

    def forget_parts(self, wanted: Collection[PartId]) -> int:
        forgotten = 0
        for some in slices(sorted(wanted)):
            forgotten += self._connection.execute(delete(parts).where(parts.c.id.in_(some))).rowcount
        return forgotten
