"""Vector stores: the wire's object, and what requests may say about one."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from retrieval.api.schemas.attributes import METADATA_SCHEMA, parse_metadata
from retrieval.api.schemas.chunking import CHUNKING_SCHEMA
from retrieval.api.validation import Closed
from retrieval.catalog.rows import FileCounts, StoreRow
from retrieval.catalog.vector_stores import Keep, StoreChanges

MOST_FILES_AT_ONCE: Final = 500
MOST_NAME_CHARACTERS: Final = 4096
MOST_DESCRIPTION_CHARACTERS: Final = 65536

Name = Annotated[str, Field(max_length=MOST_NAME_CHARACTERS)]


class FileCountsObject(BaseModel):
    in_progress: int
    completed: int
    failed: int
    cancelled: int
    total: int

    @classmethod
    def of(cls, counts: FileCounts) -> "FileCountsObject":
        return cls(
            in_progress=counts.in_progress,
            completed=counts.completed,
            failed=counts.failed,
            cancelled=counts.cancelled,
            total=counts.total,
        )


class ExpiresAfterLastUse(Closed):
    anchor: Literal["last_active_at"]
    days: int = Field(ge=1, le=365)


class VectorStoreObject(BaseModel):
    id: str
    object: Literal["vector_store"] = "vector_store"
    created_at: int
    name: str
    description: str | None
    usage_bytes: int
    file_counts: FileCountsObject
    status: Literal["in_progress", "completed", "expired"]
    # The published description knows no null here: without a policy the key is absent.
    expires_after: ExpiresAfterLastUse | None = Field(default=None, exclude_if=lambda policy: policy is None)
    expires_at: int | None
    last_active_at: int | None
    metadata: dict[str, str] | None

    @classmethod
    def of(cls, row: StoreRow, now: int) -> "VectorStoreObject":
        days = row.expires_days
        return cls(
            id=row.id,
            created_at=row.created_at,
            name=row.name,
            description=row.description,
            usage_bytes=row.usage_bytes,
            file_counts=FileCountsObject.of(row.counts),
            status=row.status_at(now).value,
            expires_after=None if days is None else ExpiresAfterLastUse(anchor="last_active_at", days=days),
            expires_at=row.expires_at,
            last_active_at=row.last_active_at,
            metadata=dict(row.metadata),
        )


class VectorStoreList(BaseModel):
    object: Literal["list"] = "list"
    data: list[VectorStoreObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VectorStoreDeleted(BaseModel):
    id: str
    object: Literal["vector_store.deleted"] = "vector_store.deleted"
    deleted: Literal[True] = True


class CreateVectorStore(Closed):
    name: Name | None = None
    description: Annotated[str, Field(max_length=MOST_DESCRIPTION_CHARACTERS)] | None = None
    file_ids: Annotated[list[str], Field(max_length=MOST_FILES_AT_ONCE)] | None = None
    chunking_strategy: Annotated[object, CHUNKING_SCHEMA] = None
    expires_after: ExpiresAfterLastUse | None = None
    metadata: Annotated[object, METADATA_SCHEMA] = None
    embedding_model: str | None = None
    embedding_dimension: int | None = None


class UpdateVectorStore(Closed):
    """What is not named stays as it is; null clears."""

    name: Name | None = None
    expires_after: ExpiresAfterLastUse | None = None
    metadata: Annotated[object, METADATA_SCHEMA] = None

    def changes(self) -> StoreChanges:
        named: dict[str, Any] = {}
        if "name" in self.model_fields_set:
            named["name"] = self.name or ""
        if "metadata" in self.model_fields_set:
            named["metadata"] = parse_metadata(self.metadata, "metadata")
        if "expires_after" in self.model_fields_set:
            named["expires_days"] = None if self.expires_after is None else self.expires_after.days
        return StoreChanges(
            name=named.get("name", Keep.AS_IS),
            metadata=named.get("metadata", Keep.AS_IS),
            expires_days=named.get("expires_days", Keep.AS_IS),
        )


class SegmentStatistics(BaseModel):
    live: int
    rows: int
    rows_living: int
    bytes: int


class IndexStatistics(BaseModel):
    """What is known of the store's vector codes; a store without codes is searched exactly."""

    coded_segments: int
    bytes: int
    trained_rows: int
    candidates: int
    recall: float | None = Field(description="Measured at ten, against the exact scan, on the store's own vectors.")


class VectorStoreStatistics(BaseModel):
    object: Literal["vector_store.statistics"] = "vector_store.statistics"
    vector_store_id: str
    generation: int
    embedding_model: str
    embedding_dimension: int
    usage_bytes: int
    file_counts: FileCountsObject
    documents_living: int
    segments: SegmentStatistics
    index: IndexStatistics


class FilesRetried(BaseModel):
    object: Literal["vector_store.retry"] = "vector_store.retry"
    vector_store_id: str
    retried: int
