"""Blobs: uploaded bytes, one copy per project and content, and the parts of unfinished uploads.

Bytes are hashed while they stream through; nothing here holds a file in memory. A blob is named by its SHA-256, so
receiving the same content again renews the copy instead of adding one, and with it the modification time that a
sweep of unreferenced blobs goes by.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from retrieval.errors import ObjectMissing, TooLarge
from retrieval.ids import PartId, ProjectId, UploadId
from retrieval.storage.objects import Draft, Piece, Storage, StoredObject

BLOBS = "blobs"
PARTS = "parts"


@dataclass(frozen=True, slots=True)
class BlobFacts:
    sha256: str
    md5: str
    bytes: int


class Incoming:
    """A body on its way in: `write` what arrives, then `finish`. Left without `finish`, nothing remains."""

    def __init__(self, draft: Draft, *, most_bytes: int) -> None:
        self._draft = draft
        self._most_bytes = most_bytes
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False)  # clients of the upload API compare it

    def __enter__(self) -> Self:
        self._draft.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._draft.__exit__(*exception)

    def write(self, piece: Piece) -> None:
        if self._draft.bytes + memoryview(piece).nbytes > self._most_bytes:
            raise TooLarge(f"The upload is larger than the {self._most_bytes} bytes allowed.")
        self._draft.write(piece)
        self._sha256.update(piece)
        self._md5.update(piece)

    @property
    def facts(self) -> BlobFacts:
        return BlobFacts(self._sha256.hexdigest(), self._md5.hexdigest(), self._draft.bytes)


class IncomingBlob(Incoming):
    def __init__(self, draft: Draft, project: ProjectId, *, most_bytes: int) -> None:
        super().__init__(draft, most_bytes=most_bytes)
        self._project = project

    def finish(self) -> BlobFacts:
        """Durable when this returns."""
        facts = self.facts
        self._draft.create(blob_name(self._project, facts.sha256), replace=True)
        return facts


class IncomingPart(Incoming):
    def __init__(self, draft: Draft, name: str, *, most_bytes: int) -> None:
        super().__init__(draft, most_bytes=most_bytes)
        self._name = name

    def finish(self) -> BlobFacts:
        """Durable when this returns."""
        self._draft.create(self._name)
        return self.facts


class Blobs:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def incoming(self, project: ProjectId, *, most_bytes: int) -> IncomingBlob:
        return IncomingBlob(self._storage.draft(), project, most_bytes=most_bytes)

    def incoming_part(self, project: ProjectId, upload: UploadId, part: PartId, *, most_bytes: int) -> IncomingPart:
        return IncomingPart(self._storage.draft(), _part_name(project, upload, part), most_bytes=most_bytes)

    def receive(self, project: ProjectId, pieces: Iterable[Piece], *, most_bytes: int) -> BlobFacts:
        with self.incoming(project, most_bytes=most_bytes) as incoming:
            for piece in pieces:
                incoming.write(piece)
            return incoming.finish()

    def concatenate(
        self, project: ProjectId, upload: UploadId, parts: Sequence[PartId], *, most_bytes: int
    ) -> BlobFacts:
        """The blob of an upload's parts in this order. The parts stay until `delete_parts`, so this may be repeated."""
        pieces = (piece for part in parts for piece in self._storage.read(_part_name(project, upload, part)))
        return self.receive(project, pieces, most_bytes=most_bytes)

    def read(self, project: ProjectId, sha256: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        return self._storage.read(blob_name(project, sha256), start, stop)

    def local(self, project: ProjectId, sha256: str) -> AbstractContextManager[Path]:
        return self._storage.local(blob_name(project, sha256))

    def size(self, project: ProjectId, sha256: str) -> int:
        return self._storage.size(blob_name(project, sha256))

    def list(self, project: ProjectId | None = None) -> Iterator[tuple[ProjectId, str, StoredObject]]:
        """Every blob as (project, sha256, object): what a sweep compares with the catalog."""
        for stored in self._storage.list(BLOBS if project is None else f"{BLOBS}/{project}"):
            _, owner, _, sha256 = stored.name.split("/")
            yield ProjectId(owner), sha256, stored

    def delete_if_older(self, project: ProjectId, sha256: str, *, modified_before: int) -> bool:
        """Delete a blob that no row names, unless it was received again meanwhile and its row is still to come."""
        name = blob_name(project, sha256)
        folder = name.rpartition("/")[0]
        for stored in self._storage.list(folder):
            if stored.name == name and stored.modified_at < modified_before:
                self._storage.delete(name)
                return True
        return False

    def delete_parts(self, project: ProjectId, upload: UploadId) -> int:
        names = [stored.name for stored in self._storage.list(f"{PARTS}/{project}/{upload}")]
        for name in names:
            self._storage.delete(name)
        return len(names)

    def list_parts(self) -> Iterator[tuple[ProjectId, UploadId, StoredObject]]:
        """Every part of every upload: what a sweep of abandoned uploads compares with the catalog."""
        for stored in self._storage.list(PARTS):
            _, project, upload, _ = stored.name.split("/")
            yield ProjectId(project), UploadId(upload), stored


def blob_name(project: ProjectId, sha256: str) -> str:
    if len(sha256) != 64:
        raise ObjectMissing(f"no blob has the hash {sha256!r}")
    return f"{BLOBS}/{project}/{sha256[:2]}/{sha256}"


def _part_name(project: ProjectId, upload: UploadId, part: PartId) -> str:
    return f"{PARTS}/{project}/{upload}/{part}"
