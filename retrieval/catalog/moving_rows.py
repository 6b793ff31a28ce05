"""Rows of what is on its way out of an installation or into it: holds, imports, and a store as it travels."""

from collections.abc import Mapping
from dataclasses import dataclass

from retrieval.catalog.rows import Attributes, CodebookRow, FileStatus, LastError, SegmentRow, StaticChunking
from retrieval.ids import FileId, HoldId, ImportId, LeaseToken, ProjectId, SegmentId, StoreId


@dataclass(frozen=True, slots=True)
class HoldRow:
    """Nothing that it names is swept while it lasts; an export's also says what there is to download."""

    id: HoldId
    project_id: ProjectId | None  # None: everything is held
    store_id: StoreId | None
    created_at: int
    held_until: int
    ends_at: int
    generation: int = 0
    bytes: int = 0
    files: int = 0
    chunks: int = 0
    etag: str = ""


@dataclass(frozen=True, slots=True)
class ImportRow:
    id: ImportId
    project_id: ProjectId
    created_at: int
    file_id: FileId
    keep_ids: bool
    model: str | None  # None: the archive's vectors as they are
    name: str | None
    store_id: StoreId | None
    status: FileStatus
    bytes: int
    bytes_done: int
    files: int
    unchanged: bool  # everything was here already
    error: str | None
    attempt: int
    deaths: int
    token: LeaseToken | None
    settled_at: int | None


@dataclass(frozen=True, slots=True)
class MovedDocument:
    """What searches find of a file."""

    number: int
    segment: SegmentId | None
    chunks: int
    usage_bytes: int
    filename: str
    attributes: Attributes | None


@dataclass(frozen=True, slots=True)
class MovedFile:
    """One file of a store with everything that belongs to it, as it leaves or arrives."""

    id: FileId
    created_at: int
    filename: str
    purpose: str
    bytes: int
    sha256: str
    blob: str
    media_type: str
    expires_at: int | None
    attached_at: int
    status: FileStatus
    attributes: Attributes | None
    chunking: StaticChunking | None
    error: LastError | None
    settled_at: int | None
    document: MovedDocument | None


@dataclass(frozen=True, slots=True)
class MovedStore:
    """A store's own row, without what counts its files."""

    id: StoreId
    created_at: int
    name: str
    description: str | None
    metadata: Mapping[str, str]
    model: str
    width: int
    expires_days: int | None
    generation: int


@dataclass(frozen=True, slots=True)
class ReceivedStore:
    """A store whose objects are all in place, to be made visible in one transaction."""

    store: MovedStore
    segments: tuple[SegmentRow, ...]
    codebook: CodebookRow | None
