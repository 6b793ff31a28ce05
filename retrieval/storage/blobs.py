"""Blobs: uploaded bytes, and the parts of unfinished uploads.

Bytes are hashed while they stream through; nothing here holds a file in memory. A blob's name is used once and never
again, so that removing one can never take away what somebody is just receiving; that equal files of a project share
one is the catalog's doing, which knows the hashes.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Self

from retrieval.errors import TooLarge
from retrieval.ids import PartId, ProjectId, UploadId, new_blob_name
from retrieval.storage.objects import Draft, Piece, Storage, StoredObject

BLOBS = "blobs"
PARTS = "parts"


@dataclass(frozen=True, slots=True)
class BlobFacts:
    name: str  # of the stored object
    sha256: str
    md5: str  # empty where nobody compares it
    bytes: int


class Incoming:
    """A body on its way in: `write` what arrives, then `finish`. Left without `finish`, nothing remains."""

    def __init__(
        self, draft: Draft, name: str, *, most_bytes: int, hashed: bool = True, with_md5: bool = False
    ) -> None:
        self._draft = draft
        self._name = name
        self._most_bytes = most_bytes
        self._hashed = hashed
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if with_md5 else None  # slower than all else of an upload

    def __enter__(self) -> Self:
        self._draft.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._draft.__exit__(*exception)

    def write(self, piece: Piece) -> None:
        if self._draft.bytes + memoryview(piece).nbytes > self._most_bytes:
            raise TooLarge(f"The upload is larger than the {self._most_bytes} bytes allowed.")
        self._draft.write(piece)
        if self._hashed:
            self._sha256.update(piece)
        if self._md5 is not None:
            self._md5.update(piece)

    @property
    def facts(self) -> BlobFacts:
        md5 = "" if self._md5 is None else self._md5.hexdigest()
        return BlobFacts(self._name, self._sha256.hexdigest(), md5, self._draft.bytes)

    def finish(self) -> BlobFacts:
        """Durable when this returns."""
        self._draft.create(self._name)
        return self.facts


class Blobs:
    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def incoming(self, project: ProjectId, *, most_bytes: int, with_md5: bool = False) -> Incoming:
        return Incoming(self._storage.draft(), _blob_name(project), most_bytes=most_bytes, with_md5=with_md5)

    def incoming_part(self, project: ProjectId, upload: UploadId, part: PartId, *, most_bytes: int) -> Incoming:
        """Its bytes are hashed when the parts are joined, and not here as well."""
        name = part_name(project, upload, part)
        return Incoming(self._storage.draft(), name, most_bytes=most_bytes, hashed=False)

    def receive(self, project: ProjectId, pieces: Iterable[Piece], *, most_bytes: int) -> BlobFacts:
        with self.incoming(project, most_bytes=most_bytes) as incoming:
            for piece in pieces:
                incoming.write(piece)
            return incoming.finish()

    def concatenate(
        self, project: ProjectId, upload: UploadId, parts: Sequence[PartId], *, most_bytes: int, with_md5: bool = False
    ) -> AbstractContextManager[Incoming]:
        """A body made of an upload's parts in this order, to be compared and then finished. The parts stay."""
        names = [part_name(project, upload, part) for part in parts]
        return self._joined(names, self.incoming(project, most_bytes=most_bytes, with_md5=with_md5))

    @contextmanager
    def _joined(self, names: Sequence[str], joined: Incoming) -> Iterator[Incoming]:
        with joined as incoming:
            for name in names:
                for piece in self._storage.read(name):
                    incoming.write(piece)
            yield incoming

    def list(self, project: ProjectId | None = None) -> Iterator[tuple[ProjectId, StoredObject]]:
        """Every blob and whose it is: what a sweep compares with the catalog."""
        for stored in self._storage.list(BLOBS if project is None else f"{BLOBS}/{project}"):
            yield ProjectId(stored.name.split("/")[1]), stored

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


def _blob_name(project: ProjectId) -> str:
    name = new_blob_name()
    return f"{BLOBS}/{project}/{name[-2:]}/{name}"


def part_name(project: ProjectId, upload: UploadId, part: PartId) -> str:
    return f"{PARTS}/{project}/{upload}/{part}"
