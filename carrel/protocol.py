"""One connection: how many bytes and seconds a request's head may take, and how long its body may stall.

uvicorn bounds neither for the parser in use. Whoever is refused here has no request yet, so there is no log line;
the answer is the API's envelope all the same. A refused client may still be sending: if the connection were closed
under it, the system would tell it of that and throw the answer away, so what it sends is read and dropped for a moment.
"""

import asyncio
from typing import Any, Final, Literal, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from retrieval.api.errors import INVALID_REQUEST, envelope

MOST_HEAD_BYTES: Final = 64 << 10
DROPPED_SECONDS: Final = 2.0  # how long, and how much of what a refused client goes on sending is read
DROPPED_BYTES: Final = 16 << 20


class HeadTooLarge(Exception):
    """Ends the parsing of a request whose head is too large."""


class GuardedProtocol(HttpToolsProtocol):
    head_seconds = 20.0
    stall_seconds = 60.0

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._phase: Literal["head", "body", "none", "refused"] = "head"
        self._head_bytes = 0  # received before the head was whole
        self._refusal: tuple[int, str] | None = None
        self._dropped_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        self._wait(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        before = self._phase
        if before == "refused":
            self._drop(data)
            return
        if before == "head":
            self._head_bytes += len(data)
        super().data_received(data)
        if self._phase == "refused":
            return
        if self.transport.is_closing() or self._phase == "none":
            self._stop_waiting()
        elif self._phase == "body":
            self._wait(self.stall_seconds)
        elif self._head_bytes > MOST_HEAD_BYTES:
            self._refusal = _TOO_LARGE
            self.send_400_response("")
        elif before != "head" or self._timer is None:  # the head's time is not prolonged by dribbling
            self._wait(self.head_seconds)

    def on_message_begin(self) -> None:
        self._phase, self._head_bytes = "head", 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MOST_HEAD_BYTES:
            self._refusal = _TOO_LARGE
            raise HeadTooLarge
        super().on_headers_complete()
        self._phase = "body"

    def on_message_complete(self) -> None:
        self._phase = "none"
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """What the parser refuses; said in the envelope of the API."""
        del msg  # uvicorn's words
        status, sentence = self._refusal or (400, "The request is not valid HTTP.")
        body = envelope(sentence, INVALID_REQUEST)
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self._phase = "refused"
        self._stop_waiting()
        under_way = cast("RequestResponseCycle | None", self.cycle)
        if under_way is not None and not under_way.response_complete:  # of a request before: nobody will hear of it
            under_way.disconnected = True
            under_way.message_event.set()
        self.transport.write_eof()
        self._timer = self.loop.call_later(DROPPED_SECONDS, self.transport.close)

    def _drop(self, data: bytes) -> None:
        self._dropped_bytes += len(data)
        if self._dropped_bytes > DROPPED_BYTES:
            self.transport.close()

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._late)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self._phase == "body":
            if self.flow.read_paused:  # it is we who do not read
                self._wait(self.stall_seconds)
                return
            self.transport.abort()
            return
        self._refusal = (408, "The request's head did not arrive in time.")
        self.send_400_response("")


_TOO_LARGE: Final = (431, f"The request's headers are too large: at most {MOST_HEAD_BYTES} bytes.")


def guarded(head_seconds: float, stall_seconds: float) -> type[GuardedProtocol]:
    """The protocol with these bounds; uvicorn makes one of the class for every connection."""
    return type("Guarded", (GuardedProtocol,), {"head_seconds": head_seconds, "stall_seconds": stall_seconds})
