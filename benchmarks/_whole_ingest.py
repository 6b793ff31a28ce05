"""Ingestion through a service that really runs: HTTP, doorbells, workers in processes of their own; and what peers do.

The clock starts when files are attached: how they came to be uploaded is another figure's business.
"""

import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import psutil

from benchmarks.figure import Figure
from ingest.embedding import CacheConfig, EmbedderConfig, open_embedder
from tests.support.whole import KEY, Redis, Whole, installed, pause

LOOK_SECONDS: Final = 0.02  # more often, and looking would take the core that the model computes on
MODEL: Final = "all-MiniLM-L6-v2"
BATCH: Final = 2_000
CONNECTIONS: Final = 8
PATIENCE_SECONDS: Final = 900
LOCAL: Final = {"CARREL_EMBEDDING_PROVIDER": "local", "CARREL_EMBEDDING_MODEL": MODEL}
PEER: Final = "benchmarks._langchain_chroma"  # as a module: its folder holds an `http` that is not the library's


def prose(chance: random.Random, words: int) -> str:
    """Sentences of made-up words that a tokenizer cuts much as it cuts English."""
    vocabulary = [f"{a}{b}" for a in ("river", "stone", "cloud", "paper", "light") for b in ("", "s", "ing", " of")]
    return " ".join(chance.choices(vocabulary, k=words))


def small_file(chance: random.Random, number: int, parts: int = 2, words: int = 150) -> bytes:
    return "\n\n".join(f"# Part {part} of {number}\n\n{prose(chance, words)}." for part in range(parts)).encode()


@contextmanager
def service(environment: Mapping[str, str]) -> Iterator[Whole]:
    with tempfile.TemporaryDirectory(prefix="carrel-bench-") as folder, installed(Path(folder), environment) as whole:
        whole.start()
        yield whole
        whole.stop()


class Peak:
    """The most memory that any process of a service had to itself at once, looked at now and then."""

    def __init__(self, whole: Whole) -> None:
        self._whole = whole
        self._over = threading.Event()
        self.bytes = 0
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.5):
            for one in self._whole.processes():
                with suppress(psutil.NoSuchProcess):
                    self.bytes = max(self.bytes, one.memory_info().rss)


class Caller:
    """Uploads, attaches and waits, over few connections: the SDK's own time is not what is measured."""

    def __init__(self, whole: Whole) -> None:
        self._http = httpx.Client(base_url=f"{whole.url}/v1", headers={"authorization": f"Bearer {KEY}"}, timeout=60)

    def close(self) -> None:
        self._http.close()

    def post(self, path: str, **body: object) -> dict[str, object]:
        answer = self._http.post(path, json=body)
        answer.raise_for_status()
        found: dict[str, object] = answer.json()
        return found

    def get(self, path: str) -> dict[str, object]:
        answer = self._http.get(path)
        answer.raise_for_status()
        found: dict[str, object] = answer.json()
        return found

    def delete(self, path: str) -> None:
        self._http.delete(path).raise_for_status()

    def upload(self, name: str, content: bytes) -> str:
        answer = self._http.post("/files", files={"file": (name, content)}, data={"purpose": "assistants"})
        answer.raise_for_status()
        return str(answer.json()["id"])

    def upload_all(self, contents: Sequence[bytes]) -> list[str]:
        """Over several connections: one alone waits for the disk most of the time."""
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            return list(threads.map(lambda one: self.upload(f"file{one[0]}.md", one[1]), enumerate(contents)))

    def new_store(self) -> str:
        return str(self.post("/vector_stores")["id"])

    def settled(self, store: str, every_seconds: float) -> Mapping[str, int]:
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            counts = self.get(f"/vector_stores/{store}")["file_counts"]
            assert isinstance(counts, dict)
            if not counts["in_progress"]:
                return counts
            pause(every_seconds)
        raise TimeoutError(f"{store} still at work after {PATIENCE_SECONDS} s")


def latency(files: int, seed: int) -> Iterator[Figure]:
    """One 10 KB file at a time, until a search would find it."""
    chance = random.Random(seed)
    contents = [small_file(chance, number, parts=4, words=310) for number in range(files)]
    embedding = _embedding_seconds(contents)
    print(f"{files} files of {statistics.median(map(len, contents)):,.0f} bytes, one after the other")
    with ExitStack() as stack:
        redis = Redis()
        stack.callback(redis.close)
        for profile, more, most in (("folder", {}, 400), ("Redis", {"CARREL_BROKER_URL": redis.url}, 250)):
            with service({**LOCAL, **more}) as whole:
                taken = _one_by_one(whole, contents)
            p50, p95 = statistics.median(taken), sorted(taken)[int(0.95 * (len(taken) - 1))]
            yield Figure(
                f"attach to searchable, broker a {profile}, p50",
                p50,
                "ms",
                f"p95 {p95:.0f}",
                target=f"{most} ms",
                met=p50 <= most,
            )
            own = p50 - 1000 * embedding
            yield Figure(
                "of which our own", own, "ms", f"embedding {1000 * embedding:.0f}", target="150 ms", met=own <= 150
            )


