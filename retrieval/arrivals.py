"""Who waits for files to come into a folder is woken at once where Linux tells of them, elsewhere by looking.

What is told is a help and no more: a wait ends after a while whatever was heard, and whoever waited looks himself.
"""

import ctypes
import os
import select
import sys
from contextlib import suppress
from time import monotonic, sleep
from typing import Final

TICK_SECONDS: Final = 0.2  # many times what any file system's clock takes to move on
_MOVED_TO: Final = 0x80
_CREATED: Final = 0x100
_TOLD_BYTES: Final = 1 << 16


class Arrivals:
    """Call `forget`, look into the folder, then `wait`: nothing comes unnoticed in between."""

    def __init__(self, folder: str, looking_seconds: float, *, ask_system: bool = True) -> None:
        self._folder = folder
        self._looking_seconds = looking_seconds  # between two looks at the folder's time, where nobody tells
        self._told = _told_of(folder) if ask_system else None
        self._changed = 0  # when the folder last did, by its own account
        self._known_since = 0.0

    def forget(self) -> None:
        """What came so far."""
        if self._told is not None:
            with suppress(BlockingIOError):
                while os.read(self._told, _TOLD_BYTES):
                    pass
        elif (changed := _changed(self._folder)) != self._changed:
            self._changed, self._known_since = changed, monotonic()

    def wait(self, until: float) -> None:
        """For what comes after `forget`, until then at the latest; it may also end for nothing."""
        if self._told is not None:
            waiting = select.poll()  # a descriptor may be too large for `select`
            waiting.register(self._told, select.POLLIN)
            waiting.poll(max(0.0, until - monotonic()) * 1000)
        # What came in the same tick of the file system's clock as what we saw does not show by its time.
        elif monotonic() - self._known_since < TICK_SECONDS:
            sleep(self._looking_seconds)
        else:  # these few lines are most of what an idle worker costs
            folder, known, interval = self._folder, self._changed, self._looking_seconds
            while _changed(folder) == known and monotonic() < until:
                sleep(interval)

    def close(self) -> None:
        if self._told is not None:
            os.close(self._told)
            self._told = None


def _told_of(folder: str) -> int | None:
    """A descriptor that can be read once something came; None where the system has none to give."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    told: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if told < 0:
        return None
    if libc.inotify_add_watch(told, os.fsencode(folder), _MOVED_TO | _CREATED) < 0:
        os.close(told)
        return None
    return told


def _changed(folder: str) -> int:
    return os.stat(folder).st_mtime_ns  # noqa: PTH116 - a path's own costs ten times as much
