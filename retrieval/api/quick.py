"""Searches by a shorter way: one thread is asked once, and the framework's work around a route is left out.

It takes only what is plainly well formed, and calls the very function of the ordinary route. Whatever else comes goes
on to that route with its body unread, so that every refusal is worded in one place.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from retrieval.api.dependencies import Service, caller_of, permit
from retrieval.api.errors import FORESEEN, answer_of
from retrieval.api.routes.search import ROUTE, answer_search
from retrieval.api.schemas.search import SearchRequest
from retrieval.catalog.account_rows import Scope as KeyScope

_PATH: Final = re.compile(r"/v1/vector_stores/([A-Za-z0-9_-]+)/search")
_JSON: Final = (b"content-type", b"application/json")


class Quick:
    """Innermost of the middleware: whoever comes here is admitted, and the body bounded."""

    def __init__(self, app: ASGIApp, *, service_of: Callable[[Scope], Service]) -> None:
        self._app = app
        self._service_of = service_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = _PATH.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if match is None or scope["method"] != "POST" or not _plain(scope):
            await self._app(scope, receive, send)
            return
        messages, body = await _whole(receive)
        if messages[-1]["type"] == "http.request":
            scope["route"] = ROUTE
            scope["path_params"] = {"vector_store_id": match.group(1)}
            # The loop's own executor: half the processor time of the framework's pool for a call as short as this.
            answer = await asyncio.get_running_loop().run_in_executor(
                None, _answer, self._service_of(scope), Request(scope), match.group(1), body
            )
            if answer is not None:
                await answer(scope, receive, send)
                return
        await self._app(scope, _again(messages, receive), send)


def _plain(scope: Scope) -> bool:
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


def _answer(service: Service, request: Request, store: str, body: bytes) -> Response | None:
    """None: the request is not plainly well formed."""
    try:
        permit(caller_of(request), KeyScope.READ, request.scope["path"])
        return answer_search(store, SearchRequest.model_validate_json(body), request, service, traced=False)
    except ValidationError:
        return None
    except FORESEEN as error:
        return answer_of(error)
