"""Searches and small uploads by a shorter way: one thread is asked once, and the framework's work is left out.

It takes only what is plainly well formed, and calls the very functions of the ordinary routes. Whatever else comes
goes on to its route with its body unread, so that every refusal is worded in one place.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Message, Receive, Scope

from retrieval.api.dependencies import Service, caller_of, permit
from retrieval.api.multipart import WRITE_BYTES
from retrieval.api.routes import files, search
from retrieval.api.schemas.search import SearchRequest
from retrieval.api.threads import Threads
from retrieval.catalog.account_rows import Scope as KeyScope

SEARCHING: Final = 40  # searches under way at once: some may wait for a model elsewhere
UPLOADING: Final = 40  # small uploads: they wait for the disk, and must not keep searches waiting

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
    """Whoever comes here is admitted, and the body bounded. To be made, asked and closed in the loop's thread."""

    def __init__(self) -> None:
        self._searching = Threads(SEARCHING, "search")
        self._uploading = Threads(UPLOADING, "upload")

    async def answer(self, scope: Scope, receive: Receive, service: Service) -> tuple[Response | None, Receive]:
        """None where there is no shorter way, and what may then be received by the ordinary one."""
        way = _way(scope) if scope["method"] == "POST" else None
        if way is None:
            return None, receive
        messages, body = await _whole(receive)
        if messages[-1]["type"] == "http.request":
            scope["route"], scope["path_params"] = way.route, way.parameters
            threads = self._uploading if way.uploads else self._searching
            answer = await threads.answer(partial(way.act, body, Request(scope), service))
            if answer is not None:
                return answer, receive
        return None, _again(messages, receive)

    def close(self) -> None:
        self._searching.close()
        self._uploading.close()


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


def _search(body: bytes, request: Request, service: Service) -> Response | None:
    """None: the request is not plainly well formed."""
    permit(caller_of(request), KeyScope.READ, request.scope["path"])
    try:
        asked = SearchRequest.model_validate_json(body)
    except ValidationError:
        return None
    return search.answer_search(request.path_params["vector_store_id"], asked, request, service, traced=False)
