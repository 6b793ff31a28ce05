"""Counters that all nodes share, in Redis: one script, so that what several buckets give is given at once.

Time is Redis' own, so that no node's clock counts. A Redis that is away takes nothing down: until it answers again,
each process counts by itself, and a caller may get as many times his limit as there are processes.
"""

import logging
import threading
import time
from collections.abc import Sequence
from typing import Final, cast

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from retrieval.api.limits import MINUTE, LocalCounters, Take, Taken

PATIENCE_SECONDS: Final = 0.25  # a request waits no longer for its permission
QUIET_SECONDS: Final = 5.0  # after a failure nobody asks for so long
PREFIX: Final = "carrel:limits:"

log = logging.getLogger(__name__)

# KEYS: buckets. ARGV: for each, seconds needed and seconds spent. Answers: for each, seconds used and seconds to wait.
SCRIPT: Final = f"""
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local used, answer, refused = {{}}, {{}}, false
for i, key in ipairs(KEYS) do
  used[i] = math.max(0, tonumber(redis.call('GET', key) or '0') - now)
  local wait = used[i] + tonumber(ARGV[2 * i - 1]) - {MINUTE}
  if wait > 0.000001 then refused = true end
  answer[2 * i] = string.format('%.6f', wait)
end
for i, key in ipairs(KEYS) do
  local spent = tonumber(ARGV[2 * i])
  if not refused and spent > 0 then
    used[i] = used[i] + spent
    redis.call('SET', key, string.format('%.6f', now + used[i]), 'EX', math.ceil(used[i]) + 1)
  end
  answer[2 * i - 1] = string.format('%.6f', used[i])
end
return answer
"""


class SharedCounters:
    """`url`: redis://, rediss://, unix:// or the broker's redis+socket://."""

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            _address(url),
            socket_timeout=PATIENCE_SECONDS,
            socket_connect_timeout=PATIENCE_SECONDS,
            retry=Retry(NoBackoff(), 1),  # Redis may have been restarted since the last request
        )
        self._script = self._redis.register_script(SCRIPT)
        self._alone = LocalCounters()
        self._quiet_until = 0.0
        self._lock = threading.Lock()  # guards _quiet_until

    def take(self, wanted: Sequence[Take]) -> Taken:
        if time.monotonic() < self._quiet_until:
            return self._alone.take(wanted)
        # The braces make a cluster keep one project's buckets together.
        keys = [f"{PREFIX}{{{one.bucket.partition(':')[0]}}}{one.bucket.partition(':')[2]}" for one in wanted]
        numbers = [f"{number:.6f}" for one in wanted for number in (one.needed, one.spent)]
        try:
            answer = [float(number) for number in cast("list[bytes]", self._script(keys, numbers))]
        except (RedisError, OSError) as error:
            self._fall_silent(error)
            return self._alone.take(wanted)
        waits = tuple(wait if wait > 1e-6 else 0.0 for wait in answer[1::2])
        return Taken(tuple(answer[::2]), waits)

    def close(self) -> None:
        self._redis.close()

    def _fall_silent(self, error: Exception) -> None:
        with self._lock:
            known = time.monotonic() < self._quiet_until
            self._quiet_until = time.monotonic() + QUIET_SECONDS
        if not known:
            log.warning("limits are not shared", extra={"why": type(error).__name__})


def shareable(url: str) -> bool:
    return url.startswith(("redis://", "rediss://", "redis+socket://", "unix://"))


def _address(url: str) -> str:
    """The broker's library writes sockets otherwise."""
    return url.replace("redis+socket://", "unix://", 1).replace("virtual_host=", "db=")
