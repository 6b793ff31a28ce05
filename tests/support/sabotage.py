"""Death at a named point of a real worker: the process kills itself at the n-th call; half of a write arrives.

The product knows nothing of it: what is called there is wrapped from outside before the worker begins.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import kombu.message
from sqlalchemy import Connection

from retrieval.catalog.database import Database
from retrieval.jobs import CeleryDoorbell
from retrieval.storage.directory import Disk

DISK_POINTS: Final = ("create", "write", "sync", "link", "rename", "unlink", "make_folder", "sync_folder")
POINTS: Final = (
    *DISK_POINTS,
    *("before a commit", "after a commit", "before an ack", "after an ack", "before a doorbell", "after a doorbell"),
)


class Cut:
    """Dies at the `at`-th call of `point`, from 1."""

    def __init__(self, point: str, at: int) -> None:
        assert point in POINTS, point
        self._point = point
        self._left = at

    def __call__(self, point: str, halfway: Callable[[], object] | None = None) -> None:
        if point != self._point:
            return
        self._left -= 1
        if self._left:
            return
        if halfway is not None:
            halfway()
        os.kill(os.getpid(), signal.SIGKILL)


def install(point: str, at: int) -> None:
    """For the rest of this process's life."""
    cut = Cut(point, at)
    _in_disk(cut)
    _around(kombu.message.Message, "ack", "an ack", cut)
    _around(CeleryDoorbell, "_send", "a doorbell", cut)
    writing = Database.writing

    @contextmanager
    def cut_writing(self: Database) -> Iterator[Connection]:
        with writing(self) as connection:
            yield connection
            cut("before a commit")
        cut("after a commit")

    Database.writing = cut_writing  # type: ignore[method-assign]  # that is the sabotage


def _around(owner: Any, name: str, point: str, cut: Cut) -> None:
    inner = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        cut(f"before {point}")
        result = inner(*arguments, **named)
        cut(f"after {point}")
        return result

    setattr(owner, name, wrapped)


def _in_disk(cut: Cut) -> None:
    def before(name: str) -> None:
        inner = getattr(Disk, name)

        def wrapped(*arguments: Any) -> Any:
            cut(name)
            return inner(*arguments)

        setattr(Disk, name, wrapped)

    for name in DISK_POINTS:
        if name != "write":
            before(name)
    write = Disk.write

    def half(self: Disk, descriptor: int, piece: memoryview, position: int) -> int:
        cut("write", lambda: write(self, descriptor, piece[: len(piece) // 2], position))
        return write(self, descriptor, piece, position)

    Disk.write = half  # type: ignore[method-assign]  # that is the sabotage
