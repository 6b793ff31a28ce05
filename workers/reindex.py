"""Re-indexing: a second edition of a store is built beside the first, and swapped in when nothing is lacking in it.

Any number of workers take documents of the first edition by claims, as they take files. Where only the model changes,
chunks, texts and words are taken over from segments and only vectors are made anew; where chunking changes, or a
segment is damaged, files are read again by the ordinary pipeline. All of it may be killed anywhere: what was published
stays, what was claimed is claimed again. It works in a thread that yields to everything else on the machine, searches
first of all.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ingest.chunking.chunk import Chunk
from retrieval.catalog.reindex_rows import SwapOutcome
from retrieval.catalog.rows import Claim, Ingested, SegmentRow
from retrieval.errors import ObjectMissing, SegmentDamaged
from retrieval.ids import LeaseToken, SegmentId, StoreId, new_lease_token, new_segment_id
from retrieval.segments import layout
from retrieval.segments.folding import Anew, fold_segments
from retrieval.segments.layout import segment_name
from retrieval.segments.reader import Segment, open_all
from retrieval.segments.rows import Vectors
from workers.attempts import attempted
from workers.leases import LeaseKeeper
from workers.pipeline import MOST_MISBEHAVING, Task
from workers.resources import WorkerResources
from workers.settling import Settled, give_back, publish, settle
from workers.slates import Asked, EditionSlate
from workers.telling import Teller, timed
from workers.upkeep import Upkeep
from workers.verdicts import misbehaves, passes_by_itself, verdict_on, verdict_on_deaths

CALLS_A_UNIT: Final = 4  # embedding calls; a unit is what a death costs, and a segment of the new edition
MOST_UNIT_CHUNKS: Final = 8_192
MOST_DOCUMENTS: Final = 2_048
NICE: Final = 10  # of 19

Result = TypeVar("Result")

log = logging.getLogger(__name__)


def build(store: StoreId, resources: WorkerResources, upkeep: Upkeep) -> int:
    """Work on the store's second edition for as long as one task may; whether it is worth coming again at once."""
    with resources.catalog.reading() as tx:
        if store not in tx.reindexes.second_editions():
            return 0
    return yielding(lambda: _build(store, resources, upkeep))


def yielding(work: Callable[[], Result]) -> Result:
    """Do it in a thread that the system serves after all others. A thread's place cannot be taken back, so it ends."""
    ends: list[tuple[Result | None, Exception | None]] = []

    def run() -> None:
        with suppress(OSError, AttributeError):  # where a thread has no place of its own, it keeps its process's
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        ends.append(attempted(work))

    thread = threading.Thread(target=run, name="re-index")
    thread.start()
    thread.join()
    [(answer, error)] = ends
    if error is not None:
        raise error
    return cast("Result", answer)


def _build(store: StoreId, resources: WorkerResources, upkeep: Upkeep) -> int:
    unit = min(CALLS_A_UNIT * resources.claim_size.call_chunks, MOST_UNIT_CHUNKS)
    mine = replace(resources, slate=EditionSlate(unit))
    token, ends_at, done = new_lease_token(), time.monotonic() + resources.claim_size.shift_seconds, 0
    keeper = LeaseKeeper(mine.catalog, store, token, mine.claim_size.lease_seconds, mine.slate, stopping=mine.stopping)
    with keeper as lease:
        while time.monotonic() < ends_at and not mine.stopping():
            taken = _take(store, mine, token, lease)
            if not taken:
                break
            done += taken
    if mine.stopping():
        return 0
    return done or _conclude(store, mine, upkeep)


def _take(store: StoreId, resources: WorkerResources, token: LeaseToken, lease: LeaseKeeper) -> int:
    """One claim, from its start to its end; how many documents that were."""
    size = resources.claim_size
    asked = Asked(MOST_DOCUMENTS, size.bytes, token, size.lease_seconds)
    with resources.catalog.transaction() as tx:
        claims = resources.slate.claim(tx, store, asked, resources.now())
        wanted = {claim.segment_id for claim in claims}
        rows = [row for row in tx.manifests.segments(store) if row.id in wanted]
    if not claims:
        return 0
    lease.add(claim.file_id for claim in claims)
    if claims[0].copy_of is None:
        return Task(store, token, lease, resources, replace(size, fill=False)).work(claims)
    doomed = [Settled(claim, end) for claim in claims if (end := verdict_on_deaths(claim.deaths))]
    settle(store, token, doomed, resources)
    lost = {one.claim.file_id for one in doomed}
    copying = Copying(store, token, lease, resources)
    copying.work([claim for claim in claims if claim.file_id not in lost], rows)
    return len(claims)


