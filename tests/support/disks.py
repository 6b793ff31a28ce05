"""Disks that fail at one step: by an error, by the death of the process, or by a power cut.

A power cut takes everything that was not synced, names as well as contents.
"""

import errno
import os
import signal
from pathlib import Path

from retrieval.storage.directory import Disk


class SteppedDisk(Disk):
    """Counts the calls that change the disk; something happens instead of the one numbered `fails_at`, from 1."""

    def __init__(self, fails_at: int = 0) -> None:
        self.fails_at = fails_at
        self.steps = 0
        self.kinds: list[str] = []

    def failing(self, kind: str, descriptor: int = -1, piece: memoryview | None = None, position: int = 0) -> None:
        self.steps += 1
        self.kinds.append(kind)
        if self.steps != self.fails_at:
            return
        if piece is not None and len(piece) > 1:  # half of a write arrives
            super().write(descriptor, piece[: len(piece) // 2], position)
        self.fail(kind)

    def fail(self, kind: str) -> None:
        raise NotImplementedError

    def create(self, path: Path) -> int:
        self.failing("create")
        return super().create(path)

    def write(self, descriptor: int, piece: memoryview, position: int) -> int:
        self.failing("write", descriptor, piece, position)
        return super().write(descriptor, piece, position)

    def sync(self, descriptor: int) -> None:
        self.failing("sync")
        super().sync(descriptor)

    def link(self, source: Path, target: Path) -> None:
        self.failing("link")
        super().link(source, target)

    def rename(self, source: Path, target: Path) -> None:
        self.failing("rename")
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self.failing("unlink")
        super().unlink(path)

    def make_folder(self, path: Path) -> None:
        self.failing("make_folder")
        super().make_folder(path)

    def sync_folder(self, path: Path) -> None:
        self.failing("sync_folder")
        super().sync_folder(path)


class DeadlyDisk(SteppedDisk):
    def fail(self, kind: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class FaultyDisk(SteppedDisk):
    """Full when something is added, broken otherwise."""

    def fail(self, kind: str) -> None:
        full = kind in {"create", "write", "link", "make_folder"}
        number = errno.ENOSPC if full else errno.EIO
        raise OSError(number, os.strerror(number))


class PowerCut(BaseException):
    pass


class LossyDisk(SteppedDisk):
    """Remembers what was synced, and can show what a power cut would leave: that and nothing more."""

    def __init__(self, root: Path, fails_at: int = 0) -> None:
        super().__init__(fails_at)
        self._root = root
        self._contents: dict[int, bytes] = {}  # of each file when it was last synced
        self._names: dict[Path, dict[str, int | None]] = {}  # of each folder when it was last synced; None is a folder
        self._remember_names(root)

    def fail(self, kind: str) -> None:
        raise PowerCut(kind)

    def failing(self, kind: str, descriptor: int = -1, piece: memoryview | None = None, position: int = 0) -> None:
        if self.fails_at and self.steps >= self.fails_at:
            raise PowerCut(kind)  # nothing happens after it either
        super().failing(kind, descriptor, piece, position)

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        facts = os.fstat(descriptor)
        self._contents[facts.st_ino] = os.pread(descriptor, facts.st_size, 0)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self._remember_names(path)

    def survivors(self, target: Path) -> None:
        """Build in `target` what is found when the power is back."""
        self._restore(self._root, target)

    def _remember_names(self, path: Path) -> None:
        with os.scandir(path) as entries:
            self._names[path] = {entry.name: None if entry.is_dir() else entry.inode() for entry in entries}

    def _restore(self, source: Path, target: Path) -> None:
        target.mkdir()
        for name, inode in self._names.get(source, {}).items():
            if inode is None:
                self._restore(source / name, target / name)
            else:
                (target / name).write_bytes(self._contents.get(inode, b""))
