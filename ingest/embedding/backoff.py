"""SharedBackoff: when an upstream says "slow down", every thread of the process hears it once.

Threads that were already calling when the pause began do not prolong it: ten refusals of one moment are one refusal.
"""

import random
import time
from collections.abc import Callable
from threading import Event, Lock

from ingest.errors import EmbedderUnavailable

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_ASKED_SECONDS = 600.0  # an upstream's slip of the pen must not silence this process for a year


class SharedBackoff:
    def __init__(
        self,
        *,
        longest_pause_seconds: float,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._longest = longest_pause_seconds
        self._clock = clock  # the same as that of `give_up_at`
        self._chance = chance
        self._closed = Event()
        self._pause = pause or self._closed.wait  # closing wakes whoever sleeps
        self._lock = Lock()  # guards what follows
        self._resume_at = 0.0
        self._refusals = 0  # in a row; an answer resets it
        self._epoch = 0  # grows with each pause

    def wait(self, give_up_at: float) -> int | None:
        """Sleep while the upstream wants peace; the epoch returned says which pauses this caller has sat out.

        None, and at once, when the pause lasts beyond `give_up_at`.
        """
        while True:
            with self._lock:
                left, epoch = self._resume_at - self._clock(), self._epoch
            if self._closed.is_set():
                raise EmbedderUnavailable("the embedder was closed")
            if left <= 0:
                return epoch
            if self._clock() + left > give_up_at:
                return None
            self._pause(left * (1 + 0.1 * self._chance()))  # not all at the same instant

    def seconds_left(self) -> float:
        with self._lock:
            return max(0.0, self._resume_at - self._clock())

    def refused(self, epoch: int, asked_seconds: float | None) -> None:
        """The upstream turned away a call that began in `epoch`."""
        with self._lock:
            now = self._clock()
            if asked_seconds is not None:
                self._resume_at = max(self._resume_at, now + min(asked_seconds, _LONGEST_ASKED_SECONDS))
            if epoch != self._epoch:
                return
            self._epoch += 1
            self._refusals += 1
            if asked_seconds is None:
                pause = min(self._longest, _FIRST_PAUSE_SECONDS * 2.0 ** (self._refusals - 1))
                self._resume_at = max(self._resume_at, now + pause * (0.5 + 0.5 * self._chance()))

    def answered(self) -> None:
        with self._lock:
            self._refusals = 0

    def close(self) -> None:
        self._closed.set()
