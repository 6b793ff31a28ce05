"""One service under a fault, the documents sent to it, and the verdict: what was lost, stuck, twice, or left over."""

import atexit
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Final, TypeVar

import openai
import psutil
from openai.types import VectorStoreSearchResponse

from benchmarks._faults.leftovers import after_sweep
from benchmarks.figure import Figure
from tests.support.nursery import Nursery, Parts
from tests.support.s3 import S3Server, running_s3
from tests.support.upstream import FakeUpstream
from tests.support.whole import Whole, installed, pause

Answer = TypeVar("Answer")

SETTLE_SECONDS: Final = 900
SAMPLE: Final = 200  # documents searched for
TOLD_EVERY: Final = 25  # acts
ONE_CHILD: Final = {"CARREL_PARSING_CHILDREN": "1"}  # of each worker: of those there are several, and each start counts


@dataclass(frozen=True, slots=True)
class Size:
    documents: int
    times: int  # kills, restarts, rounds or interleavings: whatever the fault repeats
    bucket: bool = False  # objects lie in one instead of a folder


def none(name: str, found: int, unit: str, against: str = "") -> Figure:
    """A figure that is to be nought."""
    return Figure(name, found, unit, against, met=not found)


def name_of(number: int) -> str:
    """A word of its own for each document, without digits: those are words by themselves."""
    return "xq" + "".join(chr(ord("a") + int(digit)) for digit in f"{number:05}") + "z"


def p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * (len(values) - 1))]


def worked(processes: Iterable[int]) -> float:
    """Seconds of a processor that these have had since they began; moments drawn in them fall as densely into work on
    a busy machine as on an idle one, where moments on the clock would let nothing be done between two kills."""
    seconds = 0.0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            times = psutil.Process(process).cpu_times()
            seconds += times.user + times.system
    return seconds


class Run:
    def __init__(self, whole: Whole, chance: random.Random, documents: int) -> None:
        self.whole = whole
        self.chance = chance
        self.documents = documents
        self.files: list[str] = []
        self.stores: list[str] = []
        self.beside: dict[str, int] = {}  # files of a store that are none of the documents
        self._wording = 0

    @cached_property
    def client(self) -> openai.OpenAI:
        return self.whole.client()

    def fill(self) -> str:
        """Upload everything the first time, and attach it to a new store; the store."""
        while len(self.files) < self.documents:
            number = len(self.files)
            self.files.append(self.insist(lambda: self.upload(f"d{number}.md", self.content(number))))  # noqa: B023 - called at once
        store = self.insist(lambda: self.client.vector_stores.create().id)
        for start in range(0, len(self.files), 500):
            some = self.files[start : start + 500]
            self.insist(lambda: self.client.vector_stores.file_batches.create(store, file_ids=some))  # noqa: B023 - called at once
        self.stores.append(store)
        return store

    def reword(self) -> None:
        """From the next store on, documents of the same names say something else: no vector of theirs is known yet."""
        self.files.clear()
        self._wording += 1

    def upload(self, name: str, content: bytes) -> str:
        return self.client.files.create(file=(name, content), purpose="assistants").id

    def insist(self, ask: Callable[[], Answer]) -> Answer:
        """Ask until it is answered: the service may be away, and is to come back by itself."""
        until = time.monotonic() + SETTLE_SECONDS
        while True:
            try:
                return ask()
            except (openai.APIConnectionError, openai.InternalServerError):
                if time.monotonic() > until:
                    raise
                pause(0.2)

    def content(self, number: int) -> bytes:
        parts = self.chance.choice((1, 1, 1, 3, 10))
        text = "\n\n".join(
            f"# Part {part} of {number}\n\n"
            + " ".join(f"Sentence {at} of part {part} of {number} by {self._wording}." for at in range(90))
            for part in range(parts)
        )
        return f"Document {number} is called {name_of(number)}.\n\n{text}".encode()

    def progress(self, store: str) -> tuple[int, int, int]:
        """Completed, failed, in progress."""
        counts = self.insist(lambda: self.client.vector_stores.retrieve(store).file_counts)
        return counts.completed, counts.failed, counts.in_progress

    def until_settled(self, store: str) -> tuple[int, int, int]:
        until = time.monotonic() + SETTLE_SECONDS
        while (found := self.progress(store))[2] and time.monotonic() < until:
            pause(0.2)
        return found

    def until_worked(self, processes: Sequence[int], seconds: float) -> None:
        """Until these have had so much of a processor, or nothing is left to do."""
        while worked(processes) < seconds and self.progress(self.stores[-1])[2]:
            pause(0.05)

    def meanwhile(self, times: int, act: Callable[[int], bool | None]) -> int:
        """Act at random moments of ingestion; whenever all has settled, everything goes into another store. Acts that
        answer False did not take place."""
        done = 0
        while done < times:
            if not self.stores or not self.progress(self.stores[-1])[2]:
                self.fill()
            pause(self.chance.uniform(0.05, 0.5))
            done += act(done) is not False
            if not done % TOLD_EVERY:
                print(f"{done} of {times}, {len(self.stores)} stores", flush=True)
        return done

    def verdict(self, fault: str) -> Iterator[Figure]:
        """Ends the service: what lies in its folder is looked at afterwards."""
        failed = stuck = lost = double = missing = 0
        for store in self.stores:
            settled = self.until_settled(store)
            failed, stuck = failed + settled[1], stuck + settled[2]
            lost += self.documents + self.beside.get(store, 0) - settled[0] - settled[2]
            found = self._searched(store)
            double, missing = double + found[0], missing + found[1]
        yield none(
            f"{fault} lost or failed", lost, "documents", f"of {len(self.stores)} x {self.documents}; {failed} failed"
        )
        yield none(f"{fault} stuck", stuck, "documents")
        yield none(f"{fault} duplicated chunks", double, "chunks")
        yield none(f"{fault} not found", missing, "documents", "of those asked for")
        yield from remains(self.whole, fault)

    def _searched(self, store: str) -> tuple[int, int]:
        double = missing = 0
        for number in self.chance.sample(range(self.documents), min(self.documents, SAMPLE)):
            query = name_of(number)
            hits = self.insist(lambda: self._hits(store, query))  # noqa: B023 - called at once
            mine = [hit.content[0].text for hit in hits if hit.filename == f"d{number}.md"]
            double += len(mine) - len(set(mine))
            missing += not any(query in text for text in mine)
        return double, missing

    def _hits(self, store: str, query: str) -> list[VectorStoreSearchResponse]:
        """By words alone: a model that stands in for one knows nothing of meaning."""
        weights = {"ranker": "auto", "hybrid_search": {"embedding_weight": 0, "text_weight": 1}}
        return self.client.vector_stores.search(
            store,
            query=query,
            max_num_results=10,
            ranking_options=weights,  # type: ignore[arg-type]  # the SDK's type does not know all of the contract
        ).data


