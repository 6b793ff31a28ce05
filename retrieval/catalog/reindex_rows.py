"""Re-indexing as the rest of the house sees it: what is wished, how far it is, what a second edition's work is."""

from dataclasses import dataclass
from enum import StrEnum

from retrieval.catalog.rows import LastError, StaticChunking
from retrieval.ids import FileId, ProjectId, ReindexId, StoreId


class ReindexState(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    BLOCKED = "blocked"  # all is done but files that failed: somebody must decide
    SWAPPED = "swapped"  # the old edition is kept, and may come back
    ROLLING_BACK = "rolling_back"  # the old edition takes in what came since the swap
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    CANCELLED = "cancelled"


BUILDING = frozenset({ReindexState.RUNNING, ReindexState.ROLLING_BACK})  # in these states workers have work


@dataclass(frozen=True, slots=True)
class ReindexWish:
    model: str
    width: int
    rechunk: bool = False  # false: chunks and texts stay, only vectors are made anew
    chunking: StaticChunking | None = None  # of every file, where chunks are cut anew; None: auto
    chunks_per_second: float | None = None  # of all workers together; None: as fast as it goes
    keep_seconds: int = 86400  # for which the old edition stays after the swap
    allow_failed: bool = False  # swap although files failed that were found before
    dollars_per_million_tokens: float = 0.0


@dataclass(frozen=True, slots=True)
class ReindexProgress:
    """Of documents: one file is one. Chunks are those of the edition that searches find now."""

    documents: int
    documents_done: int
    documents_failed: int
    chunks: int
    chunks_done: int


@dataclass(frozen=True, slots=True)
class ReindexRow:
    id: ReindexId
    store_id: StoreId
    project_id: ProjectId
    created_at: int
    state: ReindexState
    reason: str | None
    model: str
    replaces_model: str
    rechunk: bool
    chunking: StaticChunking | None
    chunks_per_second: float | None
    keep_seconds: int
    allow_failed: bool
    edition: int  # the one that searches do not find
    edition_model: str
    edition_width: int
    resumed_at: int
    resumed_done: int
    swapped_at: int | None
    kept_until: int | None
    finished_at: int | None
    tokens: int
    dollars_per_million_tokens: float
    progress: ReindexProgress

    def eta_seconds(self, now: int) -> int | None:
        """At the rate since the work was last taken up; None without one."""
        if self.state not in BUILDING:
            return None
        left = self.progress.documents - self.progress.documents_done - self.progress.documents_failed
        done = self.progress.documents_done - self.resumed_done
        if left <= 0:
            return 0
        return None if done <= 0 else max(1, round(left * max(now - self.resumed_at, 1) / done))

    @property
    def dollars(self) -> float:
        return self.tokens * self.dollars_per_million_tokens / 1e6


@dataclass(frozen=True, slots=True)
class ReindexFailure:
    file_id: FileId
    filename: str
    error: LastError


class SwapOutcome(StrEnum):
    SWAPPED = "swapped"
    BEHIND = "behind"  # something was published meanwhile, or is still being worked on
    BLOCKED = "blocked"  # files failed, and nobody allowed it
    ENDED = "ended"  # nothing is being built any more
