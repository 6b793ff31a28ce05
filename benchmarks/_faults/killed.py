"""F1, F2, F3: processes killed at random moments, all of them at once, and at named points."""

import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import httpx

from benchmarks._faults.run import SETTLE_SECONDS, Run, Size, asking, p95, parts, served
from benchmarks.figure import Figure
from tests.support.nursery import Parts
from tests.support.sabotage import POINTS
from tests.support.upstream import FakeUpstream
from tests.support.whole import KEY, Whole, pause

WORKERS: Final = 3
LIFE_SECONDS: Final = 1.4  # of a processor, at most, for one that is born with all imported; a third is its start
LIVES_SECONDS: Final = (2.0, 9.0)  # the same for all workers of a cold start together
LONG_LINES: Final = 45_000  # of a file that has more chunks than a segment needs to get vector codes
LATEST_CALL: Final = 4  # of a point at which a worker dies
LATEST_OF_FEW: Final = dict.fromkeys(("create", "rename", "make_folder"), 1)  # no worker of one store does them more
REACH_SECONDS: Final = 120  # a point that is not reached by then, with upkeep each second, is not reached


def workers_killed(size: Size, chance: random.Random) -> Iterator[Figure]:
    with FakeUpstream() as upstream, parts(asking(upstream), workers=WORKERS, bucket=size.bucket) as whole:
        run = Run(whole, chance, size.documents)

        def kill(_: int) -> bool:
            name = f"worker {chance.randrange(WORKERS)}"
            run.until_worked([whole.born[name]], chance.uniform(0, LIFE_SECONDS))
            killed = whole.kill(name)
            whole.begin_worker(name)
            return killed

        yield Figure("F1 workers killed", run.meanwhile(size.times, kill), "times")
        for store in run.stores:
            run.until_settled(store)
        asked = [text for call in upstream.asked for text in call.inputs]
        wasted = 100 * (len(asked) / max(1, len(set(asked))) - 1)
        yield Figure("F1 chunks embedded beyond need", wasted, "%", f"of {len(set(asked))} needed")
        yield from run.verdict("F1")


def all_killed(size: Size, chance: random.Random) -> Iterator[Figure]:
    with served() as whole:
        run = Run(whole, chance, size.documents)
        answered: list[float] = []

        def kill(_: int) -> None:
            run.until_worked([worker.pid for worker in whole.workers()], chance.uniform(*LIVES_SECONDS))
            whole.kill_all()
            begun = time.monotonic()
            whole.process = whole.launch()
            _until_searched(whole, run.stores[0])
            answered.append(time.monotonic() - begun)

        yield Figure("F2 everything killed", run.meanwhile(size.times, kill), "times")
        yield Figure("F2 cold start to first answer, p95", p95(answered), "s")
        yield from run.verdict("F2")


def _until_searched(whole: Whole, store: str) -> None:
    """Without the SDK, which would wait between its tries for longer than the service takes."""
    until = time.monotonic() + SETTLE_SECONDS
    asked = f"{whole.url}/v1/vector_stores/{store}/search"
    while time.monotonic() < until:
        with suppress(httpx.TransportError):
            if httpx.post(asked, json={"query": "Sentence"}, headers={"authorization": f"Bearer {KEY}"}).is_success:
                return
        pause(0.02)
    raise TimeoutError(f"no answer for {SETTLE_SECONDS} s after a cold start")


def killed_at_points(size: Size, chance: random.Random) -> Iterator[Figure]:
    """Each round kills one worker at each point; then a sound one brings everything to its end."""
    environment = {
        "CARREL_WORKERS_LEASE_SECONDS": "20",
        "CARREL_WORKERS_UPKEEP_SECONDS": "1",
        "CARREL_SEARCH_CODE_FROM_ROWS": "1000",
    }
    with parts(environment, workers=0) as whole:
        run = Run(whole, chance, size.documents)
        reached = dict.fromkeys(POINTS, 0)
        for _ in range(size.times):
            for point in POINTS:
                at = chance.randint(1, LATEST_OF_FEW.get(point, LATEST_CALL))
                reached[point] += _die(run, whole, point, at) or _die(run, whole, point, 1)
            whole.begin_worker("sound")
            for store in run.stores:
                run.until_settled(store)
            os.kill(whole.born["sound"], signal.SIGTERM)
            while whole.living("sound"):
                pause(0.02)
        for point, times in reached.items():
            yield Figure(f"F3 killed at {point}", times, "times", f"of {size.times}", met=times == size.times)
        whole.begin_worker("sound")
        yield from run.verdict("F3")


def _die(run: Run, whole: Parts, point: str, at: int) -> bool:
    """Whether a worker that has a store to itself died at that call of that point."""
    whole.begin_worker("victim", cut=(point, at))
    store = run.fill()
    if point == "rename":  # only files of the index are replaced, and only a store of some size has them
        text = "\n\n".join(f"Line {number} of a long list of lines." for number in range(LONG_LINES))
        file = run.upload("long.txt", text.encode())
        short = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
        run.client.vector_stores.files.create(store, file_id=file, chunking_strategy=short)  # type: ignore[arg-type]  # a literal of its type
        run.beside[store] = 1
    until = time.monotonic() + REACH_SECONDS
    while whole.living("victim") and time.monotonic() < until:
        pause(0.02)
    return not whole.kill("victim")