def _conclude(store: StoreId, resources: WorkerResources, upkeep: Upkeep) -> int:
    """Nothing is left to claim: make the new edition as quick as the old one is, and swap."""
    now = resources.now()
    with resources.catalog.reading() as tx:
        edition = tx.reindexes.second_editions().get(store)
        ready = tx.reindexes.to_be_swapped(store, now) and not tx.edition_claims.any_waiting(store, now=now)
    if edition is None or not ready:
        return 0
    upkeep.tend_store(store, edition)
    with resources.catalog.transaction() as tx:
        outcome = tx.reindexes.swap(store, resources.now())
    if outcome in {SwapOutcome.SWAPPED, SwapOutcome.BLOCKED}:
        log.info("edition swapped" if outcome is SwapOutcome.SWAPPED else "swap blocked", extra={"store": store})
    if outcome is not SwapOutcome.BEHIND:
        return 0
    with resources.catalog.reading() as tx:  # what is put off, for a model that is away, is no reason to come at once
        return int(tx.edition_claims.any_waiting(store, now=resources.now()))


@dataclass(slots=True)
class Copy:
    """One document whose chunks are taken over: where they lie, and their new vectors."""

    claim: Claim
    segment: Segment
    start: int  # rows
    stop: int
    vectors: Vectors | None = None
    tokens: int = 0  # that the model had to read; of vectors known already none


class Copying:
    """The documents of one claim whose chunks stay as they are."""

    def __init__(self, store: StoreId, token: LeaseToken, lease: LeaseKeeper, resources: WorkerResources) -> None:
        self._store = store
        self._token = token
        self._lease = lease
        self._resources = resources
        self._tell = Teller(store, resources)

    def work(self, claims: Sequence[Claim], rows: Sequence[SegmentRow]) -> None:
        self._tell.claimed(claims)
        _, error = attempted(lambda: self._copy(claims, rows))
        if isinstance(error, SegmentDamaged | ObjectMissing):
            self._around(claims, rows, error)
        elif error is not None:
            self._put_off(claims, error)
        self._lease.settled(claim.file_id for claim in claims)

    def _around(self, claims: Sequence[Claim], rows: Sequence[SegmentRow], damage: Exception) -> None:
        """Documents of segments that are whole are copied; those of one that is not are read from their files."""
        by_segment: dict[SegmentId | None, list[Claim]] = {}
        for claim in claims:
            by_segment.setdefault(claim.segment_id, []).append(claim)
        if len(by_segment) > 1:
            for segment, some in by_segment.items():
                self.work(some, [row for row in rows if row.id == segment])
            return
        log.error("segment damaged", extra={"store": self._store, "why": str(damage), "documents": len(claims)})
        anew = [replace(claim, copy_of=None) for claim in claims]
        size = replace(self._resources.claim_size, fill=False)
        Task(self._store, self._token, self._lease, self._resources, size).work(anew)

    def _copy(self, claims: Sequence[Claim], rows: Sequence[SegmentRow]) -> None:
        with open_all(self._resources.storage, rows) as segments:
            copies = _copies(claims, segments)
            self._embed(copies)
            done = [one for one in copies if one.vectors is not None and self._lease.holds(one.claim.file_id)]
            if self._resources.stopping() and len(done) < len(copies):
                give_back(self._store, self._token, self._resources)
            self._publish(done, segments, [claim for claim in claims if claim.segment_id is None])

    def _embed(self, copies: Sequence[Copy]) -> None:
        """In full calls, each of whole documents; a document larger than a call makes one by itself."""
        most, call, chunks = self._resources.claim_size.call_chunks, list[Copy](), 0
        for one in copies:
            rows = one.stop - one.start
            if call and chunks + rows > most:
                self._call(call)
                call, chunks = [], 0
            if self._resources.stopping():
                return
            if self._lease.holds(one.claim.file_id):
                call.append(one)
                chunks += rows
        self._call(call)

    def _call(self, copies: Sequence[Copy]) -> Exception | None:
        """Raises what is no document's fault; returns what put the one document off that these are."""
        if not copies:
            return None
        texts = [text for one in copies for text in texts_of(one.segment, one.start, one.stop)]
        embedder = self._resources.embedder_of(copies[0].claim.model)
        with timed() as watch:
            embedded, error = attempted(lambda: embedder.embed(texts))
        if embedded is None:
            assert error is not None
            if passes_by_itself(error):
                raise error
            if len(copies) == 1:
                self._put_off([copies[0].claim], error)
                return error
            self._one_by_one(copies)
            return None
        self._tell.embedded([one.claim.file_id for one in copies], embedded, embedder.spec, watch)
        at = 0
        for one in copies:
            rows = one.stop - one.start
            one.vectors = embedded.vectors[at : at + rows]
            one.tokens = sum(embedded.new_tokens[at : at + rows])
            at += rows
        return None

    def _one_by_one(self, copies: Sequence[Copy]) -> None:
        """As in the pipeline: one text may be to blame, or else the embedder."""
        in_a_row = 0
        for one in copies:
            error = self._call([one])
            in_a_row = in_a_row + 1 if misbehaves(error) else 0
            if error is not None and in_a_row == MOST_MISBEHAVING:
                raise error

    def _publish(self, done: Sequence[Copy], segments: Sequence[Segment], empty: Sequence[Claim]) -> None:
        ingested = [Ingested(claim.file_id, claim.token, claim.document, 0, 0) for claim in empty]
        row, storage = None, self._resources.storage
        if done:
            row = self._fold(done, segments)
            ingested += [_ingested(one, row.width) for one in done]
        if not ingested:
            return
        publication = publish(self._store, ingested, row, self._resources)
        if row is not None and not publication.segment_live:
            storage.delete(segment_name(self._store, row.id))

    def _fold(self, done: Sequence[Copy], segments: Sequence[Segment]) -> SegmentRow:
        numbers = {one.claim.copy_of or 0: one.claim.document for one in done}
        kept = np.array(list(numbers), np.int64)
        vectors = np.ascontiguousarray(np.concatenate([one.vectors for one in done if one.vectors is not None]))
        row = fold_segments(
            self._resources.storage,
            segments,
            lambda there: np.isin(there, kept),
            store=self._store,
            segment=new_segment_id(),
            created_at=self._resources.now(),
            anew=Anew(numbers, vectors),
        )
        assert row is not None, "documents without rows were to be copied"
        return row

    def _put_off(self, claims: Sequence[Claim], error: Exception) -> None:
        if misbehaves(error):
            log.error("embedder misbehaves", extra={"store": self._store, "why": str(error)})
        elif not passes_by_itself(error):
            log.error("re-indexing failed", exc_info=error, extra={"store": self._store, "documents": len(claims)})
        settled = [Settled(claim, verdict_on(claim, error, self._resources.now())) for claim in claims]
        settle(self._store, self._token, settled, self._resources)


