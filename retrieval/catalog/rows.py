"""Rows as the rest of the house sees them: frozen, typed, without SQL.

A *document* is one ingestion of one file into one store, and has a number that is never used again in that
store. Segment rows name documents by number; a document's row says whether it lives. Every change of a
document (published, attributes changed, superseded, deleted) is stamped with the store's new generation, so
that a reader at generation G reads only what changed after G.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from retrieval.ids import BatchId, FileId, LeaseToken, ProjectId, SegmentId, StoreId

AttributeValue = str | float | bool
Attributes = Mapping[str, AttributeValue]

T = TypeVar("T")


class FileStatus(StrEnum):
    """Of a file in a store."""

    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StoreStatus(StrEnum):
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    EXPIRED = "expired"


class FailureCode(StrEnum):
    """Why a file of a store failed; no other code may reach a typed client."""

    UNSUPPORTED_FILE = "unsupported_file"
    INVALID_FILE = "invalid_file"
    SERVER_ERROR = "server_error"


class Trouble(StrEnum):
    """What a file that is put off waits for to pass."""

    EMBEDDER_UNAVAILABLE = "embedder_unavailable"
    EMBEDDER_MISBEHAVED = "embedder_misbehaved"
    MODEL_MISSING = "model_missing"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    CATALOG_UNAVAILABLE = "catalog_unavailable"
    WORKERS_BUSY = "workers_busy"
    SERVER_ERROR = "server_error"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a file was put off, and since when it has been put off for nothing else."""

    trouble: Trouble
    message: str
    since: int


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    items: tuple[T, ...]
    has_more: bool  # in the direction of travel


@dataclass(frozen=True, slots=True)
class FileCounts:
    in_progress: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        return self.in_progress + self.completed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class LastError:
    code: FailureCode
    message: str


@dataclass(frozen=True, slots=True)
class StaticChunking:
    """Windows of a fixed size. Where a chunking is expected, None means `auto`."""

    max_tokens: int
    overlap_tokens: int


@dataclass(frozen=True, slots=True)
class StoreRow:
    id: StoreId
    project_id: ProjectId
    created_at: int
    name: str
    description: str | None
    metadata: Mapping[str, str]
    model: str
    width: int
    expires_days: int | None
    expires_at: int | None
    expired_at: int | None
    last_active_at: int
    usage_bytes: int
    counts: FileCounts
    generation: int

    def status_at(self, now: int) -> StoreStatus:
        """A store is expired from the second its time is over, whether or not upkeep has come by."""
        if self.expired_at is not None or (self.expires_at is not None and now >= self.expires_at):
            return StoreStatus.EXPIRED
        return StoreStatus.IN_PROGRESS if self.counts.in_progress else StoreStatus.COMPLETED


@dataclass(frozen=True, slots=True)
class StoreGlance:
    """What every search must know about a store first, in one indexed read."""

    id: StoreId
    project_id: ProjectId
    generation: int
    last_active_at: int
    expires_at: int | None
    expired_at: int | None

    def expired(self, now: int) -> bool:
        return self.expired_at is not None or (self.expires_at is not None and now >= self.expires_at)


@dataclass(frozen=True, slots=True)
class Attachment:
    """The wish that a file be in a store; what it `supersedes` leaves in the commit that publishes it."""

    file_id: FileId
    attributes: Attributes | None = None
    chunking: StaticChunking | None = None
    supersedes: FileId | None = None


@dataclass(frozen=True, slots=True)
class StoreFileRow:
    file_id: FileId
    store_id: StoreId
    project_id: ProjectId
    created_at: int  # of the attachment
    filename: str
    bytes: int  # of the file
    status: FileStatus
    attributes: Attributes | None
    chunking: StaticChunking | None
    usage_bytes: int
    chunks: int
    last_error: LastError | None
    batch_id: BatchId | None  # the batch that attached it last
    attempt: int
    settled_at: int | None
    live_document: int | None  # the document that searches find; a file being replaced has one while in progress


