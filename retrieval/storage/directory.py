"""Directory: objects as files of one local folder; the only caller of fsync and rename.

An object appears by one atomic step (a link or a rename of a synced file) followed by a sync of its folder. What a
dead writer leaves lies in `.incoming`, unlocked, and is swept: a living writer holds a lock on its file.
"""

import errno
import fcntl
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from retrieval.errors import ObjectExists, ObjectMissing, StorageFull, StorageUnavailable
from retrieval.storage.objects import (
    READ_BYTES,
    Health,
    Piece,
    StoredObject,
    checked_name,
    checked_range,
)

INCOMING = ".incoming"

_SWEPT_AWAY = 20  # times in a row that a sweep may come between making a folder and putting something in it
_AHEAD_BYTES = 16 << 20  # of a long object: so much at a time is on its way to the disk before it is synced
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class Disk:
    """The system calls that change the disk, one method each: a test cuts any of them."""

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640)

    def write(self, descriptor: int, piece: memoryview, position: int) -> int:
        return os.pwrite(descriptor, piece, position)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def link(self, source: Path, target: Path) -> None:
        os.link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        source.rename(target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def make_folder(self, path: Path) -> None:
        path.mkdir(exist_ok=True)

    def sync_folder(self, path: Path) -> None:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class Hurried:
    """Lets the system begin to write what has come of a long file, so that a later sync has less to wait for. Promises
    nothing."""

    def __init__(self, descriptor: int, at: int = 0) -> None:
        self._descriptor = descriptor
        self._at = at

    def reached(self, stop: int) -> None:
        """Bytes up to `stop` were just written."""
        if stop - self._at < _AHEAD_BYTES:
            return
        if sys.platform == "linux":  # what Linux does before it would drop pages; dirty ones it does not drop
            with suppress(OSError):
                os.posix_fadvise(self._descriptor, self._at, stop - self._at, os.POSIX_FADV_DONTNEED)
        self._at = stop


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ObjectMissing(f"{what}: no such object") from error
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(f"{what}: {error.strerror}") from error
        raise StorageUnavailable(f"{what}: {error.strerror or error}") from error


class Directory:
    """Storage in a local folder. `reserve_bytes` are left free for the database beside it: writers stop before."""

    def __init__(self, root: Path, *, reserve_bytes: int = 0, disk: Disk | None = None) -> None:
        self.root = root
        self.reserve_bytes = reserve_bytes
        self.disk = disk or Disk()
        with disk_errors(str(root)):
            (root / INCOMING).mkdir(parents=True, exist_ok=True)

    def draft(self) -> "FileDraft":
        free = self._free_bytes()
        if free < self.reserve_bytes:
            raise StorageFull(f"{self.root}: {free} bytes free, {self.reserve_bytes} are kept in reserve")
        return FileDraft(self)

    def path(self, name: str) -> Path:
        return self.root / checked_name(name)

    def read(self, name: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        pieces = self._pieces(name, start, stop)
        next(pieces)  # opens the file: from here on it is readable to its end, whatever is deleted
        return pieces

    @contextmanager
    def local(self, name: str) -> Iterator[Path]:
        path = self.path(name)
        with disk_errors(name):
            path.stat()
        yield path

    def size(self, name: str) -> int:
        with disk_errors(name):
            return self.path(name).stat().st_size

    def exists(self, name: str) -> bool:
        with disk_errors(name):
            return self.path(name).exists()

    def delete(self, name: str) -> None:
        path = self.path(name)
        with disk_errors(name), suppress(FileNotFoundError):
            self.disk.unlink(path)

    def list(self, folder: str = "") -> Iterator[StoredObject]:
        top = self.path(folder) if folder else self.root
        with disk_errors(folder or str(self.root)):
            for path, _, names in os.walk(top):
                if Path(path).name.startswith("."):
                    continue
                for name in names:
                    whole = Path(path, name)
                    with suppress(FileNotFoundError):  # deleted since
                        facts = whole.stat()
                        inside = whole.relative_to(self.root).as_posix()
                        yield StoredObject(inside, facts.st_size, int(facts.st_mtime))

    def forget_local(self, name: str) -> None:
        """Nothing to do: this is the original."""

    def check(self) -> Health:
        with self.draft() as draft:
            draft.write(b"\0")
            draft.sync()
        return Health(free_bytes=self._free_bytes())

    def sweep(self) -> int:
        with disk_errors(str(self.root / INCOMING)):
            swept = sum(self._swept(path) for path in (self.root / INCOMING).iterdir())
        for path, _, _ in os.walk(self.root, topdown=False):
            if path != str(self.root) and not Path(path).name.startswith("."):
                with suppress(OSError):  # not empty, or filled again this very moment
                    Path(path).rmdir()
        return swept

    def close(self) -> None:
        """Nothing is held open between calls."""

    def ensure_folder(self, path: Path) -> None:
        """Make a folder that outlives a power cut: its name stands in its parent, which is synced."""
        if not path.is_dir():
            self.ensure_folder(path.parent)
            self.disk.make_folder(path)
            self.disk.sync_folder(path.parent)

    def _free_bytes(self) -> int:
        with disk_errors(str(self.root)):
            facts = os.statvfs(self.root)
        return facts.f_bavail * facts.f_frsize

    def _pieces(self, name: str, start: int, stop: int | None) -> Iterator[bytes]:
        with disk_errors(name), self.path(name).open("rb", buffering=0) as file:
            position, end = checked_range(name, os.fstat(file.fileno()).st_size, start, stop)
            yield b""
            while position < end:
                piece = os.pread(file.fileno(), min(READ_BYTES, end - position), position)
                if not piece:
                    raise StorageUnavailable(f"{name}: ends at {position}, not at {end}")
                position += len(piece)
                yield piece

    def _swept(self, path: Path) -> bool:
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.disk.unlink(path)
                return True
            except BlockingIOError:
                return False  # its writer lives
            finally:
                os.close(descriptor)
        return False


class FileDraft:
    """A file in `.incoming`, locked by its writer for as long as it may still become an object."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._disk = directory.disk
        self.bytes = 0
        with disk_errors("a new object"):
            self.path, self._descriptor = self._opened()
        self._hurried = Hurried(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.discard()

    def write(self, piece: Piece) -> None:
        self.bytes = self._write(piece, self.bytes)
        self._hurried.reached(self.bytes)

    def write_at(self, position: int, piece: Piece) -> None:
        if position + memoryview(piece).nbytes > self.bytes:
            raise ValueError("write_at stays within what was written")
        self._write(piece, position)

    def sync(self) -> None:
        with disk_errors("a new object"):
            self._disk.sync(self._descriptor)

    def create(self, name: str, *, replace: bool = False) -> None:
        target = self._directory.path(name)
        self.sync()
        with disk_errors(name):
            self._place(target, replace=replace)
            try:
                self._disk.sync_folder(target.parent)
            except OSError:
                if not replace:  # visible but perhaps not for long: better not at all
                    with suppress(OSError):
                        self._disk.unlink(target)
                raise
        self.discard()

    def discard(self) -> None:
        """Remove what is not an object; removing the second name of what became one. Never fails: a sweep follows."""
        if self._descriptor >= 0:
            with suppress(OSError):
                self._disk.unlink(self.path)
            os.close(self._descriptor)
            self._descriptor = -1

    def _opened(self) -> tuple[Path, int]:
        while True:
            path = self._directory.root / INCOMING / f"{os.getpid()}-{secrets.token_hex(8)}"
            descriptor = self._disk.create(path)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.fstat(descriptor).st_nlink:
                return path, descriptor
            os.close(descriptor)  # a sweep passed between opening and locking

    def _write(self, piece: Piece, position: int) -> int:
        rest = memoryview(piece).cast("B")
        with disk_errors("a new object"):
            while rest:
                written = self._disk.write(self._descriptor, rest, position)
                position, rest = position + written, rest[written:]
        return position

    def _place(self, target: Path, *, replace: bool) -> None:
        place = self._disk.rename if replace else self._disk.link
        try:
            for last in (*(False,) * _SWEPT_AWAY, True):
                try:
                    self._directory.ensure_folder(target.parent)
                    place(self.path, target)
                    break
                except FileNotFoundError:  # a sweep took the folder away while it was empty
                    if last:
                        raise
        except FileExistsError as error:
            raise ObjectExists(f"{target.relative_to(self._directory.root)}: exists already") from error
