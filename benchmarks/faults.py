"""Faults against a running service: what is killed, how often, and what is lost by it (nothing, or the figure says so).

    python -m benchmarks faults [F1 F2 F5 F6 F13] [--documents 200] [--kills 20] [--seed 1]

Each fault has a service of its own, started as `carrel serve` with the hashed embedder. The issue's sizes are
`--documents 2000 --kills 500`. What a document says is its own, so a search for it finds it once or tells on us.
"""

import argparse
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import openai
import psutil

from benchmarks.figure import Figure
from tests.support.databases import Postgres
from tests.support.whole import Redis, Whole, installed, pause

SETTLE_SECONDS: Final = 900


class Run:
    """One service, the documents sent to it, and what became of them."""

    def __init__(self, whole: Whole, chance: random.Random, documents: int) -> None:
        self.whole = whole
        self.chance = chance
        self.documents = documents
        self.files: list[str] = []
        self.stores: list[str] = []

    def fill(self) -> str:
        """Upload everything the first time, and attach it to a new store; the store."""
        client = self.whole.client()
        self.files += [
            client.files.create(file=(f"d{number}.md", self._content(number)), purpose="assistants").id
            for number in range(len(self.files), self.documents)
        ]
        store = client.vector_stores.create().id
        for start in range(0, len(self.files), 500):
            client.vector_stores.file_batches.create(store, file_ids=self.files[start : start + 500])
        self.stores.append(store)
        return store

    def _content(self, number: int) -> bytes:
        parts = self.chance.choice((1, 1, 1, 3, 10))
        text = "\n\n".join(f"# Part {part}\n\n{f'Words of part {part}. ' * 100}" for part in range(parts))
        return f"Document {number} is called unique{number}name.\n\n{text}".encode()

    def progress(self, store: str) -> tuple[int, int, int]:
        """Completed, failed, in progress; asks until it is answered."""
        while True:
            try:
                counts = self.whole.client().vector_stores.retrieve(store).file_counts
            except openai.APIError:
                pause(0.2)
                continue
            return counts.completed, counts.failed, counts.in_progress

    def until_settled(self, store: str) -> tuple[int, int, int]:
        until = time.monotonic() + SETTLE_SECONDS
        while (found := self.progress(store))[2] and time.monotonic() < until:
            pause(0.2)
        return found

    def verdict(self, fault: str) -> Iterator[Figure]:
        failed = stuck = lost = double = missing = 0
        for store in self.stores:
            settled = self.until_settled(store)
            failed, stuck = failed + settled[1], stuck + settled[2]
            lost += self.documents - settled[0] - settled[2]
            found = self._searched(store)
            double, missing = double + found[0], missing + found[1]
        among = f"of {len(self.stores)} x {self.documents}; {failed} failed"
        yield Figure(f"{fault} lost or failed", lost, "documents", among, met=not lost)
        yield Figure(f"{fault} stuck", stuck, "documents", met=not stuck)
        yield Figure(f"{fault} duplicated chunks", double, "chunks", met=not double)
        yield Figure(f"{fault} not found", missing, "documents", "of those asked for", met=not missing)

    def _searched(self, store: str) -> tuple[int, int]:
        client, double, missing = self.whole.client(), 0, 0
        for number in self.chance.sample(range(self.documents), min(self.documents, 200)):
            hits = client.vector_stores.search(store, query=f"unique{number}name", max_num_results=10).data
            mine = [hit.content[0].text for hit in hits if hit.filename == f"d{number}.md"]
            double += len(mine) - len(set(mine))
            missing += not any(f"unique{number}name" in text for text in mine)
        return double, missing


@contextmanager
def _service(environment: Mapping[str, str] | None = None) -> Iterator[Whole]:
    with tempfile.TemporaryDirectory(prefix="carrel-faults-") as folder, installed(Path(folder), environment) as whole:
        whole.start()
        yield whole
        whole.stop()


def _meanwhile(run: Run, kills: int, act: Callable[[int], None]) -> int:
    """Act at random moments of ingestion; whenever all has settled, everything goes into another store."""
    for done in range(kills):
        if not run.stores or not run.progress(run.stores[-1])[2]:
            run.fill()
        pause(run.chance.uniform(0.05, 0.5))
        act(done)
    return kills