def _embedding_seconds(contents: Sequence[bytes]) -> float:
    """What the model alone takes for one such file, chunked as the service chunks it."""
    from ingest.children import ChildPool
    from ingest.chunking.chunk import ChunkLimits
    from ingest.parsing.limits import Limits

    embedder = open_embedder(_local_model())
    pool = ChildPool(1, Limits())
    try:
        taken = []
        for number, content in enumerate(contents):
            chunks = [chunk.text_to_embed for chunk in pool.prepare(content, f"{number}.md", ChunkLimits()).chunks]
            begun = time.perf_counter()
            embedder.embed(chunks)
            taken.append(time.perf_counter() - begun)
        return statistics.median(taken)
    finally:
        pool.close()
        embedder.close()


def _local_model() -> EmbedderConfig:
    cache = CacheConfig(folder=None, disk_bytes=0)
    return EmbedderConfig(provider="local", model=MODEL, folder=Path("models"), cache=cache)


def _one_by_one(whole: Whole, contents: Sequence[bytes]) -> list[float]:
    caller = Caller(whole)
    store, taken = caller.new_store(), []
    for number, content in enumerate(contents):
        file = caller.upload(f"file{number}.md", content)
        begun = time.perf_counter()
        caller.post(f"/vector_stores/{store}/files", file_id=file)
        while caller.get(f"/vector_stores/{store}/files/{file}")["status"] == "in_progress":
            pause(LOOK_SECONDS)
        taken.append(1000 * (time.perf_counter() - begun))
    caller.close()
    return taken[len(taken) // 10 :]  # the first ones find workers that are still warming up


def bulk(files: int, provider: str, seed: int) -> Iterator[Figure]:
    """Thousands of small files through the whole service."""
    chance = random.Random(seed)
    with service(LOCAL if provider == "local" else {}) as whole, Peak(whole) as peak:
        caller = Caller(whole)
        ids = caller.upload_all([small_file(chance, number) for number in range(files)])
        store = caller.new_store()
        begun = time.perf_counter()
        for start in range(0, files, BATCH):
            caller.post(f"/vector_stores/{store}/file_batches", file_ids=ids[start : start + BATCH])
        counts = caller.settled(store, 0.1)
        seconds = time.perf_counter() - begun
        found = caller.get(f"/vector_stores/{store}/statistics")
        progress = caller.get(f"/vector_stores/{store}/progress")["completed"]
        caller.close()
    assert isinstance(progress, dict)
    segments = found["segments"]
    assert isinstance(segments, dict)
    live = int(segments["live"])
    rate = int(progress["chunks"]) / seconds
    yield Figure("files completed", counts["completed"], "", f"of {files:,}", met=counts["completed"] == files)
    if provider == "hashed":
        yield Figure("attach to searchable, whole service", rate, "chunks/s", target="1,500", met=rate >= 1500)
    else:
        alone = _rate_alone(chance)
        yield Figure(
            "attach to searchable, whole service",
            rate,
            "chunks/s",
            f"embedder alone {alone:.1f}",
            rate / alone,
            "0.85",
            met=rate >= 0.85 * alone,
        )
    yield Figure("live segments", live, target="under 32", met=live < 32)
    yield Figure("largest process", peak.bytes / 2**20, "MiB", target="under 1,024", met=peak.bytes < 2**30)


def _rate_alone(chance: random.Random, files: int = 150) -> float:
    """Chunks a second of the embedder called directly, with all cores, on files of the same make."""
    from ingest.children import ChildPool
    from ingest.chunking.chunk import ChunkLimits
    from ingest.parsing.limits import Limits

    pool = ChildPool(1, Limits())
    texts = [
        chunk.text_to_embed
        for number in range(files)
        for chunk in pool.prepare(small_file(chance, number), f"{number}.md", ChunkLimits()).chunks
    ]
    pool.close()
    embedder = open_embedder(_local_model())
    embedder.embed(texts[:8])
    begun = time.perf_counter()
    embedder.embed(texts[8:])
    seconds = time.perf_counter() - begun
    embedder.close()
    return (len(texts) - 8) / seconds


def peers(files: int, seed: int) -> Iterator[Figure]:
    """The same files and the same model through us, and through LangChain's splitter, torch and Chroma."""
    with tempfile.TemporaryDirectory(prefix="carrel-bench-") as name:
        folder, chance = Path(name), random.Random(seed)
        for number in range(files):
            (folder / f"file{number}.md").write_bytes(small_file(chance, number))
        with service(LOCAL) as whole:
            caller = Caller(whole)
            begun = time.perf_counter()
            ids = [caller.upload(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
            store = caller.new_store()
            for start in range(0, files, BATCH):
                caller.post(f"/vector_stores/{store}/file_batches", file_ids=ids[start : start + BATCH])
            done = caller.settled(store, 0.1)["completed"]
            ours = time.perf_counter() - begun
            caller.close()
        yield Figure("Carrel, upload to searchable", ours, "s", f"{done:,} of {files:,} files", met=done == files)
        ran = subprocess.run(
            [sys.executable, "-m", PEER, str(folder), "models/" + MODEL], capture_output=True, text=True, check=False
        )
        if ran.returncode:
            last = (ran.stderr.strip().splitlines() or ["no reason given"])[-1]
            yield Figure("LangChain + Chroma", "did not run", "", last[:120])
        else:
            theirs, chunks = (float(word) for word in ran.stdout.split()[-2:])
            yield Figure("LangChain + Chroma, folder to searchable", theirs, "s", f"{chunks:,.0f} chunks")
            yield Figure("times as quick", theirs / ours, "", target="more than 1", met=theirs > ours)
    yield Figure("OGX", "not compared", "", "needs Python 3.12")
