"""What a task tells of its work: one log line an event, with counts and ids, and what was used, for the ledger.

Never text: a file is its id, a failure its code.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from ingest.embedding import Embedded, ModelSpec
from retrieval import ledger
from retrieval.catalog.rows import Claim, FailureCode, Publication, SegmentRow
from retrieval.ids import BatchId, FileId, ProjectId, StoreId
from workers.resources import WorkerResources

MOST_IDS: Final = 50  # of one line

log = logging.getLogger("carrel.pipeline")


@dataclass(slots=True)
class Stopwatch:
    milliseconds: float = 0.0


@contextmanager
def timed() -> Iterator[Stopwatch]:
    watch, started = Stopwatch(), time.perf_counter()
    try:
        yield watch
    finally:
        watch.milliseconds = 1000 * (time.perf_counter() - started)


class Teller:
    """Of one task: of one store, and so of one project."""

    def __init__(self, store: StoreId, resources: WorkerResources) -> None:
        self._store = store
        self._note = resources.note
        self._project = ProjectId("")
        self._bytes: dict[FileId, int] = {}
        self._batches: dict[FileId, BatchId] = {}

    def claimed(self, claims: Sequence[Claim]) -> None:
        if not claims:
            return
        self._project = claims[0].project_id
        self._bytes |= {claim.file_id: claim.bytes for claim in claims}
        self._batches |= {claim.file_id: claim.batch_id for claim in claims if claim.batch_id is not None}
        size = sum(claim.bytes for claim in claims)
        self._say(
            "claimed", [claim.file_id for claim in claims], bytes=size, attempt=max(one.attempt for one in claims)
        )

    def read(self, files: Sequence[FileId], chunks: int, watch: Stopwatch) -> None:
        self._count(ledger.READING, round(watch.milliseconds))
        self._say("parsed", files, chunks=chunks, latency_ms=watch.milliseconds)

    def embedded(self, files: Sequence[FileId], made: Embedded, spec: ModelSpec, watch: Stopwatch) -> None:
        cost = made.tokens * spec.dollars_per_million_tokens / 1e6
        self._count(ledger.INGEST_CALLS, 1)
        self._count(ledger.INGEST_TOKENS, made.tokens)
        self._count(ledger.EMBEDDING, round(watch.milliseconds))
        self._count(ledger.MICRODOLLARS, round(cost * 1e6))
        facts: dict[str, str | float] = {
            "chunks": len(made.vectors),
            "tokens": made.tokens,
            "cost_usd": cost,
            "model": spec.name,
        }
        self._say("embedded", files, latency_ms=watch.milliseconds, **facts)

    def published(self, publication: Publication, segment: SegmentRow, watch: Stopwatch) -> None:
        done = publication.published
        self._count(ledger.PUBLISHING, round(watch.milliseconds))
        if done:
            self._count(ledger.INGESTED_FILES, len(done))
            self._count(ledger.INGESTED_BYTES, sum(self._bytes.get(file, 0) for file in done))
            self._count(ledger.INGESTED_CHUNKS, segment.rows)
        facts: dict[str, str | float] = {"segment": segment.id, "rows": segment.rows, "bytes": segment.bytes}
        self._say("published", done, generation=publication.generation, latency_ms=watch.milliseconds, **facts)
        if publication.skipped:
            self._say("dropped", publication.skipped)

    def failed(self, file: FileId, code: FailureCode) -> None:
        self._count(ledger.FAILED + code.value, 1)
        self._say("failed", [file], code=code.value)

    def put_off(self, files: Sequence[FileId], seconds: float) -> None:
        self._count(ledger.PUT_OFF, len(files))
        self._say("put off", files, pause_seconds=seconds)

    def _count(self, kind: str, quantity: int) -> None:
        self._note(self._project, kind, quantity)

    def _say(self, event: str, files: Sequence[FileId], **facts: str | float) -> None:
        if "latency_ms" in facts:
            facts["latency_ms"] = round(float(facts["latency_ms"]), 3)
        extra = {"project": self._project, "store": self._store, "files": len(files), "file_ids": files[:MOST_IDS]}
        batches = dict.fromkeys(self._batches[file] for file in files if file in self._batches)
        named = {"batch_ids": list(batches)[:MOST_IDS]} if batches else {}
        log.info(event, extra={**extra, **named, **facts})
