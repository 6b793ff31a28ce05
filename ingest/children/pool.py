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
from contextlib import ExitStack, contextmanager
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
RUN_DOCUMENTS = 24  # told to a child at once; requests with the longest of names still fit the socket's buffer
RUN_BYTES = 128 << 10
AHEAD_BYTES = 4 << 20  # of runs that are told or finished, and not yet taken
DOCUMENT_BYTES = 2 << 10  # that each document counts beside its own


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


@dataclass(frozen=True, slots=True)
class _Opened:
    """A document to be handed over."""

    reading: Reading
    file: int


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
            pending: deque[tuple[Future[list[Attempt]], int]] = deque()
            ahead = 0  # bytes of them
            try:
                for run, size in _runs(readings):
                    pending.append((askers.submit(self._attempt_all, run), size))
                    ahead += size
                    # Bounds what is finished and not yet taken, without letting all wait for one child that starts.
                    while len(pending) > 2 * self._size and ahead > AHEAD_BYTES:
                        first, of_first = pending.popleft()
                        ahead -= of_first
                        yield from first.result()
                while pending:
                    yield from pending.popleft()[0].result()
            finally:
                for future, _ in pending:
                    future.cancel()

    def attempt(self, reading: Reading) -> Attempt:
        """Like `prepare`, with what it cost, and the error as a value."""
        return self._attempt_all([reading])[0]

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

    def _attempt_all(self, run: Sequence[Reading]) -> list[Attempt]:
        """A few documents by one child, told of all at once: it need not wait for us between them."""
        begun, read = time.monotonic(), list[Attempt]()
        with ExitStack() as stack:
            opened = [_entered(stack, reading, self._limits) for reading in run]
            sound = [one for one in opened if isinstance(one, _Opened)]
            try:
                while len(read) < len(sound):
                    with self._seat() as seat:
                        read += self._read(seat, sound[len(read) :])
            except IngestError as error:  # no child is to be had
                read += [Attempt(None, error, Cost(time.monotonic() - begun)) for _ in sound[len(read) :]]
        answers = iter(read)
        return [next(answers) if isinstance(one, _Opened) else one for one in opened]

    def _read(self, seat: _Seat, run: Sequence[_Opened]) -> Iterator[Attempt]:
        """The first of them, and the next ones as long as the child lives: what it had not begun, another takes up.

        A document is read twice at most: a verdict that an earlier one may have caused is confirmed in a new child.
        """
        child = self._child(seat)
        new_child = child.documents == 0
        for one in run:
            self._send(child, one)
        for one in run:
            attempt, confirm = self._answer(seat, child, new_child=new_child)
            if confirm and not self._stop.is_set():
                self._vacate(seat)
                again = self._child(seat)
                self._send(again, one)
                attempt, _ = self._answer(seat, again, new_child=True)
            yield attempt
            new_child = False
            if seat.child is not child:
                return
        self._recycle(seat, child)

    def _send(self, child: Child, one: _Opened) -> None:
        child.send(Request(next(self._serials), one.reading.name[-NAME_CHARACTERS:], one.reading.chunking), one.file)

    def _answer(self, seat: _Seat, child: Child, *, new_child: bool) -> tuple[Attempt, bool]:
        begun = time.monotonic()
        try:
            answer, cost = child.answer()
        except ChildGone as gone:
            seat.child = None
            ending = gone.ending
            log.warning("child_died", extra={"way": ending.way, "number": ending.number, "pid": child.pid})
            verdict = judge(ending, self._limits, new_child=new_child)
            cost = Cost(time.monotonic() - begun, ending.cpu_seconds, ending.peak_bytes)
            return Attempt(None, verdict.error, cost), verdict.confirm
        return self._answered(seat, answer, cost, new_child=new_child)

    def _answered(self, seat: _Seat, answer: Answer, cost: Cost, *, new_child: bool) -> tuple[Attempt, bool]:
        match answer:
            case Prepared():
                return Attempt(answer, None, cost), False
            case DocumentError():
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


def _runs(readings: Iterable[Reading]) -> Iterator[tuple[list[Reading], int]]:
    """Small documents a few together, in order; larger ones alone, so that all children have something to do. With the
    bytes of each run."""
    run, total = list[Reading](), 0
    for reading in readings:
        size = _size(reading.content) + DOCUMENT_BYTES
        if run and (len(run) == RUN_DOCUMENTS or total + size > RUN_BYTES):
            yield run, total
            run, total = [], 0
        run.append(reading)
        total += size
    if run:
        yield run, total


def _size(content: Path | bytes) -> int:
    try:
        return len(content) if isinstance(content, bytes) else content.stat().st_size
    except OSError:
        return 0  # whoever opens it says what is wrong


def _entered(stack: ExitStack, reading: Reading, limits: Limits) -> _Opened | Attempt:
    try:
        return _Opened(reading, stack.enter_context(_opened(reading.content, limits)))
    except IngestError as error:
        return Attempt(None, error, Cost())


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
