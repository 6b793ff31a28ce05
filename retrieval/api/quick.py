"""Searches and small uploads by a shorter way: one thread is asked once, and the framework's work is left out.

It takes only what is plainly well formed, and calls the very functions of the ordinary routes. Whatever else comes
goes on to its route with its body unread, so that every refusal is worded in one place.
"""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.api.dependencies import Service, caller_of, permit
from retrieval.api.errors import FORESEEN, answer_of
from retrieval.api.multipart import WRITE_BYTES
from retrieval.api.routes import files, search
from retrieval.api.schemas.search import SearchRequest
from retrieval.catalog.account_rows import Scope as KeyScope

_SEARCHING: Final = re.compile(r"/v1/vector_stores/([A-Za-z0-9_-]+)/search")
_JSON: Final = (b"content-type", b"application/json")


@dataclass(frozen=True, slots=True)
class _Way:
    """The short way of one request."""

    route: BaseRoute  # by whose name it is logged
    parameters: dict[str, str]
    act: Callable[[bytes, Request, Service], Response | None]  # in a thread
    uploads: bool = False


class Quick:
    """Innermost of the middleware: whoever comes here is admitted, and the body bounded."""

    def __init__(
        self, app: ASGIApp, *, service_of: Callable[[Scope], Service], uploading: Callable[[], Executor]
    ) -> None:
        self._app = app
        self._service_of = service_of
        self._uploading = uploading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        way = _way(scope) if scope["type"] == "http" and scope["method"] == "POST" else None
        if way is None:
            await self._app(scope, receive, send)
            return
        messages, body = await _whole(receive)
        if messages[-1]["type"] == "http.request":
            scope["route"], scope["path_params"] = way.route, way.parameters
            # Executors of the loop's kind: half the processor time of the framework's pool for calls as short as these.
            threads = self._uploading() if way.uploads else None
            answer = await asyncio.get_running_loop().run_in_executor(
                threads, _answer, way, body, Request(scope), self._service_of(scope)
            )
            if answer is not None:
                await answer(scope, receive, send)
                return
        await self._app(scope, _again(messages, receive), send)


def _way(scope: Scope) -> _Way | None:
    path: str = scope["path"]
    if path == files.PATH:
        return _Way(files.ROUTE, {}, files.create_file_at_once, uploads=True) if _is_short(scope) else None
    match = _SEARCHING.fullmatch(path)
    if match is None or not _is_plain(scope):
        return None
    return _Way(search.ROUTE, {"vector_store_id": match[1]}, _search)


def _is_short(scope: Scope) -> bool:
    """A body that says how long it is, and may be held in memory."""
    said = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return said.isdigit() and int(said) <= WRITE_BYTES


def _is_plain(scope: Scope) -> bool:
    """JSON that says so, without options: those are the ordinary route's."""
    headers = scope["headers"]
    return not scope["query_string"] and _JSON in headers and all(name != b"x-carrel-trace" for name, _ in headers)


async def _whole(receive: Receive) -> tuple[list[Message], bytes]:
    """Every message of the body, or of as much of it as came, and the body."""
    messages = [await receive()]
    while messages[-1]["type"] == "http.request" and messages[-1].get("more_body", False):
        messages.append(await receive())
    return messages, b"".join(message.get("body", b"") for message in messages)


def _again(messages: list[Message], receive: Receive) -> Receive:
    """What was received, once more, and then what comes."""
    waiting = iter(messages)

    async def receive_again() -> Message:
        message = next(waiting, None)
        return await receive() if message is None else message

    return receive_again


def _answer(way: _Way, body: bytes, request: Request, service: Service) -> Response | None:
    try:
        return way.act(body, request, service)
    except FORESEEN as error:
        return answer_of(error)


def _search(body: bytes, request: Request, service: Service) -> Response | None:
    """None: the request is not plainly well formed."""
    permit(caller_of(request), KeyScope.READ, request.scope["path"])
    try:
        asked = SearchRequest.model_validate_json(body)
    except ValidationError:
        return None
    return search.answer_search(request.path_params["vector_store_id"], asked, request, service, traced=False)