@dataclass(frozen=True, slots=True)
class BatchRow:
    id: BatchId
    store_id: StoreId
    project_id: ProjectId
    created_at: int
    cancelled_at: int | None
    counts: FileCounts

    @property
    def status(self) -> str:
        if self.cancelled_at is not None:
            return "cancelled"
        if self.counts.in_progress:
            return "in_progress"
        return "failed" if self.counts.failed and self.counts.failed == self.counts.total else "completed"


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to ingest one file of a store, as document `document`, until the lease ends."""

    store_id: StoreId
    project_id: ProjectId
    file_id: FileId
    filename: str
    media_type: str
    bytes: int
    blob: str
    chunking: StaticChunking | None
    document: int
    token: LeaseToken
    attempt: int  # from 1; released claims do not count
    deaths: int  # how many earlier claims ended by their lease running out
    leased_until: int
    edition: int  # that the document is to be part of
    model: str  # of that edition
    copy_of: int | None = None  # the document whose chunks it takes over; None: the file is read
    segment_id: SegmentId | None = None  # that holds those chunks
    batch_id: BatchId | None = None  # by which it was attached, if by one
    put_off: Reason | None = None  # when it was claimed the last time
    replaces: bool = False  # a living document, or one of another file


@dataclass(frozen=True, slots=True)
class Predecessor:
    """The living document that a waiting file is to replace, and where its rows are."""

    file_id: FileId
    document: int
    segment_id: SegmentId


@dataclass(frozen=True, slots=True)
class Waiting:
    """A store with files that nobody holds: somebody should ring."""

    store_id: StoreId
    project_id: ProjectId
    files: int


@dataclass(frozen=True, slots=True)
class Failure:
    """A verdict on one claimed file."""

    file_id: FileId
    code: FailureCode
    message: str


@dataclass(frozen=True, slots=True)
class Ingested:
    """One claimed file, whose rows the segment holds under the claim's document number."""

    file_id: FileId
    token: LeaseToken
    document: int
    chunks: int
    usage_bytes: int
    texts_embedded: int = 0  # chunks whose vector was known neither to the cache nor to the document replaced
    tokens_embedded: int = 0
    embedding_calls: int = 0  # those that this file was the first to need


@dataclass(frozen=True, slots=True)
class Publication:
    generation: int  # of the store afterwards; 0 if the store is gone
    published: tuple[FileId, ...]
    skipped: tuple[FileId, ...]  # cancelled, deleted or taken over meanwhile
    segment_live: bool  # if not, the caller removes the segment's file


@dataclass(frozen=True, slots=True)
class SegmentLoad:
    """How much of a live segment still lives."""

    id: SegmentId
    rows: int
    living_documents: int
    living_chunks: int


@dataclass(frozen=True, slots=True)
class RemovedSegment:
    """A segment that no manifest names any more; its files go once no reader can hold them."""

    id: SegmentId
    store_id: StoreId
    removed_at: int


@dataclass(frozen=True, slots=True)
class RemovedIndex:
    segment_id: SegmentId
    store_id: StoreId
    codebook: int
    removed_at: int


@dataclass(frozen=True, slots=True)
class RemovedCodebook:
    store_id: StoreId
    version: int
    removed_at: int


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One live segment of a store: enough to open it and to know that it is whole."""

    id: SegmentId
    store_id: StoreId
    rows: int
    width: int
    bytes: int  # of the file
    checksum: int  # of the header, which in turn holds checksums of everything after it; see docs/formats/segment.md
    created_at: int


@dataclass(frozen=True, slots=True)
class IndexRow:
    """Vector codes of one segment under one codebook. Derived: dropping it makes a search slower, never wrong."""

    segment_id: SegmentId
    codebook: int  # version of the store's codebook
    bytes: int
    checksum: int


@dataclass(frozen=True, slots=True)
class CodebookRow:
    """What all coded segments of a store share, and what was measured when it was made."""

    store_id: StoreId
    version: int
    trained_rows: int  # in the store when it was trained
    measured_rows: int  # and when the three figures below were measured last
    candidates: int  # how many are re-scored so that recall holds; 0: codes do not serve this store
    probes: int  # of 1,000 lists of a large segment, how many a search visits
    recall: float  # at ten, against the exact scan, on the store's own vectors
    bytes: int
    checksum: int


class DocumentRow(NamedTuple):
    """A tuple: opening a store makes thousands at once."""

    number: int
    file_id: FileId
    filename: str
    attributes: Attributes
    living: bool
    changed: int  # the generation that changed it last


@dataclass(frozen=True, slots=True)
class Manifest:
    """One generation of a store: everything a snapshot opens. `documents` holds what changed since `since`."""

    store_id: StoreId
    generation: int
    model: str
    width: int
    segments: tuple[SegmentRow, ...]
    indexes: tuple[IndexRow, ...]
    codebook: CodebookRow | None
    documents: tuple[DocumentRow, ...]
    since: int  # the generation that the reader already had; 0 for all
    edition: int = 0
