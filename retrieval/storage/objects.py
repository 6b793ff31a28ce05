"""Storage: the narrow port behind which blobs, segments and indexes lie, in a folder or in a bucket.

Objects never change: a name is used for one content only, so that copies of it may be kept anywhere. A draft is
invisible until `create`; when `create` returns, the object is whole and durable; when it raises, or the process
dies, nobody ever sees a part of it.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

Piece = bytes | bytearray | memoryview

READ_BYTES = 1 << 20  # how much `read` yields at once

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.=-]*(/[A-Za-z0-9_][A-Za-z0-9_.=-]*)*\Z")


@dataclass(frozen=True, slots=True)
class StoredObject:
    name: str
    bytes: int
    modified_at: int


@dataclass(frozen=True, slots=True)
class Health:
    free_bytes: int | None  # None where room is not ours to measure


class Draft(Protocol):
    """An object being written. Leaving its context without `create` leaves nothing behind."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    @property
    def bytes(self) -> int: ...

    def write(self, piece: Piece) -> None: ...

    def write_at(self, position: int, piece: Piece) -> None:
        """Overwrite bytes already written: a header is known last and stands first."""

    def create(self, name: str, *, replace: bool = False) -> None:
        """Make it the object of that name, or raise `ObjectExists`.

        `replace` is for names made of the content's own hash: the same bytes again, with a new modification time.
        """


class Storage(Protocol):
    def draft(self) -> Draft: ...

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Stream bytes [start, stop); `ObjectMissing` is raised here, not at the first piece."""

    def local(self, name: str) -> AbstractContextManager[Path]:
        """A file on this machine to open or map; the path is good within the context, what was opened stays good."""

    def size(self, name: str) -> int: ...

    def exists(self, name: str) -> bool: ...

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is already removed."""

    def list(self, folder: str = "") -> Iterator[StoredObject]:
        """All objects below a folder (whole path parts), in no promised order."""

    def forget_local(self, name: str) -> None:
        """Drop this machine's copy, if it is only a copy: it turned out damaged and is to be fetched again."""

    def check(self) -> Health:
        """Whether a write would succeed now: `StorageFull` or `StorageUnavailable` if not."""

    def sweep(self) -> int:
        """Remove what crashed writers left behind; how many pieces went."""

    def close(self) -> None: ...


def put(storage: Storage, name: str, pieces: Iterable[Piece], *, replace: bool = False) -> int:
    """Write one object from its pieces; how many bytes it has."""
    with storage.draft() as draft:
        for piece in pieces:
            draft.write(piece)
        draft.create(name, replace=replace)
        return draft.bytes


def checked_name(name: str) -> str:
    """A name that stays inside the storage; anything else is our own bug."""
    if len(name) > 512 or not _NAME.match(name):
        raise ValueError(f"not the name of an object: {name!r}")
    return name


def checked_range(name: str, size: int, start: int, stop: int | None) -> tuple[int, int]:
    """The same clamping in every adapter: a stop beyond the end means the end."""
    if start < 0 or (stop is not None and stop < start):
        raise ValueError(f"{name}: no such range: {start}..{stop}")
    end = size if stop is None else min(stop, size)
    return min(start, end), end
