"""Cache: a bounded, node-local copy of objects that live in a bucket, shared by all processes of the machine.

A copy appears whole or not at all (it is written through `Directory`), whatever is killed when. Whoever uses a copy
holds a shared lock on it; eviction, least recently used first, passes over what is locked. A file that was mapped
stays readable after eviction, so the bound counts names, not mappings.
"""

import fcntl
import os
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from retrieval.errors import ObjectExists, StorageUnavailable
from retrieval.storage.directory import Directory, FileDraft, disk_errors

LOCKS = ".locks"

_LOCK_FILES = 64  # fetches of different objects that share one wait for each other: rare, and only a delay
_WAIT_SECONDS = 120.0  # for another process's fetch; after that, fetch as well: work is doubled, nothing else
_POLL_SECONDS = 0.02

Fill = Callable[[FileDraft], int]


class Cache:
    def __init__(self, root: Path, *, most_bytes: int) -> None:
        self._directory = Directory(root)
        self._most_bytes = most_bytes
        with disk_errors(str(root)):
            (root / LOCKS).mkdir(exist_ok=True)

    def draft(self) -> FileDraft:
        """A file on this machine that may become a copy; also the scratch space of uploads."""
        return self._directory.draft()

    @contextmanager
    def held(self, name: str, fill: Fill) -> Iterator[Path]:
        """The local copy's path, safe from eviction within the context; `fill` writes it and says its true size."""
        while (copy := self._opened(name)) is None:
            with self._alone(name):
                if not self._directory.exists(name):
                    self._fetch(name, fill)
        try:
            yield self._directory.path(name)
        finally:
            os.close(copy)

    def keep(self, draft: FileDraft, name: str) -> None:
        """Take a finished draft as the local copy: what was just written here is read here next."""
        self._make_room(draft.bytes)
        with suppress(ObjectExists):
            draft.create(name)

    def forget(self, name: str) -> None:
        self._directory.delete(name)

    def sweep(self) -> int:
        swept = self._directory.sweep()
        self._make_room(0)
        return swept

    def _fetch(self, name: str, fill: Fill) -> None:
        with self.draft() as draft:
            whole = fill(draft)
            if draft.bytes != whole:
                raise StorageUnavailable(f"{name}: came as {draft.bytes} bytes instead of {whole}")
            self.keep(draft, name)

    def _opened(self, name: str) -> int | None:
        """Open and lock a copy against eviction; None if there is none (any more)."""
        with disk_errors(name):
            try:
                copy = os.open(self._directory.path(name), os.O_RDONLY)
            except FileNotFoundError:
                return None
            fcntl.flock(copy, fcntl.LOCK_SH)  # an evictor holds its lock for the length of one unlink
            facts = os.fstat(copy)
            if not facts.st_nlink:
                os.close(copy)
                return None
            with suppress(OSError):  # recency only
                os.utime(copy, ns=(time.time_ns(), facts.st_mtime_ns))
            return copy

    def _make_room(self, size: int) -> None:
        """Evict the longest unused copies until `size` more bytes fit."""
        copies = []
        for stored in self._directory.list():
            with suppress(FileNotFoundError):
                copies.append((self._directory.path(stored.name).stat().st_atime_ns, stored.name, stored.bytes))
        surplus = sum(copy_bytes for _, _, copy_bytes in copies) + size - self._most_bytes
        for _, name, copy_bytes in sorted(copies):
            if surplus <= 0:
                return
            if self._evicted(name):
                surplus -= copy_bytes

    def _evicted(self, name: str) -> bool:
        with disk_errors(name), suppress(FileNotFoundError):
            copy = os.open(self._directory.path(name), os.O_RDONLY)
            try:
                fcntl.flock(copy, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._directory.delete(name)
            except BlockingIOError:
                return False
            finally:
                os.close(copy)
        return True

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """One fetch of an object at a time on this machine; the kernel frees the lock of whoever is killed."""
        path = self._directory.root / LOCKS / f"{zlib.crc32(name.encode()) % _LOCK_FILES:02}"
        with disk_errors(str(path)):
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            give_up = time.monotonic() + _WAIT_SECONDS
            while time.monotonic() < give_up:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    time.sleep(_POLL_SECONDS)
            yield
        finally:
            os.close(lock)
