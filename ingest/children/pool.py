"""ChildPool: so many children at most, each reading one document at a time; a dead one costs one document.

Safe to share between threads. Not to be carried over a fork: make the pool in the process that uses it (a Celery
worker makes it after its children were forked); in another process every call is refused.
"""

import logging
import os
import stat
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import TracebackType

from ingest.children.endings import Ending, Way, judge
from ingest.children.errors import ChildGone
from ingest.children.messages import Answer, Fault, Request
from ingest.children.process import PROGRAM, Child, Cost
from ingest.chunking.chunk import ChunkLimits
from ingest.errors import (
    ChildDied,
    ChildrenBusy,
    DocumentError,
    DocumentTooLarge,
    IngestError,
    ParserFault,
    SourceUnreadable,
)
from ingest.parsing.limits import MEBIBYTE, Limits
from ingest.prepared import Prepared

log = logging.getLogger(__name__)

RECYCLE_AFTER_DOCUMENTS = 5_000  # starting a child costs as much as reading some 400 small documents
RECYCLE_ABOVE_BYTES = 512 * MEBIBYTE
NAME_CHARACTERS = 1024


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be read: a local file or its bytes, the name it was uploaded under, and how to chunk it."""

    content: Path | bytes
    name: str
    chunking: ChunkLimits = field(default_factory=ChunkLimits)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One document, read or not: exactly one of `prepared` and `error` is set."""

    prepared: Prepared | None
    error: IngestError | None
    cost: Cost

    def unwrap(self) -> Prepared:
        if self.error is not None:
            raise self.error
        assert self.prepared is not None
        return self.prepared


class _Seat:
    """A place for a child. Whoever holds the seat owns the child."""

    def __init__(self) -> None:
        self.child: Child | None = None


