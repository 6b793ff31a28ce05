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
TOGETHER_BYTES = 1 << 16

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
    """One end. A receiver with a time-out on its socket has `tick` called while it waits; that may raise.

    A frame goes out in one piece where it is small, and as much as there is comes in at once: each call of the
    system costs as much as reading a paragraph.
    """

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._early = bytearray()  # came in with the frame before

    def send(self, header: Header, body: Sequence[Buffer] = (), *, file: int | None = None) -> None:
        packed, size = pack_header(header), size_of(body)
        head = PREFIX.pack(MAGIC, len(packed), size) + packed
        if file is not None:
            head = head[socket.send_fds(self._end, [head], [file]) :]
        if len(head) + size <= TOGETHER_BYTES:
            head, body = b"".join((head, *body)), ()
        if head:
            self._end.sendall(head)
        for part in body:
            self._end.sendall(part)

    def receive(self, *, most_body_bytes: int, with_file: bool = False, tick: Tick = _no_tick) -> Frame | None:
        """The next frame; None when the other side has gone. Raises Garbled for anything that is no frame."""
        file: int | None = None
        ahead = 0 if with_file else TOGETHER_BYTES  # a file is lost to a call that does not ask for it
        if with_file:  # such a call brings no more than one message that carries one
            early, files, _, _ = socket.recv_fds(self._end, TOGETHER_BYTES, 1)
            self._early += early
            file = files[0] if files else None
        prefix = self._exactly(PREFIX.size, ahead, tick)
        if len(prefix) < PREFIX.size:
            return None
        magic, header_bytes, body_bytes = PREFIX.unpack(prefix)
        if magic != MAGIC or header_bytes > MOST_HEADER_BYTES or body_bytes > most_body_bytes:
            raise Garbled(f"a frame of {header_bytes:,} + {body_bytes:,} bytes begins with {magic!r}")
        packed = self._exactly(header_bytes, ahead, tick)
        body = self._exactly(body_bytes, ahead, tick)
        if len(packed) < header_bytes or len(body) < body_bytes:
            return None
        return Frame(unpack_header(packed), memoryview(body), file)

    def close(self) -> None:
        self._end.close()

    def _exactly(self, count: int, ahead: int, tick: Tick) -> bytearray:
        """`count` bytes, fewer when the other side has gone. As many as `ahead` may be taken in at once."""
        received, self._early = self._early[:count], self._early[count:]
        idle = False
        while len(received) < count:
            tick(idle=idle)  # before every piece: a sender that drips must not escape its deadline
            missing = count - len(received)
            try:
                piece = self._end.recv(min(PIECE_BYTES, max(ahead, missing)))
            except TimeoutError:
                idle = True
                continue
            except ConnectionResetError:
                break
            if not piece:
                break
            received += piece[:missing]
            self._early += piece[missing:]
            idle = False
        return received


def size_of(body: Sequence[Buffer]) -> int:
    return sum(memoryview(part).nbytes for part in body)


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
