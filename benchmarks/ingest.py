"""Ingestion end to end: one small file, small files in bulk, beside peers, and one very long document.

    python -m benchmarks ingest [PART …] [--files 10000] [--provider hashed|local] [--tokens 5000000]

`latency`, `bulk` and `peers` run a whole service (HTTP, doorbells, worker processes). `inline` runs the code of the
workers in this process, with its parsing children: how full calls are, and where the time goes. `long` does both: what
a document of millions of tokens takes, and what is embedded again when its worker is killed at nine tenths.
"""

import argparse
import random
import resource
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks import _long_document, _whole_ingest
from benchmarks._library import Library
from benchmarks._whole_ingest import small_file
from benchmarks.figure import Figure
from ingest.embedding import CacheConfig, Embedded, Embedder, EmbedderConfig, ModelSpec, Purpose, open_embedder
from retrieval.catalog.rows import FileStatus
from retrieval.ids import FileId, StoreId
from workers.merging import merge_store

CALL = 4096
PARTS = ("latency", "bulk", "inline", "long", "peers")


class Counted:
    """Notes how many texts each call had, and the time in it."""

    def __init__(self, inner: Embedder) -> None:
        self._inner = inner
        self.calls: list[int] = []
        self.seconds = 0.0

    @property
    def spec(self) -> ModelSpec:
        return self._inner.spec

    def embed(self, texts: Sequence[str], *, purpose: Purpose = "document") -> Embedded:
        begun = time.perf_counter()
        made = self._inner.embed(texts, purpose=purpose)
        self.seconds += time.perf_counter() - begun
        self.calls.append(len(texts))
        return made

    def close(self) -> None:
        self._inner.close()


def run(arguments: list[str]) -> Iterable[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks ingest")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--files", type=int, default=10_000, help="of bulk and inline")
    parser.add_argument("--provider", choices=("hashed", "local"), default="hashed", help="of bulk and inline")
    parser.add_argument("--tokens", type=int, default=5_000_000, help="of the long document")
    parser.add_argument("--small", type=int, default=40, help="files of latency")
    parser.add_argument("--peer-files", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"there is no part {min(unknown)}; there are {', '.join(PARTS)}")
    print(f"seed {given.seed}")
    for part in given.parts or PARTS:
        if part == "latency":
            yield from _whole_ingest.latency(given.small, given.seed)
        elif part == "bulk":
            yield from _whole_ingest.bulk(given.files, given.provider, given.seed)
        elif part == "inline":
            yield from _bulk(given.files, given.provider, given.seed)
        elif part == "long":
            yield from _long_document.undisturbed(given.tokens, given.seed, _embedder("hashed"))
            yield from _long_document.killed(given.tokens, given.seed)
        else:
            yield from _whole_ingest.peers(given.peer_files, given.seed)


def _embedder(provider: str) -> Counted:
    if provider == "hashed":
        return Counted(open_embedder(EmbedderConfig(provider="hashed", model="hashed")))
    config = EmbedderConfig(
        provider="local", model="all-MiniLM-L6-v2", folder=Path("models"), cache=CacheConfig(folder=None, disk_bytes=0)
    )
    return Counted(open_embedder(config))


def _bulk(count: int, provider: str, seed: int) -> Iterable[Figure]:
    chance = random.Random(seed)
    embedder = _embedder(provider)
    with Library(embedder) as library:
        store = library.new_store()
        files = [library.upload(f"file{number}.md", small_file(chance, number)) for number in range(count)]
        library.attach(store, files)
        begun = time.perf_counter()
        library.ingest(store)
        seconds = time.perf_counter() - begun
        merge_store(store, library.catalog, library.storage)
        merged = time.perf_counter() - begun - seconds
        with library.catalog.reading() as tx:
            segments = tx.manifests.segments(store)
        chunks = sum(segment.rows for segment in segments)
        rate, filled = chunks / seconds, sum(embedder.calls) / (len(embedder.calls) * CALL)
        done = _completed(library, store, files)
    yield Figure("files completed", done, "", f"of {count:,}", met=done == count)
    yield Figure("chunks", chunks)
    quick = (rate >= 1500) if provider == "hashed" else None
    yield Figure("claim to searchable", rate, "chunks/s", target="1,500 with the hashed embedder", met=quick)
    yield Figure("time outside the embedder", 1 - embedder.seconds / seconds, "share")
    yield Figure(
        "calls filled", filled, "share", f"{len(embedder.calls)} calls of {CALL}", target="0.9", met=filled > 0.9
    )
    yield Figure("merging", merged, "s")
    yield Figure("live segments", len(segments), target="under 32", met=len(segments) < 32)
    yield _memory("memory, with everything before")


def _completed(library: Library, store: StoreId, files: Sequence[FileId]) -> int:
    with library.catalog.reading() as tx:
        rows = [tx.store_files.get(library.project, store, file) for file in files]
    return sum(row.status is FileStatus.COMPLETED for row in rows)


def _memory(name: str) -> Figure:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Figure(name, peak, "MiB", "peak", target="under 1,536", met=peak < 1536)
