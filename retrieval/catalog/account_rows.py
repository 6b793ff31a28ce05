"""Rows of what a project owns beside its stores: its keys, files, uploads and usage. Frozen, typed, without SQL.

A file's bytes are a stored object, its *blob*; equal files of one project share one. Object names are never used
twice, so that an object may be removed once its row is gone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from retrieval.ids import FileId, KeyId, PartId, ProjectId, UploadId

Limits = Mapping[str, int]  # by name; what a name means is for whoever enforces it


class UploadStatus(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"


class Scope(StrEnum):
    """What a key may do. None contains another."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class ProjectRow:
    id: ProjectId
    name: str
    created_at: int
    limits: Limits
    bytes_stored: int  # of all its files; equal files count each


@dataclass(frozen=True, slots=True)
class KeyRow:
    """An API key. The key itself is nowhere; its hash stays inside the catalog."""

    id: KeyId
    project_id: ProjectId
    name: str
    hint: str  # enough of the key for a person to recognise it
    scopes: frozenset[Scope]
    routes: tuple[str, ...] | None  # None: all
    limits: Limits
    created_at: int
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None

    def valid_at(self, now: int) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class FileRow:
    id: FileId
    project_id: ProjectId
    created_at: int
    filename: str
    purpose: str
    bytes: int
    sha256: str
    blob: str  # the stored object that holds the bytes; equal files of a project share one
    media_type: str
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file whose bytes are durable under the object name `blob`. Names are never used twice, so that an object may
    be removed once its row is gone."""

    id: FileId
    filename: str
    purpose: str
    bytes: int
    sha256: str
    blob: str
    media_type: str = "application/octet-stream"
    expires_at: int | None = None


@dataclass(frozen=True, slots=True)
class BlobRow:
    project_id: ProjectId
    name: str
    sha256: str
    bytes: int
    orphaned_at: int | None


@dataclass(frozen=True, slots=True)
class UploadRow:
    id: UploadId
    project_id: ProjectId
    created_at: int
    expires_at: int
    filename: str
    purpose: str
    bytes: int  # as declared
    media_type: str
    file_expires_after_seconds: int | None
    status: UploadStatus
    file_id: FileId | None  # once completed


@dataclass(frozen=True, slots=True)
class PartRow:
    id: PartId
    upload_id: UploadId
    created_at: int
    bytes: int
    blob: str


@dataclass(frozen=True, slots=True)
class UsageRow:
    project_id: ProjectId
    key_id: KeyId | None
    day: int  # days since 1970-01-01
    kind: str
    quantity: int
