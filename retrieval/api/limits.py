"""Limits: how much a project and a key may ask for in a minute, and how many bytes a project may keep.

A rate is a bucket that holds one minute's worth and fills evenly, kept as one number: the seconds of filling that
have been used up. What a request asks of several buckets it gets from all or from none. Tokens are known only after
they were embedded: a request is let in while any are left, and whoever comes after a large one waits until it is
paid for, so that the average holds whatever the sizes.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final, Protocol

from retrieval.api.auth import Caller
from retrieval.catalog.account_rows import Limits
from retrieval.errors import QuotaExceeded

MINUTE: Final = 60.0
MOST_BUCKETS: Final = 100_000  # of one process
ALWAYS: Final = -1e9  # needed, where nothing may be refused any more

REQUESTS: Final = "requests_per_minute"
TOKENS: Final = "tokens_per_minute"
UPLOADS: Final = "uploads_per_minute"
ATTACHES: Final = "attaches_per_minute"
BYTES_STORED: Final = "bytes_stored"
NAMES: Final = (REQUESTS, TOKENS, UPLOADS, ATTACHES, BYTES_STORED)

NOUNS: Final = {REQUESTS: "requests", TOKENS: "tokens", UPLOADS: "uploads", ATTACHES: "attachments to this store"}
SHOWN: Final = {REQUESTS: "requests", TOKENS: "tokens"}  # those that have headers

_ATTACHING: Final = re.compile(r"/v1/vector_stores/([^/]{1,100})/(?:files|file_batches)\Z")
_UPLOADING: Final = frozenset({"/v1/files", "/v1/uploads"})


@dataclass(frozen=True, slots=True)
class Take:
    """What one request wants of one bucket, in seconds of its filling."""

    bucket: str
    kind: str
    per_minute: int
    needed: float  # there must be room for so much,
    spent: float  # and so much is used


@dataclass(frozen=True, slots=True)
class Level:
    """A bucket after a request."""

    kind: str
    per_minute: int
    used_seconds: float  # until it is full again

    @property
    def remaining(self) -> int:
        return max(0, floor((MINUTE - self.used_seconds) * self.per_minute / MINUTE + 1e-6))


@dataclass(frozen=True, slots=True)
class Taken:
    used_seconds: tuple[float, ...]  # of each bucket asked
    waits: tuple[float, ...]  # seconds until each would have had enough; none above zero: all was given


class Counters(Protocol):
    def take(self, wanted: Sequence[Take]) -> Taken:
        """All of it or nothing."""
        ...


class LocalCounters:
    """Of this process alone. A bucket that is full is forgotten, so only those in use take room."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._empty_until: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()  # guards _empty_until

    def take(self, wanted: Sequence[Take]) -> Taken:
        now = self._clock()
        with self._lock:
            used = [max(0.0, self._empty_until.get(one.bucket, now) - now) for one in wanted]
            waits = tuple(before + one.needed - MINUTE for before, one in zip(used, wanted, strict=True))
            if max(waits) > 1e-9:
                return Taken(tuple(used), waits)
            for place, one in enumerate(wanted):
                used[place] += one.spent
                if one.spent:
                    self._empty_until[one.bucket] = now + used[place]
                    self._empty_until.move_to_end(one.bucket)
            self._forget(now)
        return Taken(tuple(used), waits)

    def _forget(self, now: float) -> None:
        if len(self._empty_until) <= MOST_BUCKETS:
            return
        self._empty_until = OrderedDict(item for item in self._empty_until.items() if item[1] > now)
        while len(self._empty_until) > MOST_BUCKETS:
            self._empty_until.popitem(last=False)


Standing = dict[str, Level]  # by kind, the bucket with the least in it


