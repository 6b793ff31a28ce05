"""Re-indexing on the wire: an extension beside the contract's routes."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from retrieval.api.schemas.chunking import CHUNKING_SCHEMA, chunking_answer
from retrieval.api.validation import Closed
from retrieval.catalog.reindex_rows import ReindexFailure, ReindexRow

MOST_KEEP_SECONDS: Final = 90 * 86400
SLOWEST: Final = 0.001  # chunks a second
QUICKEST: Final = 1e9


class Reindex(Closed):
    """A model, a chunking, or both; what is not named stays as it is."""

    embedding_model: str | None = None
    chunking_strategy: Annotated[object, CHUNKING_SCHEMA] = None
    chunks_per_second: (
        Annotated[float, Field(ge=SLOWEST, le=QUICKEST, strict=False, description="At most, of all workers together.")]
        | None
    ) = None
    keep_seconds: (
        Annotated[int, Field(ge=0, le=MOST_KEEP_SECONDS, description="For which the old edition can come back.")] | None
    ) = None
    allow_failed: Annotated[bool, Field(description="Swap although files failed that are found now.")] = False


class ReindexProgressObject(BaseModel):
    files: int
    files_done: int
    files_failed: int
    chunks: int
    chunks_done: int


class ReindexFailureObject(BaseModel):
    file_id: str
    filename: str
    code: str
    message: str


class ReindexObject(BaseModel):
    id: str
    object: Literal["vector_store.reindex"] = "vector_store.reindex"
    vector_store_id: str
    created_at: int
    status: Literal["running", "paused", "blocked", "swapped", "rolling_back", "completed", "rolled_back", "cancelled"]
    reason: str | None
    embedding_model: str
    replaces_model: str
    chunking_strategy: dict[str, Any] | None = Field(description="Null: chunks are taken over as they are.")
    chunks_per_second: float | None
    allow_failed: bool
    progress: ReindexProgressObject
    eta_seconds: int | None = Field(description="Null while there is no rate to reckon with.")
    tokens: int = Field(description="That the model has counted.")
    cost_usd: float
    keep_seconds: int
    swapped_at: int | None
    kept_until: int | None = Field(description="Until then a rollback is possible.")
    finished_at: int | None
    failures: list[ReindexFailureObject] = Field(description="Some of the files that could not be indexed anew.")

    @classmethod
    def of(cls, row: ReindexRow, now: int, failures: tuple[ReindexFailure, ...] = ()) -> "ReindexObject":
        progress = row.progress
        return cls(
            id=row.id,
            vector_store_id=row.store_id,
            created_at=row.created_at,
            status=row.state.value,
            reason=row.reason,
            embedding_model=row.model,
            replaces_model=row.replaces_model,
            chunking_strategy=chunking_answer(row.chunking) if row.rechunk else None,
            chunks_per_second=row.chunks_per_second,
            allow_failed=row.allow_failed,
            progress=ReindexProgressObject(
                files=progress.documents,
                files_done=progress.documents_done,
                files_failed=progress.documents_failed,
                chunks=progress.chunks,
                chunks_done=progress.chunks_done,
            ),
            eta_seconds=row.eta_seconds(now),
            tokens=row.tokens,
            cost_usd=row.dollars,
            keep_seconds=row.keep_seconds,
            swapped_at=row.swapped_at,
            kept_until=row.kept_until,
            finished_at=row.finished_at,
            failures=[
                ReindexFailureObject(
                    file_id=one.file_id, filename=one.filename, code=one.error.code.value, message=one.error.message
                )
                for one in failures
            ],
        )


class ReindexList(BaseModel):
    object: Literal["list"] = "list"
    data: list[ReindexObject]


class ReindexSkipped(BaseModel):
    vector_store_id: str
    reason: str


class ReindexStarted(BaseModel):
    object: Literal["reindex"] = "reindex"
    started: list[ReindexObject]
    skipped: list[ReindexSkipped]


class ReindexEstimate(BaseModel):
    """From the chunks as they are stored: what the model counts may be a little more or less."""

    object: Literal["vector_store.reindex.estimate"] = "vector_store.reindex.estimate"
    vector_store_id: str
    embedding_model: str
    embedding_dimension: int
    files: int
    chunks: int
    tokens: int
    cost_usd: float
