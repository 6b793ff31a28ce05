"""The story of what waits in one store, from bytes to searchable. Knows no Celery.

Claim as many files as fill embedding calls; read them in children; embed; write one segment; publish it. Every
step may be cut off anywhere: until `publish` commits nothing of it can be found, and the lease hands the files to
the next worker.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from ingest.children import Reading
from ingest.chunking.chunk import ChunkLimits
from ingest.prepared import Prepared
from retrieval.catalog.rows import Claim, Failure, Ingested, Publication, SegmentRow
from retrieval.errors import RetrievalError
from retrieval.ids import FileId, LeaseToken, StoreId, new_lease_token, new_segment_id
from retrieval.segments.layout import segment_name
from retrieval.segments.rows import NewRows, StoredChunk
from retrieval.segments.writer import write_segment
from workers.leases import LeaseKeeper
from workers.resources import ClaimSize, WorkerResources
from workers.verdicts import Fail, Retry, Verdict, verdict, verdict_on_deaths

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Read:
    claim: Claim
    prepared: Prepared


@dataclass(frozen=True, slots=True)
class Settled:
    claim: Claim
    verdict: Verdict


def index_waiting(
    store: StoreId, resources: WorkerResources, size: ClaimSize | None = None, *, more: Callable[[], None] | None = None
) -> int:
    """Take what waits in a store, as much as one claim holds, to its end; how many files that were.

    `more` is called before the work begins if the claim came back full, so that others can take the rest meanwhile.
    """
    size = size or resources.claim_size
    claims = _claim(store, resources, size)
    if not claims:
        return 0
    if more is not None and (len(claims) >= size.files or sum(claim.bytes for claim in claims) >= size.bytes // 2):
        more()
    token, files = claims[0].token, [claim.file_id for claim in claims]
    with LeaseKeeper(resources.catalog, store, token, files, size.lease_seconds) as lease:
        doomed = [Settled(claim, end) for claim in claims if (end := verdict_on_deaths(claim.deaths))]
        lost = {one.claim.file_id for one in doomed}
        read, failed = _read([claim for claim in claims if claim.file_id not in lost], resources)
        settle(store, token, [*doomed, *failed], resources)
        wanted = [one for one in read if one.claim.file_id in lease.still]
        try:
            _ingest(store, wanted, resources)
        except Exception as error:  # whatever it was, the files must not wait for their lease to end
            log.exception("ingestion failed", extra={"store": store, "files": len(wanted)})
            settle(store, token, [Settled(one.claim, verdict(error, one.claim.attempt)) for one in wanted], resources)
    return len(claims)


def _claim(store: StoreId, resources: WorkerResources, size: ClaimSize) -> list[Claim]:
    with resources.catalog.transaction() as tx:
        return tx.claims.claim(
            store,
            most=size.files,
            most_bytes=size.bytes,
            token=new_lease_token(),
            now=resources.now(),
            lease_seconds=size.lease_seconds,
        )


def _read(claims: Sequence[Claim], resources: WorkerResources) -> tuple[list[Read], list[Settled]]:
    """Parse and chunk in children; a document that fails, fails alone."""
    read: list[Read] = []
    failed: list[Settled] = []
    with ExitStack() as stack:
        readings = []
        found = []
        for claim in claims:
            try:
                path = stack.enter_context(resources.storage.local(claim.blob))
            except RetrievalError as error:
                failed.append(Settled(claim, verdict(error, claim.attempt)))
                continue
            readings.append(Reading(path, claim.filename, _limits(claim)))
            found.append(claim)
        for claim, attempt in zip(found, resources.children.prepare_many(readings), strict=True):
            if attempt.prepared is not None:
                read.append(Read(claim, attempt.prepared))
            elif attempt.error is not None:
                failed.append(Settled(claim, verdict(attempt.error, claim.attempt)))
    return read, failed


def _limits(claim: Claim) -> ChunkLimits:
    if claim.chunking is None:
        return ChunkLimits()
    return ChunkLimits("static", claim.chunking.max_tokens, claim.chunking.overlap_tokens)


def _ingest(store: StoreId, read: Sequence[Read], resources: WorkerResources) -> None:
    if not read:
        return
    with resources.catalog.reading() as tx:
        model = tx.manifests.read(store).model
    rows = rows_of(read)
    texts = [chunk.text_to_embed for one in read for chunk in one.prepared.chunks]
    vectors = resources.embedder_of(model).embed(texts).vectors
    new = NewRows(rows, [chunk.text_to_index for one in read for chunk in one.prepared.chunks], vectors)
    segment = write_segment(resources.storage, new, store=store, segment=new_segment_id(), created_at=resources.now())
    publication = publish(store, read, segment, resources)
    if not publication.segment_live:
        resources.storage.delete(segment_name(store, segment.id))


def rows_of(read: Sequence[Read]) -> list[StoredChunk]:
    return [
        StoredChunk(
            document=one.claim.document,
            ordinal=chunk.ordinal,
            start=chunk.start,
            end=chunk.end,
            text=chunk.text,
            tokens=chunk.tokens,
            place=chunk.place,
            title=chunk.title,
            heading_path=chunk.heading_path,
            table_header=chunk.table_header,
        )
        for one in read
        for chunk in one.prepared.chunks
    ]


def publish(store: StoreId, read: Sequence[Read], segment: SegmentRow, resources: WorkerResources) -> Publication:
    """The commit point: segment and statuses, or neither."""
    vector_bytes = segment.width * np.dtype(np.float32).itemsize
    done = [
        Ingested(
            one.claim.file_id,
            one.claim.token,
            one.claim.document,
            len(one.prepared.chunks),
            sum(len(chunk.text.encode()) + vector_bytes for chunk in one.prepared.chunks),
        )
        for one in read
    ]
    with resources.catalog.transaction() as tx:
        return tx.publish(store, done, segment, resources.now())


def settle(store: StoreId, token: LeaseToken, settled: Sequence[Settled], resources: WorkerResources) -> None:
    """Write verdicts down: failures for good, the others to be claimed again when their time has come."""
    if not settled:
        return
    failures = [
        Failure(one.claim.file_id, one.verdict.code, one.verdict.message)
        for one in settled
        if isinstance(one.verdict, Fail)
    ]
    later: dict[int, list[FileId]] = {}
    for one in settled:
        if isinstance(one.verdict, Retry):
            later.setdefault(one.verdict.after_seconds, []).append(one.claim.file_id)
    with resources.catalog.transaction() as tx:
        now = resources.now()
        tx.claims.fail(store, token, failures, now=now)
        for seconds, files in later.items():
            tx.claims.retry_later(store, token, files, until=now + seconds)
