"""F5, F6: the broker restarted and flushed, the database killed, in the middle of ingestion."""

import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Final

from benchmarks._faults.run import Run, Size, p95, served
from benchmarks.figure import Figure
from tests.support.databases import Postgres
from tests.support.whole import Redis, pause

FLUSH_EVERY: Final = 7


def redis_restarted(size: Size, chance: random.Random) -> Iterator[Figure]:
    redis = Redis()
    with ExitStack() as stack:
        stack.callback(redis.close)
        whole = stack.enter_context(served({"CARREL_BROKER_URL": redis.url}))
        run = Run(whole, chance, size.documents)
        delays: list[float] = []

        def restart(number: int) -> None:
            if number % FLUSH_EVERY == FLUSH_EVERY - 1:
                redis.flush()
            redis.kill()
            pause(0.2)
            begun = time.monotonic()
            redis.start()
            delays.append(_until_searchable(run, begun))

        done = run.meanwhile(size.times, restart)
        yield Figure("F5 Redis restarted", done, "times", f"{done // FLUSH_EVERY} of them flushed before")
        yield Figure("F5 a file attached right after, p95", p95(delays), "s", "until it is searchable")
        yield from run.verdict("F5")


def _until_searchable(run: Run, begun: float) -> float:
    store = run.insist(lambda: run.client.vector_stores.create().id)
    run.insist(lambda: run.client.vector_stores.files.create(store, file_id=run.files[0]))
    run.until_settled(store)
    return time.monotonic() - begun


def database_killed(size: Size, chance: random.Random) -> Iterator[Figure]:
    server = Postgres()
    with ExitStack() as stack:
        stack.callback(server.close)
        whole = stack.enter_context(served({"CARREL_CATALOG_URL": server.create()}))
        run = Run(whole, chance, size.documents)

        def restart(_: int) -> None:
            server.kill()
            server.start()
            pause(2)

        yield Figure("F6 PostgreSQL killed", run.meanwhile(size.times, restart), "times")
        yield from run.verdict("F6")