class Limiter:
    """One per process. `defaults` are for projects that have no limit of that name; 0 is no limit."""

    def __init__(self, counters: Counters | None = None, defaults: Limits | None = None) -> None:
        self._counters = counters or LocalCounters()
        self._defaults = {name: value for name, value in (defaults or {}).items() if value}

    def is_prompt(self, caller: Caller) -> bool:
        """Whether `admit` asks nobody outside of this process."""
        return isinstance(self._counters, LocalCounters) or not self._has_limits(caller)

    def admit(self, caller: Caller, method: str, path: str) -> Standing:
        """Let a request in before its body is read, or raise `QuotaExceeded`."""
        wanted = list(self._wanted(caller, method, path))
        if not wanted:
            return {}
        taken = self._counters.take(wanted)
        standing = _standing(wanted, taken)
        wait = max(taken.waits)
        if wait > 1e-9:
            refusing = wanted[taken.waits.index(wait)]
            raise QuotaExceeded(
                f"Rate limit reached: {refusing.per_minute} {NOUNS[refusing.kind]} a minute."
                f" Try again in {max(1, ceil(wait))} s.",
                retry_after_seconds=wait,
                headers=headers_of(standing),
            )
        return standing

    def charge_tokens(self, caller: Caller, tokens: int) -> Standing:
        """After the fact, whatever is left."""
        wanted = [
            Take(f"{owner}:{TOKENS}", TOKENS, limit, ALWAYS, tokens * MINUTE / limit)
            for owner, limit in self._owners(caller, TOKENS)
        ]
        return _standing(wanted, self._counters.take(wanted)) if wanted and tokens else {}

    def most_bytes(self, caller: Caller) -> int | None:
        """That the caller's project may keep, as far as this caller may add to it."""
        return min((limit for _, limit in self._owners(caller, BYTES_STORED)), default=None)

    def _has_limits(self, caller: Caller) -> bool:
        return bool(self._defaults or caller.limits or (caller.key and caller.key.limits))

    def _wanted(self, caller: Caller, method: str, path: str) -> Iterator[Take]:
        if not self._has_limits(caller):
            return
        kinds = [(REQUESTS, "", True), (TOKENS, "", False)]
        if method == "POST" and path in _UPLOADING:
            kinds.append((UPLOADS, "", True))
        attaching = _ATTACHING.match(path) if method == "POST" else None
        if attaching:
            kinds.append((ATTACHES, f":{attaching[1]}", True))
        for kind, where, spending in kinds:
            for owner, limit in self._owners(caller, kind):
                one = MINUTE / limit
                yield Take(f"{owner}:{kind}{where}", kind, limit, one, one if spending else 0.0)

    def _owners(self, caller: Caller, kind: str) -> Iterator[tuple[str, int]]:
        """Who has a limit of this kind: the project, and the key beside it."""
        limit = caller.limits.get(kind, self._defaults.get(kind, 0))
        if limit:
            yield caller.project, limit
        if caller.key is not None and caller.key.limits.get(kind):
            yield f"{caller.project}:{caller.key.id}", caller.key.limits[kind]


def _standing(wanted: Sequence[Take], taken: Taken) -> Standing:
    standing: Standing = {}
    for one, used in zip(wanted, taken.used_seconds, strict=True):
        level = Level(one.kind, one.per_minute, used)
        known = standing.get(one.kind)
        if known is None or level.remaining < known.remaining:
            standing[one.kind] = level
    return standing


def headers_of(standing: Mapping[str, Level]) -> dict[str, str]:
    """As the hosted service writes them; none for what has no limit."""
    headers = {}
    for kind, noun in SHOWN.items():
        level = standing.get(kind)
        if level is not None:
            headers[f"x-ratelimit-limit-{noun}"] = str(level.per_minute)
            headers[f"x-ratelimit-remaining-{noun}"] = str(level.remaining)
            headers[f"x-ratelimit-reset-{noun}"] = span(level.used_seconds)
    return headers


def span(seconds: float) -> str:
    """`12ms`, `1.5s`, `6m0s`: how the hosted service writes spans of time."""
    milliseconds = max(0, ceil(seconds * 1000))
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes}m{rest / 1000:g}s" if minutes else f"{rest / 1000:g}s"
