"""SharedBackoff: when an upstream says "slow down", every thread hears it once, and every other process too.

Whoever was already calling when the pause began does not prolong it: ten refusals of one moment are one refusal.
Processes tell each other through `Pauses`; while that is out of order, each goes by what it hears itself.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock
from typing import Protocol

from ingest.errors import EmbedderUnavailable

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_ASKED_SECONDS = 600.0  # an upstream's slip of the pen must not silence this process for a year


@dataclass(frozen=True, slots=True)
class Pause:
    """What all processes know of one upstream. `epoch` grows with each pause; `refusals` are those in a row."""

    epoch: int = 0
    refusals: int = 0
    seconds_left: float = 0.0


class Pauses(Protocol):
    """Where the processes that ask the same upstream tell each other. None: it cannot be asked now."""

    def current(self, upstream: str) -> Pause | None: ...

    def begin(self, upstream: str, epoch: int, seconds: float, *, asked: bool) -> Pause | None:
        """A call that began in `epoch` was refused: begin the next pause, unless somebody else has begun it since.
        A time that the upstream `asked` for is granted in any case."""

    def end(self, upstream: str) -> None:
        """It answers again: the next pause is a short one."""


class SharedBackoff:
    def __init__(
        self,
        *,
        longest_pause_seconds: float,
        upstream: str = "",
        pauses: Pauses | None = None,
        clock: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = random.random,
        pause: Callable[[float], object] | None = None,
    ) -> None:
        self._longest = longest_pause_seconds
        self._upstream = upstream
        self._pauses = pauses
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
            if self._pauses is not None:
                self._hear(self._pauses.current(self._upstream))
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
        asked = None if asked_seconds is None else min(asked_seconds, _LONGEST_ASKED_SECONDS)
        with self._lock:
            news = epoch == self._epoch
            if not news and asked is None:
                return
            if news:
                self._epoch += 1
                self._refusals += 1
            seconds = asked
            if seconds is None:
                longest = min(self._longest, _FIRST_PAUSE_SECONDS * 2.0 ** (self._refusals - 1))
                seconds = longest * (0.5 + 0.5 * self._chance())
            self._resume_at = max(self._resume_at, self._clock() + seconds)
        if self._pauses is not None:
            self._hear(self._pauses.begin(self._upstream, epoch, seconds, asked=asked is not None))

    def answered(self) -> None:
        with self._lock:
            refusals, self._refusals = self._refusals, 0
        if refusals and self._pauses is not None:
            self._pauses.end(self._upstream)

    def close(self) -> None:
        self._closed.set()

    def _hear(self, said: Pause | None) -> None:
        """What others were told is as good as told to us."""
        if said is None:
            return
        with self._lock:
            self._epoch, self._refusals = said.epoch, said.refusals
            left = min(said.seconds_left, _LONGEST_ASKED_SECONDS)
            self._resume_at = max(self._resume_at, self._clock() + left)
