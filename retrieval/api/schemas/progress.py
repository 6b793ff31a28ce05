"""How far the files of a store or of a batch have come: an extension beside the contract's routes."""

from typing import Literal

from pydantic import BaseModel, Field

from retrieval.catalog.progress import Progress, Sums
from retrieval.catalog.rows import Trouble


class ProgressSums(BaseModel):
    files: int
    bytes: int
    chunks: int

    @classmethod
    def of(cls, sums: Sums) -> "ProgressSums":
        return cls(files=sums.files, bytes=sums.bytes, chunks=sums.chunks)


class ProgressRate(BaseModel):
    """Over the last minute, or as long as the work has taken if that is less."""

    files_per_second: float
    bytes_per_second: float
    chunks_per_second: float


class ProgressPutOff(BaseModel):
    """Files that are tried again, ever more slowly, until what they wait for has passed."""

    reason: Trouble
    message: str = Field(description="What one of them met last.")
    files: int
    since: int = Field(description="Unix seconds; of the file that has waited longest.")


class ProgressObject(BaseModel):
    object: Literal["vector_store.progress"] = "vector_store.progress"
    vector_store_id: str
    batch_id: str | None
    done: bool
    in_progress: ProgressSums
    completed: ProgressSums
    failed: ProgressSums
    cancelled: ProgressSums
    put_off: list[ProgressPutOff] = Field(description="Why files in progress make none.")
    rate: ProgressRate
    eta_seconds: int | None = Field(description="Null while there is no rate to reckon with.")

    @classmethod
    def of(cls, progress: Progress, store: str, batch: str | None) -> "ProgressObject":
        recent, seconds = progress.recent, progress.recent_seconds
        return cls(
            vector_store_id=store,
            batch_id=batch,
            done=progress.in_progress.files == 0,
            in_progress=ProgressSums.of(progress.in_progress),
            completed=ProgressSums.of(progress.completed),
            failed=ProgressSums.of(progress.failed),
            cancelled=ProgressSums.of(progress.cancelled),
            put_off=[
                ProgressPutOff(reason=one.trouble, message=one.message, files=one.files, since=one.since)
                for one in progress.put_off
            ],
            rate=ProgressRate(
                files_per_second=round(recent.files / seconds, 3),
                bytes_per_second=round(recent.bytes / seconds, 3),
                chunks_per_second=round(recent.chunks / seconds, 3),
            ),
            eta_seconds=progress.eta_seconds,
        )
