"""A claim's files -> what children made of them. Perhaps ahead: while one claim is embedded, the next one is read.

Two cores are busy only if nobody waits for the other: children read while their worker embeds and writes. A suspect is
never read ahead, for whatever is in hand would share its fate.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ingest.children import Attempt, Reading
from ingest.chunking.chunk import Chunk, ChunkLimits
from retrieval.catalog.rows import Claim
from retrieval.errors import RetrievalError
from retrieval.ids import FileId, StoreId
from workers.resources import WorkerResources
from workers.reuse import KnownVectors, vectors_of_predecessors
from workers.settling import Settled
from workers.telling import Stopwatch, timed
from workers.verdicts import verdict_on, verdict_on_deaths


@dataclass(frozen=True, slots=True)
class Read:
    """What became of one claim. A file that is in neither list was not begun: the process is to end."""

    chunks: list[tuple[Claim, Sequence[Chunk]]]
    failed: list[Settled]
    known: dict[FileId, KnownVectors]
    watch: Stopwatch


class Reader:
    """Of one task. What is read ahead and no longer wanted is left where it is."""

    def __init__(self, store: StoreId, resources: WorkerResources) -> None:
        self._store = store
        self._resources = resources
        self._left = threading.Event()
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="reading-ahead")  # starts no thread until it must

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._beside.shutdown()

    def ahead(self, claims: Sequence[Claim]) -> Future[Read]:
        return self._beside.submit(self.read, claims)

    def read(self, claims: Sequence[Claim]) -> Read:
        """Parse and chunk in children; a document that fails, fails alone."""
        known: dict[FileId, KnownVectors] = {}
        if replacing := [claim.file_id for claim in claims if claim.replaces]:
            known = vectors_of_predecessors(self._store, replacing, claims[0].edition, self._resources)
        doomed = [Settled(claim, end) for claim in claims if (end := verdict_on_deaths(claim.deaths))]
        lost = {one.claim.file_id for one in doomed}
        with timed() as watch, ExitStack() as stack:
            read = Read([], doomed, known, watch)
            for claim, attempt in self._attempts([one for one in claims if one.file_id not in lost], read, stack):
                if attempt.prepared is not None:
                    read.chunks.append((claim, attempt.prepared.chunks))
                elif attempt.error is not None:
                    read.failed.append(Settled(claim, verdict_on(claim, attempt.error, self._resources.now())))
        return read

    def _attempts(self, claims: Sequence[Claim], read: Read, stack: ExitStack) -> Iterator[tuple[Claim, Attempt]]:
        found: list[tuple[Claim, Reading]] = []
        for claim in claims:
            try:
                path = stack.enter_context(self._resources.storage.local(claim.blob))
            except RetrievalError as error:
                read.failed.append(Settled(claim, verdict_on(claim, error, self._resources.now())))
            else:
                found.append((claim, Reading(path, claim.filename, _limits(claim))))
        attempts = self._resources.children.prepare_many(self._wanted(found))
        yield from zip((claim for claim, _ in found), attempts, strict=False)

    def _wanted(self, found: Sequence[tuple[Claim, Reading]]) -> Iterator[Reading]:
        """Ends early when the process is to end: what is not read is given back."""
        for _, reading in found:
            if self._left.is_set() or self._resources.stopping():
                return
            yield reading


def _limits(claim: Claim) -> ChunkLimits:
    if claim.chunking is None:
        return ChunkLimits()
    return ChunkLimits("static", claim.chunking.max_tokens, claim.chunking.overlap_tokens)
