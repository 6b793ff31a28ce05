"""One very long document: what it takes and holds, and what a worker killed at nine tenths of it costs.

`undisturbed` runs the code of the workers in this process. `killed` runs a whole service against an upstream that
counts what it is asked, and kills the worker at the dearest moment: while its last calls are still unanswered.
"""

import random
import resource
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks._faults.run import asking, parts
from benchmarks._library import Library
from benchmarks._whole_ingest import prose
from benchmarks.figure import Figure
from ingest.children import ChildPool
from ingest.chunking.chunk import Chunk, ChunkLimits
from ingest.embedding import Embedder
from ingest.parsing.limits import Limits
from retrieval.catalog.rows import FileStatus
from tests.support.nursery import Parts
from tests.support.upstream import Asked, FakeUpstream, Reply
from tests.support.whole import pause, settled

WIDTH: Final = 384
KILLED_AT: Final = 0.9  # of the tokens
TOGETHER_SECONDS: Final = 1.0  # in which the calls that belong to one step arrive
PATIENCE_SECONDS: Final = 1800
CACHE_BYTES: Final = 512 << 20  # as configs/default.toml has it
MOST_REPEATED: Final = 15  # percent
MOST_MIB: Final = 1536


def text_of(tokens: int, seed: int) -> str:
    chance, words = random.Random(seed), int(tokens * 0.6)
    return "\n\n".join(f"Section {at}. {prose(chance, 150)}." for at in range(words // 150))


def undisturbed(tokens: int, seed: int, embedder: Embedder) -> Iterator[Figure]:
    text = text_of(tokens, seed)
    with Library(embedder) as library:
        store = library.new_store()
        file = library.upload("long.txt", text.encode())
        library.attach(store, [file])
        begun = time.perf_counter()
        library.ingest(store)
        seconds = time.perf_counter() - begun
        with library.catalog.reading() as tx:
            chunks = sum(segment.rows for segment in tx.manifests.segments(store))
            row = tx.store_files.get(library.project, store, file)
    if row.last_error is not None:
        print(f"the long document failed: {row.last_error.message}")
    done = row.status is FileStatus.COMPLETED
    yield Figure("long document", seconds, "s", f"{len(text):,} characters, {chunks:,} chunks", met=done)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    yield _memory("memory, with the long document", peak)
    yield _memory("largest child", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)


class Executioner:
    """Kills the worker while the upstream holds its calls at nine tenths; then another begins."""

    def __init__(self, whole: Parts, chunks: Sequence[Chunk]) -> None:
        self._whole = whole
        self._tokens = {chunk.text_to_embed: chunk.tokens for chunk in chunks}
        self._asked = 0
        self._lock = threading.Lock()  # guards what is counted, and lets nobody be answered while the worker dies
        self.needed = sum(self._tokens.values())
        self.died_at: float | None = None

    def __call__(self, asked: Asked) -> Reply | None:
        with self._lock:
            self._asked += self._worth(asked)
            if self.died_at is None and self._asked >= KILLED_AT * self.needed:
                pause(TOGETHER_SECONDS)
                self.died_at = self._asked / self.needed
                self._whole.kill("worker 0")
                self._whole.begin_worker("worker after it")
        return None

    def repeated(self, calls: Sequence[Asked]) -> tuple[int, int]:
        """Tokens and chunks that were asked for more than once."""
        texts = [text for asked in calls for text in asked.inputs if text in self._tokens]
        return sum(map(self._worth, calls)) - self.needed, len(texts) - len(self._tokens)

    def _worth(self, asked: Asked) -> int:
        return sum(self._tokens.get(text, 0) for text in asked.inputs)  # it is also asked whether it is well


def killed(tokens: int, seed: int) -> Iterator[Figure]:
    content = text_of(tokens, seed).encode()
    chunks = _chunks(content)
    with FakeUpstream(width=WIDTH) as upstream:
        environment = asking(upstream) | {"CARREL_EMBEDDING_CACHE_BYTES": str(CACHE_BYTES)}
        with parts(environment, workers=1) as whole:
            upstream.script = executioner = Executioner(whole, chunks)
            client = whole.client()
            store = client.vector_stores.create().id
            file = client.files.create(file=("long.txt", content), purpose="assistants").id
            begun = time.perf_counter()
            client.vector_stores.files.create(store, file_id=file)
            counts = settled(client, store, within_seconds=PATIENCE_SECONDS).file_counts
            seconds = time.perf_counter() - begun
            peak = _peak_mib(whole.born["worker after it"]) if executioner.died_at else 0.0
            whole.stop()
    again, chunks_again = executioner.repeated(upstream.asked)
    share = 100 * again / executioner.needed
    yield Figure(
        "long document, its worker killed once",
        seconds,
        "s",
        f"at {100 * (executioner.died_at or 0):.1f} % of {executioner.needed:,} tokens",
        met=counts.completed == 1 and executioner.died_at is not None,
    )
    yield Figure(
        "embedded again after the kill",
        share,
        "% of tokens",
        f"{chunks_again:,} of {len(chunks):,} chunks",
        target=f"under {MOST_REPEATED}",
        met=0 < share < MOST_REPEATED,
    )
    yield _memory("memory of the worker that ended it", peak)


def _chunks(content: bytes) -> Sequence[Chunk]:
    pool = ChildPool(1, Limits())
    try:
        return pool.prepare(content, "long.txt", ChunkLimits()).chunks
    finally:
        pool.close()


def _peak_mib(process: int) -> float:
    facts = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(fact.split()[1]) for fact in facts if fact.startswith("VmHWM")) / 1024


def _memory(name: str, mib: float) -> Figure:
    return Figure(name, mib, "MiB", "peak", target=f"under {MOST_MIB:,}", met=mib < MOST_MIB)
