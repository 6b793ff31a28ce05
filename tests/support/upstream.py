"""An OpenAI-compatible `/embeddings` on this machine that answers well, or as badly as a test tells it to."""

import base64
import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it arrived."""

    inputs: tuple[str, ...]
    body: dict[str, object]
    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Reply:
    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    reset: bool = False  # close the connection without a word
    stall: threading.Event | None = None  # say nothing until it is set
    trickle: threading.Event | None = None  # send a byte now and then until it is set


Script = Callable[[Asked], Reply | None]  # None: answer well


class FakeUpstream:
    def __init__(self, *, width: int = 8) -> None:
        self.width = width
        self.asked: list[Asked] = []
        self.next: deque[Reply] = deque()  # answers to the next requests, whoever makes them
        self.script: Script = lambda asked: None
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()  # guards the counters, `asked` and `next`
        self._server = _QuietServer(("127.0.0.1", 0), _handler_of(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> "FakeUpstream":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=10)

    def vector(self, text: str) -> NDArray[np.float32]:
        seed = int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big")
        row = np.random.default_rng(seed).normal(size=self.width)
        unit: NDArray[np.float32] = (row / np.linalg.norm(row)).astype(np.float32)
        return unit

    def good_reply(self, inputs: Sequence[str], *, as_floats: bool = False) -> Reply:
        items = []
        for index, text in enumerate(inputs):
            row = self.vector(text)
            embedding = row.tolist() if as_floats else base64.b64encode(row.astype("<f4").tobytes()).decode()
            items.append({"object": "embedding", "index": index, "embedding": embedding})
        tokens = sum(len(text.split()) for text in inputs)
        answer = {"object": "list", "data": items, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
        return Reply(body=json.dumps(answer).encode())

    def reply_to(self, asked: Asked) -> Reply:
        with self._lock:
            self.asked.append(asked)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            scripted = self.next.popleft() if self.next else None
        return scripted or self.script(asked) or self.good_reply(asked.inputs)

    def answered(self) -> None:
        with self._lock:
            self._at_once -= 1


def refusal(status: int, message: str, **headers: str) -> Reply:
    body = json.dumps({"error": {"message": message, "type": "invalid_request_error"}}).encode()
    return Reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class _QuietServer(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are part of the tests; what the tests expect, they check themselves."""


def _handler_of(upstream: FakeUpstream) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(tuple(body["input"]), body, {**headers, ":path": self.path})
            try:
                self._send(upstream.reply_to(asked))
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
            finally:
                upstream.answered()

        def _send(self, reply: Reply) -> None:
            if reply.reset:
                self.close_connection = True
                return
            if reply.stall:
                reply.stall.wait(30)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(reply.body)))
            self.end_headers()
            if reply.trickle:
                for at in range(len(reply.body)):
                    self.wfile.write(reply.body[at : at + 1])
                    self.wfile.flush()
                    if reply.trickle.wait(0.05):
                        break
                self.close_connection = True
                return
            self.wfile.write(reply.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's own name
            """Tests read what was asked; nobody reads this log."""

    return Handler
