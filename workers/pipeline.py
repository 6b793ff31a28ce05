"""The story of what waits in one store, from bytes to searchable. Knows no Celery.

Claim as many files as fill embedding calls; read them in children; embed; write one segment; publish it. Every
step may be cut off anywhere: until `publish` commits nothing of it can be found, and the lease hands the files to
the next worker.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ingest.chunking.chunk import Chunk
from ingest.embedding import Embedder
from retrieval.catalog.rows import Claim, Ingested
from retrieval.ids import LeaseToken, StoreId, new_lease_token, new_segment_id
from retrieval.segments.layout import segment_name
from retrieval.segments.rows import NewRows, StoredChunk, Vectors
from retrieval.segments.writer import write_segment
from workers.attempts import attempted
from workers.leases import LeaseKeeper
from workers.reading import Read, Reader
from workers.resources import ClaimSize, WorkerResources
from workers.reuse import KnownVectors
from workers.settling import Settled, give_back, publish, settle
from workers.slates import Asked
from workers.telling import Teller, timed
from workers.verdicts import Fail, misbehaves, passes_by_itself, verdict_on

MOST_FILES: Final = 2_048  # of one claim, however small the files
PARTS_OF_ONE: Final = 10  # of a document that fills several calls; who is killed in a call loses what is in it
MOST_MISBEHAVING: Final = 3  # files in a row to whose texts the embedder answers nonsense, before no more are tried

log = logging.getLogger(__name__)


@dataclass(slots=True)
class InHand:
    """One file between being read and being published."""

    claim: Claim
    chunks: Sequence[Chunk]
    known: KnownVectors = field(default_factory=dict)  # of the document that this one replaces
    vectors: list[Vectors] = field(default_factory=list)
    embedded: int = 0  # chunks
    texts_paid: int = 0
    tokens_paid: int = 0
    calls_paid: int = 0

    @property
    def complete(self) -> bool:
        return self.embedded == len(self.chunks)


def index_waiting(
    store: StoreId, resources: WorkerResources, size: ClaimSize | None = None, *, more: Callable[[], None] | None = None
) -> int:
    """Take what waits in a store, as much as one task may, to its end; how many files that were.

    `more` is called before the work begins if the first claim came back full, so that others can take the rest.
    """
    size, token = size or resources.claim_size, new_lease_token()
    keeper = LeaseKeeper(
        resources.catalog, store, token, size.lease_seconds, resources.slate, stopping=resources.stopping
    )
    with keeper as lease:
        task = Task(store, token, lease, resources, size)
        claims = task.claim(size.files)
        if claims and more is not None and task.full(claims):
            more()
        return task.work(claims) if claims else 0


class Task:
    """The files that one token holds, on their way. `_ahead`: being read; `_read`: not wholly embedded; `_done`: to be
    published."""

    def __init__(
        self, store: StoreId, token: LeaseToken, lease: LeaseKeeper, resources: WorkerResources, size: ClaimSize
    ) -> None:
        self._store = store
        self._token = token
        self._lease = lease
        self._resources = resources
        self._size = size
        self._asked = size.files
        self._taken = 0  # files
        self._read: deque[InHand] = deque()
        self._done: list[InHand] = []
        self._ahead: list[Claim] = []  # claimed, and not yet taken in
        self._edition: int | None = None  # of the first claim; what is embedded with another model is another task's
        self._model = ""
        self._tell = Teller(store, resources)
        self._ends_at = time.monotonic() + size.shift_seconds

    def claim(self, most: int) -> list[Claim]:
        size, self._asked = self._size, most
        asked = Asked(most, size.bytes, self._token, size.lease_seconds, size.largest_bytes, self._edition)
        with self._resources.catalog.transaction() as tx:
            claims = self._resources.slate.claim(tx, self._store, asked, self._resources.now())
        self._lease.add(claim.file_id for claim in claims)
        self._tell.claimed(claims)
        return claims

    def full(self, claims: Sequence[Claim]) -> bool:
        """Whether more may wait. A suspect comes alone whatever waits behind it."""
        taken = sum(claim.bytes for claim in claims)
        return len(claims) >= self._asked or taken >= self._size.bytes // 2 or claims[0].deaths > 0

    def work(self, claims: list[Claim]) -> int:
        _, error = attempted(lambda: self._see_through(claims))
        if error is not None:
            self._put_off([*self._done, *self._read, *(InHand(claim, ()) for claim in self._ahead)], error)
        if self._resources.stopping():
            give_back(self._store, self._token, self._resources)
        return self._taken

    def _see_through(self, claims: list[Claim]) -> None:
        """While one claim is embedded and published, the next one is read."""
        self._ahead, reading = claims, None
        with Reader(self._store, self._resources) as reader:
            while claims := self._ahead:
                self._taken += len(claims)
                self._take_in(claims, reading.result() if reading is not None else reader.read(claims))
                self._ahead, reading = [], None
                if self._goes_on(claims):
                    reading = self._claim_next(reader)
                self._embed(rest=reading is None)
                if reading is None:
                    self._publish()

    def _goes_on(self, claims: Sequence[Claim]) -> bool:
        if not self._size.fill or claims[0].deaths > 0 or self._resources.stopping():
            return False
        return self.full(claims) and time.monotonic() < self._ends_at

    def _next_size(self) -> int:
        """As many files as should fill the next call, judged by those so far."""
        chunks = sum(len(one.chunks) for one in [*self._done, *self._read]) or self._taken
        pending = sum(len(one.chunks) - one.embedded for one in self._read) % self._size.call_chunks
        files = len(self._done) + len(self._read) or self._taken
        wanted = (self._size.call_chunks - pending) * files // chunks + 1
        return int(min(max(wanted, self._size.files // 8, 1), MOST_FILES))

    # Bytes to chunks

    def _claim_next(self, reader: Reader) -> Future[Read] | None:
        """The next claim, being read from now on; None where there is none. A suspect waits until nothing else is in
        hand."""
        self._ahead = self.claim(self._next_size())
        if not self._ahead or self._ahead[0].deaths > 0:
            return None
        return reader.ahead(self._ahead)

    def _take_in(self, claims: Sequence[Claim], read: Read) -> None:
        self._edition, self._model = claims[0].edition, claims[0].model
        self._read += [InHand(claim, chunks, read.known.get(claim.file_id, {})) for claim, chunks in read.chunks]
        files = [claim.file_id for claim, _ in read.chunks]
        self._tell.read(files, sum(len(chunks) for _, chunks in read.chunks), read.watch)
        self._settle(read.failed)

    # Chunks to vectors

    def _embed(self, *, rest: bool) -> None:
        """In full calls; the last one, with `rest`, as it is. Publishes whenever a segment has come together."""
        while self._read and not self._resources.stopping():
            self._drop_lost()
            waiting = sum(len(one.chunks) - one.embedded for one in self._read)
            if not waiting or (waiting < self._size.call_chunks and not rest):
                return
            parts = self._next_call()
            self._embed_parts(self._resources.embedder_of(self._model), parts)
            self._sort_out()
            if sum(len(one.chunks) for one in self._done) >= self._size.segment_chunks:
                self._publish()

    def _drop_lost(self) -> None:
        """Cancelled, deleted or taken over meanwhile: not worth another step."""
        self._read = deque(one for one in self._read if self._lease.holds(one.claim.file_id))
        self._done = [one for one in self._done if self._lease.holds(one.claim.file_id)]

    def _next_call(self) -> list[tuple[InHand, int, int]]:
        room, parts = self._size.call_chunks, []
        for one in self._read:
            if room <= 0:
                break
            end = min(len(one.chunks), one.embedded + min(room, self._most_of(one)))
            parts.append((one, one.embedded, end))
            room -= end - one.embedded
        return parts

    def _most_of(self, one: InHand) -> int:
        call, chunks = self._size.call_chunks, len(one.chunks)
        return call if chunks <= call else max(1, call // 2, chunks // PARTS_OF_ONE)

    def _embed_parts(self, embedder: Embedder, parts: Sequence[tuple[InHand, int, int]]) -> Exception | None:
        """Raises what is no file's fault; returns what put the one file off whose parts these are."""
        owned = [(one, chunk.text_to_embed) for one, start, end in parts for chunk in one.chunks[start:end]]
        wanted = [at for at, (one, text) in enumerate(owned) if text not in one.known]
        texts = [owned[at][1] for at in wanted]
        with timed() as watch:
            made, error = attempted(lambda: embedder.embed(texts)) if texts else (None, None)
        if error is not None:
            if len(parts) == 1:
                self._put_off([parts[0][0]], error)
                return error
            if passes_by_itself(error):
                raise error
            self._one_by_one(embedder, parts)
            return None
        vectors = np.empty((len(owned), embedder.spec.width), np.float32)
        for at, (one, text) in enumerate(owned):
            if (known := one.known.get(text)) is not None:
                vectors[at] = known
        if made is not None:
            vectors[wanted] = made.vectors
            _charge([owned[at][0] for at in wanted], made.new_tokens)
            self._tell.embedded([one.claim.file_id for one, _, _ in parts], made, embedder.spec, watch)
        at = 0
        for one, start, end in parts:
            one.vectors.append(vectors[at : at + end - start])
            one.embedded, at = end, at + end - start
        return None

    def _one_by_one(self, embedder: Embedder, parts: Sequence[tuple[InHand, int, int]]) -> None:
        """One text may be to blame: each file answers for itself. If file after file fails, none of them is."""
        in_a_row = 0
        for part in parts:
            error = self._embed_parts(embedder, [part])
            in_a_row = in_a_row + 1 if misbehaves(error) else 0
            if error is not None and in_a_row == MOST_MISBEHAVING:
                raise error

    def _sort_out(self) -> None:
        self._done += [one for one in self._read if one.complete]
        self._read = deque(one for one in self._read if not one.complete)

    # Vectors to what can be found

    def _publish(self) -> None:
        self._drop_lost()
        if not self._done:
            return
        vectors = np.ascontiguousarray(np.concatenate([rows for one in self._done for rows in one.vectors]))
        words = [chunk.text_to_index for one in self._done for chunk in one.chunks]
        new = NewRows([row for one in self._done for row in rows_of(one)], words, vectors)
        storage, now = self._resources.storage, self._resources.now()
        with timed() as watch:
            segment = write_segment(storage, new, store=self._store, segment=new_segment_id(), created_at=now)
            done = [_ingested(one, segment.width) for one in self._done]
            publication = publish(self._store, done, segment, self._resources)
        self._tell.published(publication, segment, watch)
        if not publication.segment_live:
            storage.delete(segment_name(self._store, segment.id))
        self._lease.settled(one.claim.file_id for one in self._done)
        self._done = []

    def _put_off(self, files: Sequence[InHand], error: Exception) -> None:
        if misbehaves(error):
            log.error("embedder misbehaves", extra={"store": self._store, "model": self._model, "why": str(error)})
        elif not passes_by_itself(error):
            log.error("ingestion failed", exc_info=error, extra={"store": self._store, "files": len(files)})
        now = self._resources.now()
        self._settle([Settled(one.claim, verdict_on(one.claim, error, now)) for one in files])
        gone = {one.claim.file_id for one in files}
        self._read = deque(one for one in self._read if one.claim.file_id not in gone)
        self._done = [one for one in self._done if one.claim.file_id not in gone]

    def _settle(self, settled: Sequence[Settled]) -> None:
        settle(self._store, self._token, settled, self._resources)
        for one in settled:
            if isinstance(one.verdict, Fail):
                self._tell.failed(one.claim.file_id, one.verdict.code)
            else:
                self._tell.put_off([one.claim.file_id], one.verdict.after_seconds)
        self._lease.settled(one.claim.file_id for one in settled)


def _charge(owners: Sequence[InHand], new_tokens: Sequence[int]) -> None:
    """Note which files needed the model to read something; a call is charged to the first of them."""
    paying = [(one, tokens) for one, tokens in zip(owners, new_tokens, strict=True) if tokens]
    for one, tokens in paying:
        one.texts_paid += 1
        one.tokens_paid += tokens
    if paying:
        paying[0][0].calls_paid += 1


def rows_of(one: InHand) -> Iterator[StoredChunk]:
    for chunk in one.chunks:
        yield StoredChunk(
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


def _ingested(one: InHand, width: int) -> Ingested:
    vector_bytes = width * np.dtype(np.float32).itemsize
    used = sum(len(chunk.text.encode()) + vector_bytes for chunk in one.chunks)
    return Ingested(
        one.claim.file_id,
        one.claim.token,
        one.claim.document,
        len(one.chunks),
        used,
        one.texts_paid,
        one.tokens_paid,
        one.calls_paid,
    )
