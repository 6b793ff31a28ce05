"""Exports and imports: the wire's objects, and what may be asked."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from retrieval.api.schemas.vector_stores import Name
from retrieval.api.validation import Closed
from retrieval.catalog.moving_rows import HoldRow, ImportRow


class ExportObject(BaseModel):
    id: str
    object: Literal["vector_store.export"] = "vector_store.export"
    vector_store_id: str
    created_at: int
    expires_at: int = Field(description="Unless it is downloaded or looked at before.")
    generation: int
    bytes: int
    files: int
    chunks: int

    @classmethod
    def of(cls, row: HoldRow) -> "ExportObject":
        return cls(
            id=row.id,
            vector_store_id=row.store_id or "",
            created_at=row.created_at,
            expires_at=row.held_until,
            generation=row.generation,
            bytes=row.bytes,
            files=row.files,
            chunks=row.chunks,
        )


class ExportDeleted(BaseModel):
    id: str
    object: Literal["vector_store.export.deleted"] = "vector_store.export.deleted"
    deleted: Literal[True] = True


class CreateImport(Closed):
    file_id: str = Field(description="The archive, uploaded as a file.")
    ids: Annotated[Literal["keep", "new"], Field(description="Of the store and its files.")] = "keep"
    name: Name | None = None
    embedding_model: str | None = Field(
        default=None, description="Embed the files anew with this model; without it the archive's vectors are taken."
    )


class ImportObject(BaseModel):
    id: str
    object: Literal["vector_store.import"] = "vector_store.import"
    created_at: int
    file_id: str
    status: Literal["in_progress", "completed", "failed", "cancelled"]
    vector_store_id: str | None = Field(description="Known once it is completed, or before with new ids.")
    bytes: int
    bytes_done: int
    files: int
    unchanged: bool = Field(description="The very store was here already.")
    error: str | None

    @classmethod
    def of(cls, row: ImportRow) -> "ImportObject":
        return cls(
            id=row.id,
            created_at=row.created_at,
            file_id=row.file_id,
            status=row.status.value,
            vector_store_id=row.store_id,
            bytes=row.bytes,
            bytes_done=min(row.bytes_done, row.bytes),
            files=row.files,
            unchanged=row.unchanged,
            error=row.error,
        )
