"""Rows of sources and their refresh runs: frozen, typed, without SQL."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from retrieval.catalog.account_rows import NewFile
from retrieval.catalog.rows import Attributes, FailureCode, FileStatus, StaticChunking
from retrieval.ids import FileId, LeaseToken, ProjectId, RunId, SourceId, StoreId


class SourceKind(StrEnum):
    DIRECTORY = "directory"
    S3 = "s3"
    URLS = "urls"


class RunStatus(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    INDEXING = "indexing"  # everything is attached; workers bring it to be found
    COMPLETED = "completed"
    STOPPED = "stopped"  # the guard against mass deletion: nothing was changed
    FAILED = "failed"  # the source could not be read at all: nothing was changed

    @property
    def ended(self) -> bool:
        return self in {RunStatus.COMPLETED, RunStatus.STOPPED, RunStatus.FAILED}


class Outcome(StrEnum):
    """What a run did to an item. `unchanged` items are counted, never listed."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"
    FAILED = "failed"


class AskedBy(StrEnum):
    SCHEDULE = "schedule"
    REQUEST = "request"


@dataclass(frozen=True, slots=True)
class Location:
    """Where a source's items are: a folder's path, a bucket and prefix, or addresses."""

    path: str = ""
    bucket: str = ""
    prefix: str = ""
    urls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceWish:
    """All of a source that a caller decides."""

    kind: SourceKind
    location: Location
    include: tuple[str, ...]
    exclude: tuple[str, ...]
    attributes: Mapping[str, str]  # templates
    chunking: StaticChunking | None
    cron: str | None
    time_zone: str
    max_removed_share: float


@dataclass(frozen=True, slots=True)
class SourceRow:
    id: SourceId
    store_id: StoreId
    project_id: ProjectId
    created_at: int
    wish: SourceWish
    next_run_at: int | None
    run_id: RunId | None


@dataclass(frozen=True, slots=True)
class Stamp:
    """What can be compared without reading an item. None: the source does not say."""

    bytes: int | None = None
    modified_ns: int | None = None
    etag: str | None = None

    @property
    def tells(self) -> bool:
        """Whether equal stamps mean equal content, as far as anybody can know without reading."""
        return self.etag is not None or (self.bytes is not None and self.modified_ns is not None)


@dataclass(frozen=True, slots=True)
class ItemRow:
    """An item as last seen, and what became of its file in the store; `status` None: the file is not there."""

    key: str
    stamp: Stamp
    sha256: str
    recipe: str
    file_id: FileId
    replaces: FileId | None  # what is found until `file_id` is
    run_id: RunId  # the run that changed it last
    outcome: Outcome
    status: FileStatus | None
    error_code: FailureCode | None
    error_message: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """An item that was read, and what its entry in the store is to be. `file` None: the content is the one known."""

    key: str
    stamp: Stamp
    sha256: str
    bytes: int
    recipe: str
    attributes: Attributes
    file: NewFile | None
    outcome: Outcome | None  # None: nothing but the stamp is new


@dataclass(frozen=True, slots=True)
class Change:
    key: str
    outcome: Outcome
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    listed: int = 0
    added: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    failed: int = 0
    bytes_read: int = 0
    chunks: int = 0
    texts_embedded: int = 0
    tokens_embedded: int = 0
    embedding_calls: int = 0


@dataclass(frozen=True, slots=True)
class RunRow:
    id: RunId
    source_id: SourceId
    project_id: ProjectId
    created_at: int
    started_at: int | None
    ended_at: int | None
    status: RunStatus
    message: str | None
    asked_by: AskedBy
    dry_run: bool
    force: bool
    counts: Counts = field(default_factory=Counts)
    dollars: float = 0.0


@dataclass(frozen=True, slots=True)
class SourceClaim:
    """The right to carry out a source's run until the lease ends."""

    source: SourceRow
    run: RunRow
    token: LeaseToken
