"""What happens to every request, whatever its route: an id, admission, a bound on its body, headers, one log line.

Plain ASGI, outermost first: `Observed` numbers and times, `Admitted` lets in or refuses before any body is read,
`Bounded` ends a body that is longer than its route may take.
"""

import logging
import secrets
import time
from collections.abc import Callable, Mapping
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.api.dependencies import Service
from retrieval.api.errors import answer_of, error_answer
from retrieval.api.limits import Standing, headers_of
from retrieval.errors import RetrievalError, TooLarge

log = logging.getLogger("carrel.requests")

OPEN_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
LARGEST_JSON: Final = 32 << 20
LARGEST_FILE: Final = 512 << 20
LARGEST_PART: Final = 64 << 20
FORM_ROOM: Final = 1 << 20  # a form is larger than the file in it

ServiceOf = Callable[[Scope], Service]


class Observed:
    """Gives each request an id and its time, and writes one line about it when it is over."""

    def __init__(self, app: ASGIApp, *, seen: Callable[[Scope, int, float], None] | None = None) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        request_id = f"req_{secrets.token_hex(16)}"
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["facts"] = {}
        state["standing"] = {}
        status = 0

        async def observing(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                headers["openai-processing-ms"] = str(round(1000 * (time.perf_counter() - started)))
                headers["openai-version"] = "2020-10-01"
                headers.setdefault("x-request-cost", _dollars(state["facts"].get("cost_usd", 0)))
                if state["standing"]:
                    headers.update(headers_of(state["standing"]))
            await send(message)

        try:
            await self._app(scope, receive, observing)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "")
            if self._seen is not None:
                self._seen(scope, status or 499, seconds)
            caller = state.get("caller")
            log.info(
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "route": route,
                    "status": status or 499,  # the client went away before an answer
                    "latency_ms": round(1000 * seconds, 3),
                    "project": caller.project if caller else None,
                    "key": caller.key.id if caller and caller.key else None,
                    **_told(Headers(scope=scope)),
                    **{key: value for key, value in scope.get("path_params", {}).items() if isinstance(value, str)},
                    **state["facts"],
                },
            )


class Admitted:
    """Refuses callers without a good key, and those who ask for too much, before anything of the body is read."""

    def __init__(self, app: ASGIApp, *, service_of: ServiceOf) -> None:
        self._app = app
        self._service_of = service_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        authorization, project = headers.get("authorization"), headers.get("openai-project")
        service, state = self._service_of(scope), scope.setdefault("state", {})

        def admit() -> Standing:
            caller = service.gate.admit(authorization, project=project)
            state["caller"] = caller  # also of one who is refused: the log says who it was
            return service.limiter.admit(caller, scope["method"], scope["path"])

        try:
            known = service.gate.recall(authorization, project=project)
            if known is not None and service.limiter.is_prompt(known):  # by far the most: no thread is asked
                state["caller"] = known
                state["standing"] = service.limiter.admit(known, scope["method"], scope["path"])
            else:
                state["standing"] = await run_in_threadpool(admit)
        except RetrievalError as error:
            await answer_of(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)


class Bounded:
    """Answers 413 to a body that says it is too long at once, to one that turns out to be when it does."""

    def __init__(self, app: ASGIApp, *, limits: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._limits = limits or {"/v1/files": LARGEST_FILE + FORM_ROOM}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._most(scope["path"])
        said = Headers(scope=scope).get("content-length", "0")
        if not said.isdecimal():
            await error_answer(400, "The header 'Content-Length' must be a whole number.")(scope, receive, send)
            return
        if int(said) > most:
            await error_answer(413, f"The request body is too large: at most {most} bytes.")(scope, receive, send)
            return
        received = 0

        async def counting() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > most:
                    raise TooLarge(f"The request body is too large: at most {most} bytes.")
            return message

        await self._app(scope, counting, send)

    def _most(self, path: str) -> int:
        if path.startswith("/v1/uploads/") and path.endswith("/parts"):
            return LARGEST_PART + FORM_ROOM
        return self._limits.get(path, LARGEST_JSON)


def _told(headers: Headers) -> dict[str, str]:
    """What clients tell of themselves."""
    told = {"client": headers.get("user-agent", "")[:100], "retry": headers.get("x-stainless-retry-count", "")[:10]}
    return {name: value for name, value in told.items() if value}


def _dollars(cost: float) -> str:
    """Never in scientific notation, which few readers of headers expect."""
    return f"{cost:.12f}".rstrip("0").rstrip(".")
