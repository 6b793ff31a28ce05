"""Where rows stand: one range of ids for each segment, and one piece of memory for all small ones.

Codes are found by id and scored by address, so every row of a store has an id of its own for as long as any
snapshot may ask for it. Ranges are given back when the last snapshot that holds them is gone. Both classes are
shared by all snapshots of one store in one process; their locks guard nothing but their own few numbers.
"""

import threading
import weakref
from collections import deque
from typing import Final

import numpy as np

from retrieval.index.vectors.kernels import Matrix

_ALIGNED: Final = 64  # ids: a range begins on whole bytes of a bitmap, and on a cache line of it


class IdRange:
    """`size` consecutive ids, held until nobody holds this object."""

    __slots__ = ("__weakref__", "size", "start")

    def __init__(self, start: int, size: int) -> None:
        self.start = start
        self.size = size


class IdSpace:
    """Hands out ranges of ids, the lowest that fit, so that bitmaps over all ids stay short."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: list[tuple[int, int]] = []  # (start, end), ascending
        self._given_back: deque[int] = deque()  # filled by finalizers, which must not wait for the lock

    def take(self, size: int) -> IdRange:
        room = max(-(-size // _ALIGNED), 1) * _ALIGNED
        with self._lock:
            gone = set()
            while self._given_back:
                gone.add(self._given_back.popleft())
            self._taken = [(start, end) for start, end in self._taken if start not in gone]
            ends = [0, *(end for _, end in self._taken)]
            starts = [*(start for start, _ in self._taken), None]
            place = next(
                number
                for number, (end, start) in enumerate(zip(ends, starts, strict=True))
                if start is None or start - end >= room
            )
            taken = IdRange(ends[place], size)
            self._taken.insert(place, (taken.start, taken.start + room))
        weakref.finalize(taken, self._given_back.append, taken.start).atexit = False
        return taken


class SmallRows:
    """A copy of the vectors of all small segments, end to end: one scan instead of hundreds.

    Rows are only ever added behind the last; a snapshot knows how many of them it may read.
    """

    def __init__(self, width: int, most_bytes: int, ids: IdSpace) -> None:
        capacity = most_bytes // (4 * width)
        self._lock = threading.Lock()
        self._used = 0
        self._room: Matrix = np.empty((capacity, width), np.float32)  # untouched pages cost nothing
        self.ids = ids.take(capacity)

    @property
    def capacity(self) -> int:
        return len(self._room)

    def has_room(self, rows: int) -> bool:
        with self._lock:
            return self._used + rows <= len(self._room)

    def add(self, vectors: Matrix) -> int | None:
        """The row at which the copy begins; None if there is no room."""
        with self._lock:
            start, end = self._used, self._used + len(vectors)
            if end > len(self._room):
                return None
            self._used = end
        self._room[start:end] = vectors
        return start

    def rows(self, count: int) -> Matrix:
        return self._room[:count]