def workers_killed(documents: int, kills: int, chance: random.Random) -> Iterator[Figure]:
    with _service() as whole:
        run = Run(whole, chance, documents)

        def kill(_: int) -> None:
            workers = whole.workers()
            if workers:
                with suppress(psutil.NoSuchProcess):
                    chance.choice(workers).kill()

        yield Figure("F1 workers killed", _meanwhile(run, kills, kill), "times")
        yield from run.verdict("F1")


def all_killed(documents: int, kills: int, chance: random.Random) -> Iterator[Figure]:
    with _service() as whole:
        run = Run(whole, chance, documents)
        starts: list[float] = []

        def kill(_: int) -> None:
            pause(chance.uniform(0, 3))
            whole.kill_all()
            starts.append(whole.start())

        yield Figure("F2 everything killed", _meanwhile(run, max(1, kills // 5), kill), "times")
        if starts:
            yield Figure("F2 cold start, p95", sorted(starts)[int(0.95 * (len(starts) - 1))], "s")
        yield from run.verdict("F2")


def redis_restarted(documents: int, kills: int, chance: random.Random) -> Iterator[Figure]:
    redis = Redis()
    with ExitStack() as stack:
        stack.callback(redis.close)
        whole = stack.enter_context(_service({"CARREL_BROKER_URL": redis.url}))
        run = Run(whole, chance, documents)

        def restart(number: int) -> None:
            if number % 7 == 6:
                redis.flush()
            redis.kill()
            pause(0.2)
            redis.start()

        yield Figure("F5 Redis restarted", _meanwhile(run, max(1, kills // 25), restart), "times")
        yield from run.verdict("F5")


def database_killed(documents: int, kills: int, chance: random.Random) -> Iterator[Figure]:
    server = Postgres()
    with ExitStack() as stack:
        stack.callback(server.close)
        whole = stack.enter_context(_service({"CARREL_CATALOG_URL": server.create()}))
        run = Run(whole, chance, documents)

        def restart(_: int) -> None:
            server.kill()
            server.start()
            pause(2)

        yield Figure("F6 PostgreSQL killed", _meanwhile(run, max(1, kills // 25), restart), "times")
        yield from run.verdict("F6")


def interfered(documents: int, kills: int, chance: random.Random) -> Iterator[Figure]:
    """Files cancelled, taken out and deleted, and whole stores deleted, while they are being ingested."""
    with _service() as whole:
        client = whole.client()
        run = Run(whole, chance, max(10, documents // 10))
        zombies = stuck = 0
        rounds = max(1, kills // 10)
        for _ in range(rounds):
            run.files = []
            store = run.fill()
            gone: set[str] = set()

            def interfere(mine: list[str], store: str = store, gone: set[str] = gone) -> None:
                for file in mine:
                    pause(chance.uniform(0, 0.05))
                    if chance.random() < 0.5:
                        client.vector_stores.files.delete(file, vector_store_id=store)
                    else:
                        client.files.delete(file)
                    gone.add(file)

            victims = chance.sample(run.files, len(run.files) // 2)
            hands = [threading.Thread(target=interfere, args=(victims[at::3],)) for at in range(3)]
            for hand in hands:
                hand.start()
            for hand in hands:
                hand.join()
            stuck += run.until_settled(store)[2]
            hits = client.vector_stores.search(store, query="Document is called", max_num_results=50).data
            zombies += sum(hit.file_id in gone for hit in hits)
            client.vector_stores.delete(store)
        yield Figure("F13 files deleted in the middle", rounds * (run.documents // 2), "times")
        yield Figure("F13 zombies", zombies, "chunks", met=not zombies)
        yield Figure("F13 stuck", stuck, "documents", met=not stuck)


FAULTS: Final = {
    "F1": workers_killed,
    "F2": all_killed,
    "F5": redis_restarted,
    "F6": database_killed,
    "F13": interfered,
}


def run(arguments: list[str]) -> Iterable[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks faults")
    parser.add_argument("faults", nargs="*", default=list(FAULTS), metavar="FAULT", help=", ".join(FAULTS))
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    for name in given.faults:
        if name not in FAULTS:
            parser.error(f"there is no fault {name}; there are {', '.join(FAULTS)}")
        print(f"{name}: seed {given.seed}, {given.documents} documents, {given.kills} kills")
        yield from FAULTS[name](given.documents, given.kills, random.Random(given.seed))
