"""The child's side: take a request, read one document, answer; until the parent hangs up.

Nothing is decided here. What a parser refuses is said in its own words; what nobody foresaw is named and ends the
child, for its state is then unknown. Standard input is the socket to the parent; there is no other way in or out.
"""

import contextlib
import errno
import gc
import mmap
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

from ingest.children.channel import Buffer, Channel, Header, size_of
from ingest.children.confinement import allow_cpu, confine
from ingest.children.messages import Kind, Request, pack_prepared, pack_vitals, unpack_request
from ingest.children.vitals import OwnVitals
from ingest.chunking.chunk import ChunkLimits
from ingest.errors import DocumentError, HostileDocument
from ingest.parsing.limits import Limits, Source
from ingest.prepared import Prepared

SMALL_BYTES = 1 << 16  # of a file
LARGE_BYTES = 1 << 20  # of an answer

Prepare = Callable[[Source, str, Limits, ChunkLimits], Prepared]
Answered = tuple[Header, Sequence[Buffer]]


def run(limits: Limits, prepare_document: Prepare) -> None:
    """From the first import done to the parent's last request."""
    channel = Channel(socket.socket(fileno=0))
    confine(limits)
    channel.send({"kind": Kind.READY, "serial": 0})
    _fall_silent()  # a C library that complains would fill the worker's log, in the document's words
    serve(channel, limits, prepare_document)


def serve(channel: Channel, limits: Limits, prepare_document: Prepare) -> None:
    """Until the parent closes its end, or memory runs out: a heap that was full once is not to be trusted."""
    vitals = OwnVitals()
    while (frame := channel.receive(most_body_bytes=0, with_file=True)) is not None:
        request = unpack_request(frame.header)
        sys.excepthook = LastWords(channel, request.serial)
        allow_cpu(limits.cpu_seconds)
        header, body = answer(request, frame.file, limits, prepare_document)
        with contextlib.suppress(MemoryError):
            header = header | pack_vitals(vitals.read())
        channel.send(header, body)
        if header["kind"] == Kind.EXHAUSTED:
            return
        if size_of(body) > LARGE_BYTES:
            del body
            gc.collect()  # what a long one left in cycles must not stand in the way of the next


def answer(request: Request, file: int | None, limits: Limits, prepare_document: Prepare) -> Answered:
    exhausted: Answered = ({"kind": Kind.EXHAUSTED, "serial": request.serial}, ())  # made while there is memory
    try:
        with opened(file) as source:
            prepared = prepare_document(source, request.name, limits, request.chunking)
            return pack_prepared(prepared, request.serial)
    except DocumentError as error:
        return exhausted if _for_want_of_memory(error) else _refused(error, request)
    except RecursionError:
        return _refused(HostileDocument("This file is nested deeper than any reader can follow."), request)
    except MemoryError:
        return exhausted
    except OSError as error:
        if error.errno == errno.ENOMEM:
            return exhausted
        raise


def _for_want_of_memory(error: BaseException | None) -> bool:
    """A parser that met MemoryError and said so in its own words still leaves a heap that was full."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:  # an error may be raised from itself
        if isinstance(error, MemoryError):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def opened(file: int | None) -> Iterator[Source]:
    """The file mapped: its pages can be dropped and read again, where a copy would count twice. A small one is read."""
    if file is None:
        yield b""
        return
    try:
        size = os.fstat(file).st_size
        if size <= SMALL_BYTES:
            yield os.pread(file, size, 0)
            return
        mapped = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
        try:
            yield mapped
        finally:
            with contextlib.suppress(BufferError):  # a parser kept a view; the mapping goes when that does
                mapped.close()
    finally:
        os.close(file)


def _refused(error: DocumentError, request: Request) -> Answered:
    header: Header = {"kind": Kind.REFUSED, "serial": request.serial}
    return header | {"error": type(error).__name__, "sentence": str(error)}, ()


class LastWords:
    """What becomes of an exception that nobody foresaw: its class and its place are told, its text is not."""

    def __init__(self, channel: Channel, serial: int) -> None:
        self._channel = channel
        self._serial = serial

    def __call__(self, kind: type[BaseException], _error: BaseException, trace: TracebackType | None) -> None:
        where = ""
        while trace is not None:
            path = Path(trace.tb_frame.f_code.co_filename)
            if "ingest" in path.parts or not where:
                where = f"{path.parent.name}/{path.name}:{trace.tb_lineno}"
            trace = trace.tb_next
        self._channel.send({"kind": Kind.FAULT, "serial": self._serial, "exception": kind.__name__, "where": where})


def _fall_silent() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
