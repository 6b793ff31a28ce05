"""F10, F11: two of everything on one store, and nodes whose clocks are wrong."""

import random
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from benchmarks._faults.run import Run, Size, none, parts
from benchmarks.figure import Figure
from tests.support.clocks import move
from tests.support.databases import Postgres
from tests.support.whole import Redis, pause

EAGER: Final = {"CARREL_WORKERS_UPKEEP_SECONDS": "1", "CARREL_WORKERS_FILES_PER_CLAIM": "8"}
WORKERS: Final = 8
HOUR: Final = 3600


def twins(size: Size, chance: random.Random) -> Iterator[Figure]:
    with ExitStack() as stack:
        whole = stack.enter_context(parts(EAGER, workers=WORKERS))
        whole.begin("second beat", "beat")
        run = Run(whole, chance, size.documents)
        for _ in range(size.times):
            run.until_settled(run.fill())
        pause(3)  # both beats ring for merges and sweeps of all of it
        yield Figure("F10 two beats, eight workers", size.times, "stores")
        yield from run.verdict("F10")


def clocks_wrong(size: Size, chance: random.Random) -> Iterator[Figure]:
    """Beside one another: both mostly wait for leases to end."""
    with ThreadPoolExecutor(2) as threads:
        halves = [
            threads.submit(lambda half, seed: list(half(size, random.Random(seed))), half, chance.randrange(2**32))
            for half in (_one_clock, _two_clocks)
        ]
        for half in halves:
            yield from half.result()


def _one_clock(size: Size, chance: random.Random) -> Iterator[Figure]:
    """Over SQLite the machine's clock is the only one: it was wrong, and is set right while everything runs."""
    with ExitStack() as stack:
        clock = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="carrel-clock-")), "clock")
        move(clock, 0)
        whole = stack.enter_context(parts(workers=1, clock=clock))
        run = Run(whole, chance, size.documents)
        longest = 0.0
        for number in range(2 * size.times):
            move(clock, 0)
            store = run.fill()
            pause(chance.uniform(0, 0.5))
            whole.kill("worker 0")  # with a lease that is to last for seconds
            move(clock, -HOUR if number % 2 else 24 * HOUR)
            begun = time.monotonic()
            whole.begin_worker("worker 0", clock=clock)
            run.until_settled(store)
            longest = max(longest, time.monotonic() - begun)
            if not number % 2:  # what was leased a day ahead lies in the future now
                store = run.fill()
                whole.kill("worker 0")
                move(clock, 0)
                whole.begin_worker("worker 0", clock=clock)
                run.until_settled(store)
        yield Figure("F11 one clock: set back and ahead", 3 * size.times, "times")
        yield Figure("F11 one clock: longest until all settled", longest, "s", met=longest < 120)
        yield from run.verdict("F11 one clock:")


def _two_clocks(size: Size, chance: random.Random) -> Iterator[Figure]:
    """Over PostgreSQL one node's clock is wrong: its worker and its beat, beside those of another node."""
    redis, server = Redis(), Postgres()
    with ExitStack() as stack:
        stack.callback(redis.close)
        stack.callback(server.close)
        environment = {"CARREL_BROKER_URL": redis.url, "CARREL_CATALOG_URL": server.create(), **EAGER}
        whole = stack.enter_context(parts(environment, workers=1))
        clock = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="carrel-clock-")), "clock")
        move(clock, 24 * HOUR)
        whole.begin_worker("wrong worker", clock=clock)
        whole.begin("wrong beat", "beat", clock=clock)
        whole.kill("beat")  # the other node's beat alone keeps time
        run = Run(whole, chance, size.documents)
        days = {"anchor": "last_active_at", "days": 1}
        lasting = run.client.vector_stores.create(expires_after=days).id  # type: ignore[arg-type]  # a literal of its type
        soon = {"anchor": "created_at", "seconds": HOUR}
        mortal = run.client.files.create(
            file=("mortal.txt", b"for an hour"),
            purpose="assistants",
            expires_after=soon,  # type: ignore[arg-type]  # a literal of its type
        ).id
        for number in range(2 * size.times):
            move(clock, -HOUR if number % 2 else 24 * HOUR)
            store = run.fill()
            pause(chance.uniform(0, 0.5))
            whole.kill("worker 0")  # the node with the wrong clock has to do all
            run.until_settled(store)
            whole.begin_worker("worker 0")
        pause(3)  # in which upkeep ends what it takes for expired
        early = int(run.client.vector_stores.retrieve(lasting).status == "expired")
        early += mortal not in {file.id for file in run.client.files.list()}
        yield Figure("F11 two clocks: wrong by an hour and a day", 2 * size.times, "times")
        yield none("F11 two clocks: expired early", early, "files and stores", "of 2")
        yield from run.verdict("F11 two clocks:")