class ChildPool:
    def __init__(
        self,
        size: int,
        limits: Limits,
        *,
        patience_seconds: float = 3600,
        recycle_after_documents: int = RECYCLE_AFTER_DOCUMENTS,
        recycle_above_bytes: int = RECYCLE_ABOVE_BYTES,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        """Starts nothing yet. `patience_seconds` bounds the wait for a free child."""
        if size < 1:
            raise ValueError(f"a pool has at least one child, not {size}")
        self._size = size
        self._limits = limits
        self._patience_seconds = patience_seconds
        self._recycle_after_documents = recycle_after_documents
        self._recycle_above_bytes = recycle_above_bytes
        self._program = program
        self._pid = os.getpid()
        self._serials = count(1)
        self._stop = threading.Event()
        self._changed = threading.Condition()  # guards `_seats`
        self._seats = deque(_Seat() for _ in range(size))  # warm ones on the right
        # A child dies with the thread that started it (PR_SET_PDEATHSIG), so one thread that lives as long as
        # the pool starts them all.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="children-starter")

    def __enter__(self) -> "ChildPool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def size(self) -> int:
        return self._size

    def prepare(self, content: Path | bytes, name: str, chunking: ChunkLimits) -> Prepared:
        """Blocks until a child is free and has answered. Raises a leaf of IngestError."""
        return self.attempt(Reading(content, name, chunking)).unwrap()

    def prepare_many(self, readings: Iterable[Reading]) -> Iterator[Attempt]:
        """In the order given, as many at once as there are children; a document that fails, fails alone."""
        with ThreadPoolExecutor(self._size, thread_name_prefix="children-asker") as askers:
            pending: deque[Future[Attempt]] = deque()
            try:
                for reading in readings:
                    pending.append(askers.submit(self.attempt, reading))
                    if len(pending) > 2 * self._size:  # bounds what is finished and not yet taken
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def attempt(self, reading: Reading) -> Attempt:
        """Like `prepare`, with what it cost, and the error as a value."""
        begun = time.monotonic()
        try:
            with _opened(reading.content, self._limits) as file, self._seat() as seat:
                return self._read(seat, reading, file)
        except IngestError as error:
            return Attempt(None, error, Cost(time.monotonic() - begun))

    def close(self) -> None:
        """Stops what runs (it ends in ChildDied) and leaves no process behind. May be called again."""
        if self._pid != os.getpid():
            return
        self._stop.set()
        with self._changed:
            self._changed.notify_all()
            self._changed.wait_for(lambda: len(self._seats) == self._size)  # each asker looks up within a tick
            for seat in self._seats:
                self._vacate(seat)
        self._starter.shutdown()

    @contextmanager
    def _seat(self) -> Iterator[_Seat]:
        if self._pid != os.getpid():
            raise RuntimeError("this pool of children belongs to another process; make one after the fork")
        with self._changed:
            free = self._changed.wait_for(lambda: self._seats or self._stop.is_set(), self._patience_seconds)
            if self._stop.is_set():
                raise ChildDied("The service was stopped before it read this file.")
            if not free:
                raise ChildrenBusy(f"No process was free to read this file for {self._patience_seconds:,.0f} seconds.")
            seat = self._seats.pop()
        try:
            yield seat
        finally:
            with self._changed:
                if seat.child is None:
                    self._seats.appendleft(seat)
                else:
                    self._seats.append(seat)
                self._changed.notify_all()

    def _read(self, seat: _Seat, reading: Reading, file: int) -> Attempt:
        """At most twice: a verdict that an earlier document may have caused is confirmed in a new child."""
        attempt, confirm = self._read_once(seat, reading, file)
        if confirm and not self._stop.is_set():
            self._vacate(seat)
            attempt, _ = self._read_once(seat, reading, file)
        return attempt

    def _read_once(self, seat: _Seat, reading: Reading, file: int) -> tuple[Attempt, bool]:
        child = self._child(seat)
        new_child = child.documents == 0
        request = Request(next(self._serials), reading.name[-NAME_CHARACTERS:], reading.chunking)
        begun = time.monotonic()
        try:
            answer, cost = child.ask(request, file)
        except ChildGone as gone:
            seat.child = None
            ending = gone.ending
            log.warning("child_died", extra={"way": ending.way, "number": ending.number, "pid": child.pid})
            verdict = judge(ending, self._limits, new_child=new_child)
            cost = Cost(time.monotonic() - begun, ending.cpu_seconds, ending.peak_bytes)
            return Attempt(None, verdict.error, cost), verdict.confirm
        return self._answered(seat, child, answer, cost, new_child=new_child)

    def _answered(
        self, seat: _Seat, child: Child, answer: Answer, cost: Cost, *, new_child: bool
    ) -> tuple[Attempt, bool]:
        match answer:
            case Prepared():
                self._recycle(seat, child)
                return Attempt(answer, None, cost), False
            case DocumentError():
                self._recycle(seat, child)
                return Attempt(None, answer, cost), False
            case Fault(exception, where):
                self._vacate(seat)
                log.error("parser_fault", extra={"exception": exception, "where": where})
                error = ParserFault(f"Reading this file met a fault in Carrel ({exception} at {where}).")
                return Attempt(None, error, cost), False
            case None:
                self._vacate(seat)
                verdict = judge(Ending(Way.EXHAUSTED), self._limits, new_child=new_child)
                return Attempt(None, verdict.error, cost), verdict.confirm

    def _child(self, seat: _Seat) -> Child:
        """The seat's child, ready; a new one if it has none or its own died while nobody used it."""
        if seat.child is not None and not seat.child.alive:
            self._vacate(seat)
        if seat.child is None:
            try:
                seat.child = self._starter.submit(Child, self._program, self._limits, self._stop).result()
            except OSError as error:
                raise ChildDied(f"No process could be started to read this file: {error.strerror}.") from error
        try:
            seat.child.wait_until_ready()
        except ChildGone as gone:
            seat.child = None
            how = f"{gone.ending.way} {gone.ending.number}"
            raise ChildDied(f"The process that reads files did not start ({how}); the worker's log says why.") from gone
        return seat.child

    def _recycle(self, seat: _Seat, child: Child) -> None:
        if child.documents >= self._recycle_after_documents or child.resident_bytes > self._recycle_above_bytes:
            self._vacate(seat)

    def _vacate(self, seat: _Seat) -> None:
        child, seat.child = seat.child, None
        if child is not None:
            child.end()


@contextmanager
def _opened(content: Path | bytes, limits: Limits) -> Iterator[int]:
    """A descriptor of the document, to be handed to a child: it never learns where the file lies."""
    try:
        file = _memory_file(content) if isinstance(content, bytes) else os.open(content, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise SourceUnreadable(f"The stored bytes of this file cannot be read: {error.strerror}.") from error
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise SourceUnreadable("The stored bytes of this file cannot be read: this is no regular file.")
        if status.st_size > limits.source_bytes:
            raise DocumentTooLarge(
                f"This file has {status.st_size:,} bytes; at most {limits.source_bytes:,} are accepted."
            )
        yield file
    finally:
        os.close(file)


def _memory_file(content: bytes) -> int:
    if sys.platform == "linux":
        file = os.memfd_create("document", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(file, view) :]
    except BaseException:
        os.close(file)
        raise
    return file