def remains(whole: Whole, fault: str) -> Iterator[Figure]:
    """End the service, sweep without grace, and compare what lies there with what the catalog names."""
    whole.stop()
    left = after_sweep(whole.variables())
    yield none(f"{fault} left over", left.unnamed + left.drafts, "objects", f"after a sweep that took {left.swept}")
    yield none(f"{fault} missing", left.missing, "objects", "that rows name")
    yield none(f"{fault} damaged", left.corrupt + left.untruths, "segments, pages and counts")


@cache
def _nursery() -> Nursery:
    """One for all faults of this process: it takes seconds to import what it bears."""
    nursery = Nursery()
    atexit.register(nursery.close)
    return nursery


@contextmanager
def served(environment: Mapping[str, str] | None = None) -> Iterator[Whole]:
    """`carrel serve`, with its supervisor."""
    with (
        tempfile.TemporaryDirectory(prefix="carrel-faults-") as folder,
        installed(Path(folder, "data"), environment) as whole,
    ):
        whole.start()
        yield whole
        whole.stop()


@contextmanager
def parts(
    environment: Mapping[str, str] | None = None,
    *,
    workers: int = 2,
    folder: Path | None = None,
    clock: Path | None = None,
    bucket: bool = False,
) -> Iterator[Parts]:
    """The same in parts that are killed and started one by one."""
    with ExitStack() as stack:
        made = stack.enter_context(tempfile.TemporaryDirectory(prefix="carrel-faults-"))
        more = _in_a_bucket(stack.enter_context(running_s3())) if bucket else {}
        where = (folder or Path(made)) / "data"
        whole = Parts(where, {**ONE_CHILD, **(environment or {}), **more}, nursery=_nursery(), log=Path(made, "log"))
        try:
            whole.start(workers, clock)
            yield whole
        finally:
            whole.kill_all()


def _in_a_bucket(server: S3Server) -> dict[str, str]:
    address = server.new_address()
    return {
        "CARREL_STORAGE_URL": f"s3://{address.bucket}/{address.prefix}",
        "CARREL_STORAGE_ENDPOINT": server.url,
        "CARREL_STORAGE_ACCESS_KEY_ID": "key",
        "CARREL_STORAGE_SECRET_ACCESS_KEY": "secret",
    }


def asking(upstream: FakeUpstream) -> dict[str, str]:
    """The environment of a service whose embedding model is `upstream`."""
    return {
        "CARREL_EMBEDDING_PROVIDER": "openai",
        "CARREL_EMBEDDING_MODEL": "m",
        "CARREL_EMBEDDING_DIMENSIONS": str(upstream.width),
        "CARREL_EMBEDDING_BASE_URL": upstream.base_url,
        "CARREL_EMBEDDING_ALIASES": "",
        "CARREL_EMBEDDING_CACHE_BYTES": str(16 << 20),
    }