def _copies(claims: Sequence[Claim], segments: Sequence[Segment]) -> list[Copy]:
    """In the order in which a fold keeps their rows."""
    by_number = {claim.copy_of: claim for claim in claims}
    of_segment: dict[SegmentId | None, list[int]] = {}
    for claim in claims:
        of_segment.setdefault(claim.segment_id, []).append(claim.copy_of or 0)
    found = []
    for segment in segments:
        runs = segment.runs
        for run in np.flatnonzero(np.isin(runs.numbers, of_segment.get(segment.row.id, []))).tolist():
            start, stop = int(runs.starts[run]), int(runs.starts[run + 1])
            found.append(Copy(by_number[int(runs.numbers[run])], segment, start, stop))
    return found


def texts_of(segment: Segment, start: int, stop: int) -> list[str]:
    """What was embedded of rows [start, stop): their text with title, headings and table header in front."""
    offsets = segment.text_offsets()[start : stop + 1]
    raw = segment.text_bytes(int(offsets[0]), int(offsets[-1])).tobytes()
    edges: list[int] = (offsets - offsets[0]).tolist()
    rows: NDArray[np.uint32] = segment.rows(start, stop)
    places = list(map(tuple, rows[:, [layout.TITLE, layout.PATH, layout.TABLE_HEADER]].tolist()))
    before = {place: _before(segment, *place) for place in set(places)}
    return [
        before[place] + raw[first:last].decode()
        for place, first, last in zip(places, edges[:-1], edges[1:], strict=True)
    ]


def _before(segment: Segment, title: int, path: int, table_header: int) -> str:
    """What stands in front of a chunk's text where it is embedded."""
    chunk = Chunk(0, 0, 0, "", 0, None, segment.string(title), segment.path(path), segment.string(table_header))
    return f"{chunk.text_to_embed}\n" if chunk.text_to_embed else ""


def _ingested(one: Copy, width: int) -> Ingested:
    claim, rows = one.claim, one.stop - one.start
    offsets = one.segment.text_offsets()
    used = int(offsets[one.stop] - offsets[one.start]) + rows * width * np.dtype(np.float32).itemsize
    return Ingested(claim.file_id, claim.token, claim.document, rows, used, tokens_embedded=one.tokens)
