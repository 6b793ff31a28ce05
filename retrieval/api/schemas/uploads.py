"""Upload and part: the wire's objects and bodies."""

from typing import Final, Literal

from pydantic import BaseModel, Field

from retrieval.api.schemas.files import ExpiresAfter, FileObject, Purpose
from retrieval.api.validation import Closed
from retrieval.catalog.account_rows import FileRow, PartRow, UploadRow

MOST_UPLOAD_BYTES: Final = 8 << 30


class CreateUpload(Closed):
    filename: str = Field(min_length=1, max_length=1024)
    purpose: Purpose
    bytes: int = Field(ge=1, le=MOST_UPLOAD_BYTES)
    mime_type: str = Field(max_length=255)
    expires_after: ExpiresAfter | None = None


class CompleteUpload(Closed):
    part_ids: list[str] = Field(min_length=1, max_length=10_000)
    md5: str | None = None


class UploadObject(BaseModel):
    id: str
    object: Literal["upload"] = "upload"
    bytes: int
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    status: str
    file: FileObject | None = None

    @classmethod
    def of(cls, row: UploadRow, file: FileRow | None = None) -> "UploadObject":
        return cls(
            id=row.id,
            bytes=row.bytes,
            created_at=row.created_at,
            expires_at=row.expires_at,
            filename=row.filename,
            purpose=row.purpose,
            status=row.status.value,
            file=None if file is None else FileObject.of(file),
        )


class PartObject(BaseModel):
    id: str
    object: Literal["upload.part"] = "upload.part"
    created_at: int
    upload_id: str

    @classmethod
    def of(cls, row: PartRow) -> "PartObject":
        return cls(id=row.id, created_at=row.created_at, upload_id=row.upload_id)
