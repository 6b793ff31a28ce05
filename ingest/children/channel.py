"""Frames over a socket between parent and child: a header in JSON, a body of raw bytes, at most one open file.

Neither side trusts a length it is told beyond what it said it would take, and nothing that arrives is ever run.
"""

import json
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ingest.children.errors import Garbled

PREFIX = struct.Struct("<4sIQ")  # magic, bytes of the header, bytes of the body
MAGIC = b"crl1"
MOST_HEADER_BYTES = 16 << 20
PIECE_BYTES = 1 << 20

Header = dict[str, object]
Buffer = bytes | bytearray | memoryview


class Tick(Protocol):
    def __call__(self, *, idle: bool) -> None:
        """`idle`: the wait for the next byte has just timed out."""


@dataclass(frozen=True, slots=True)
class Frame:
    header: Header
    body: memoryview
    file: int | None = None  # a descriptor that now belongs to the receiver


def _no_tick(*, idle: bool) -> None:  # noqa: ARG001 - a tick that never stops anybody
    return None


class Channel:
    """One end. A receiver with a time-out on its socket has `tick` called while it waits; that may raise."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, header: Header, body: Sequence[Buffer] = (), *, file: int | None = None) -> None:
        packed = pack_header(header)
        prefix = PREFIX.pack(MAGIC, len(packed), sum(memoryview(part).nbytes for part in body))
        if file is None:
            self._end.sendall(prefix)
        else:
            socket.send_fds(self._end, [prefix], [file])
        self._end.sendall(packed)
        for part in body:
            self._end.sendall(part)

    def receive(self, *, most_body_bytes: int, with_file: bool = False, tick: Tick = _no_tick) -> Frame | None:
        """The next frame; None when the other side has gone. Raises Garbled for anything that is no frame."""
        file: int | None = None
        if with_file:
            start, files, _, _ = socket.recv_fds(self._end, PREFIX.size, 1)
            file = files[0] if files else None
            prefix = bytearray(start)
        else:
            prefix = bytearray()
        prefix += self._exactly(PREFIX.size - len(prefix), tick) if len(prefix) < PREFIX.size else b""
        if len(prefix) < PREFIX.size:
            return None
        magic, header_bytes, body_bytes = PREFIX.unpack(prefix)
        if magic != MAGIC or header_bytes > MOST_HEADER_BYTES or body_bytes > most_body_bytes:
            raise Garbled(f"a frame of {header_bytes:,} + {body_bytes:,} bytes begins with {magic!r}")
        packed = self._exactly(header_bytes, tick)
        body = self._exactly(body_bytes, tick)
        if len(packed) < header_bytes or len(body) < body_bytes:
            return None
        return Frame(unpack_header(packed), memoryview(body), file)

    def close(self) -> None:
        self._end.close()

    def _exactly(self, count: int, tick: Tick) -> bytearray:
        """`count` bytes, fewer when the other side has gone."""
        received = bytearray()
        idle = False
        while len(received) < count:
            tick(idle=idle)  # before every piece: a sender that drips must not escape its deadline
            try:
                piece = self._end.recv(min(PIECE_BYTES, count - len(received)))
            except TimeoutError:
                idle = True
                continue
            except ConnectionResetError:
                break
            if not piece:
                break
            received += piece
            idle = False
        return received


def pack_header(header: Header) -> bytes:
    return json.dumps(header, separators=(",", ":")).encode("ascii")  # ASCII: a file name may hold lone surrogates


def unpack_header(packed: Buffer) -> Header:
    try:
        header = json.loads(bytes(packed))
    except (ValueError, RecursionError) as error:
        raise Garbled("the header is no JSON") from error
    if not isinstance(header, dict):
        raise Garbled("the header is no JSON object")
    return header
