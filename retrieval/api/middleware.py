"""What happens to every request, whatever its route: an id, admission, a bound on its body, headers, one log line.

Plain ASGI, and one call for all of it, around the framework and its own middleware: most of a search's time over HTTP
was spent on the way from one layer to the next. Whatever is answered, and whoever answers, goes out through here.
"""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.api.dependencies import Service
from retrieval.api.errors import answer_of
from retrieval.api.limits import Standing, headers_of
from retrieval.errors import InvalidInput, RetrievalError, TooLarge
from retrieval.ledger import REQUESTS

log = logging.getLogger("carrel.requests")

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
LARGEST_JSON: Final = 32 << 20
LARGEST_FILE: Final = 512 << 20
LARGEST_PART: Final = 64 << 20
FORM_ROOM: Final = 1 << 20  # a form is larger than the file in it

Told = dict[bytes, bytes]  # a request's headers; of those that come twice, the first
# A shorter way: its answer, or None and the body once more for the ordinary one.
Shorter = Callable[[Scope, Receive, Service], Awaitable[tuple[Response | None, Receive]]]


class Front:
    """Numbers and times a request, lets it in or refuses it, and writes one line about it when it is over."""

    def __init__(self, app: ASGIApp, *, service_of: Callable[[], Service], shorter: Shorter) -> None:
        self._app = app
        self._service_of = service_of
        self._shorter = shorter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        service, told = self._service_of(), dict(reversed(scope["headers"]))
        state = scope.setdefault("state", {})
        state |= {"request_id": f"req_{secrets.token_hex(16)}", "facts": {}, "standing": {}}
        status = 499  # the client went away before an answer

        async def observing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_headers(state, time.perf_counter() - started)]
            await send(message)

        try:
            answer, receive = await self._answer(scope, told, receive, service)
            if answer is None:
                await self._app(scope, receive, observing)
            else:
                await answer(scope, receive, observing)
        finally:
            _tell(scope, told, status, time.perf_counter() - started, service)

    async def _answer(
        self, scope: Scope, told: Told, receive: Receive, service: Service
    ) -> tuple[Response | None, Receive]:
        """A refusal before anything of the body is read, or the answer of a shorter way; None: the ordinary one."""
        try:
            if scope["path"] not in OPEN_PATHS:
                await _admit(scope, told, service)
            receive = _bounded(scope["path"], told, receive)
            return await self._shorter(scope, receive, service)
        except RetrievalError as error:
            return answer_of(error), receive


async def _admit(scope: Scope, told: Told, service: Service) -> None:
    """Raise for callers without a good key, and for those who ask for too much."""
    authorization, project = _text(told, b"authorization"), _text(told, b"openai-project")
    state = scope["state"]

    def admit() -> Standing:
        caller = service.gate.admit(authorization, project=project)
        state["caller"] = caller  # also of one who is refused: the log says who it was
        return service.limiter.admit(caller, scope["method"], scope["path"])

    known = service.gate.recall(authorization, project=project)
    if known is not None and service.limiter.is_prompt(known):  # by far the most: no thread is asked
        state["caller"] = known
        state["standing"] = service.limiter.admit(known, scope["method"], scope["path"])
    else:
        state["standing"] = await run_in_threadpool(admit)


def _bounded(path: str, told: Told, receive: Receive) -> Receive:
    """Refuses a body that says it is too long at once, one that turns out to be when it does."""
    coding = told.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if coding not in {"", "identity"}:
        raise InvalidInput(f"The request body is coded ('Content-Encoding: {coding[:40]}'): send it as it is.")
    most = _most_bytes(path)
    said = told.get(b"content-length", b"0")
    if not said.isdigit():
        raise InvalidInput("The header 'Content-Length' must be a whole number.")
    if int(said) > most:
        raise _too_large(most)
    received = 0

    async def counting() -> Message:
        nonlocal received
        message = await receive()
        if message["type"] == "http.request":
            received += len(message.get("body", b""))
            if received > most:
                raise _too_large(most)
        return message

    return counting


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The request body is too large: at most {most} bytes.")


def _most_bytes(path: str) -> int:
    if path == "/v1/files":
        return LARGEST_FILE + FORM_ROOM
    if path.startswith("/v1/uploads/") and path.endswith("/parts"):
        return LARGEST_PART + FORM_ROOM
    return LARGEST_JSON


def _headers(state: dict[str, Any], seconds: float) -> list[tuple[bytes, bytes]]:
    """Of every answer."""
    headers = {
        "x-request-id": state["request_id"],
        "openai-processing-ms": str(round(1000 * seconds)),
        "openai-version": "2020-10-01",
        "x-request-cost": _dollars(state["facts"].get("cost_usd", 0)),
        **headers_of(state["standing"]),
    }
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


def _tell(scope: Scope, told: Told, status: int, seconds: float, service: Service) -> None:
    """Of a request that is over, to whoever counts and to the log."""
    state, route = scope["state"], getattr(scope.get("route"), "path", "")
    caller = state.get("caller")
    key = caller.key.id if caller and caller.key else None
    service.metrics.request(route, scope["method"], status, seconds)
    if caller is not None:
        service.ledger.add(caller.project, key, REQUESTS)
    log.info(
        "request",
        extra={
            "request_id": state["request_id"],
            "method": scope["method"],
            "route": route,
            "status": status,
            "latency_ms": round(1000 * seconds, 3),
            "project": caller.project if caller else None,
            "key": key,
            # What clients tell of themselves.
            "client": _text(told, b"user-agent", most=100),
            "retry": _text(told, b"x-stainless-retry-count", most=10),
            **{key: value for key, value in scope.get("path_params", {}).items() if isinstance(value, str)},
            **state["facts"],
        },
    )


def _text(told: Told, name: bytes, *, most: int | None = None) -> str | None:
    value = told.get(name)
    return value.decode("latin-1")[:most] if value else None


def _dollars(cost: float) -> str:
    """Never in scientific notation, which few readers of headers expect."""
    return f"{cost:.12f}".rstrip("0").rstrip(".") if cost else "0"
