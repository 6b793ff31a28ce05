"""Exception -> answer: the one place with HTTP codes for failures, and the contract's error envelope.

A caller's mistake is 4xx, never 409, 422 or 5xx: the SDKs retry those. What passes by itself is 503 with
`retry-after`. The last row catches what nobody foresaw; its message tells nothing of the inside.
"""

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ingest.embedding import EmbedderMisbehaved, EmbedderUnavailable, ModelMissing
from retrieval.api.validation import describe
from retrieval.errors import (
    CallerError,
    CatalogError,
    CatalogTooNew,
    IndexDamaged,
    InvalidInput,
    LeaseLost,
    NotAllowedNow,
    NotAuthenticated,
    NotFound,
    NotPermitted,
    ObjectExists,
    ObjectMissing,
    QuotaExceeded,
    RetrievalError,
    SegmentDamaged,
    StorageFull,
    StorageQuotaReached,
    StorageUnavailable,
    TooLarge,
)

log = logging.getLogger(__name__)

INVALID_REQUEST: Final = "invalid_request_error"
SERVER_ERROR: Final = "server_error"


@dataclass(frozen=True, slots=True)
class Row:
    status: int
    type: str
    message: str | None = None  # None: the exception's own sentence
    retry_after_seconds: int | None = None
    again: bool = True  # False: told not to try again, although the status alone would say so


TABLE: Final[Mapping[type[Exception], Row]] = {
    NotFound: Row(404, INVALID_REQUEST),
    InvalidInput: Row(400, INVALID_REQUEST),
    NotAllowedNow: Row(400, INVALID_REQUEST),
    TooLarge: Row(413, INVALID_REQUEST),
    NotAuthenticated: Row(401, INVALID_REQUEST),
    NotPermitted: Row(403, INVALID_REQUEST),
    QuotaExceeded: Row(429, "rate_limit_error"),
    StorageQuotaReached: Row(429, "insufficient_quota", again=False),
    CallerError: Row(400, INVALID_REQUEST),
    StorageFull: Row(503, SERVER_ERROR, "The server's storage is full. What is stored can be searched.", 30),
    StorageUnavailable: Row(503, SERVER_ERROR, "The server's storage does not answer. Try again.", 5),
    ObjectMissing: Row(500, SERVER_ERROR, "Stored bytes are missing. Tell the operator; see the server's log."),
    ObjectExists: Row(500, SERVER_ERROR, "The server stumbled over itself. Try again."),
    SegmentDamaged: Row(
        500, SERVER_ERROR, "This vector store's data is damaged. Tell the operator: it must be rebuilt."
    ),
    IndexDamaged: Row(503, SERVER_ERROR, "An index is being rebuilt. Try again.", 5),
    CatalogTooNew: Row(503, SERVER_ERROR, "The server's database belongs to a later release.", 60),
    LeaseLost: Row(500, SERVER_ERROR, "The server stumbled over itself. Try again."),
    CatalogError: Row(503, SERVER_ERROR, "The server's database does not answer. Try again.", 2),
    RetrievalError: Row(500, SERVER_ERROR, "The server failed. Tell the operator; see the server's log."),
    EmbedderUnavailable: Row(503, SERVER_ERROR, "The embedding model does not answer. Try again.", 5),
    EmbedderMisbehaved: Row(503, SERVER_ERROR, "The embedding model gave no usable answer. Try again.", 5),
    ModelMissing: Row(503, SERVER_ERROR, None, 60),
}
# Why a body could not be read: what Python's reader of JSON raised, the narrowest first.
_UNREADABLE: Final[Mapping[type[Exception], str]] = {
    UnicodeDecodeError: "The request body is not valid JSON: it is not UTF-8.",
    RecursionError: "The request body's arrays or objects are nested too deeply.",
    ValueError: "The request body has a number of too many digits.",
}
UNFORESEEN: Final = Row(500, SERVER_ERROR, "The server failed. Tell the operator; see the server's log.")


def envelope(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> bytes:
    error = {"message": message, "type": kind, "param": param, "code": code}
    return json.dumps({"error": error}, ensure_ascii=False).encode("utf-8", "replace")


def error_answer(
    status: int,
    message: str,
    kind: str = INVALID_REQUEST,
    *,
    param: str | None = None,
    code: str | None = None,
    retry_after_seconds: float | None = None,
) -> Response:
    headers = {}
    if retry_after_seconds is not None:
        headers = {
            "retry-after": str(max(1, ceil(retry_after_seconds))),
            "retry-after-ms": str(max(1, ceil(retry_after_seconds * 1000))),
        }
    if status == 401:
        headers["www-authenticate"] = "Bearer"
    body = envelope(message, kind, param=param, code=code)
    return Response(body, status, headers, media_type="application/json")


def sentence_of(error: Exception) -> str:
    """What anybody may be told of an error."""
    row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), UNFORESEEN)
    return row.message or str(error)


def answer_of(error: Exception) -> Response:
    row = next((TABLE[kind] for kind in type(error).__mro__ if kind in TABLE), None)
    if row is None or row.status >= 500:
        log.error("request failed", exc_info=error)
    row = row or UNFORESEEN
    wait = row.retry_after_seconds
    asked = getattr(error, "retry_after_seconds", None)
    if isinstance(asked, int | float):
        wait = max(1, ceil(asked))
    answer = error_answer(
        row.status,
        row.message or str(error),
        row.type,
        param=error.param if isinstance(error, CallerError) else None,
        code=error.code if isinstance(error, CallerError) else None,
        retry_after_seconds=asked if isinstance(error, QuotaExceeded) else wait,
    )
    if isinstance(error, QuotaExceeded):
        answer.headers.update(error.headers)
    if not row.again:
        answer.headers["x-should-retry"] = "false"
    return answer


def answered(act: Callable[[], Response | None]) -> Response | None:
    """What `act` answers, or what its failure is answered with, where no framework stands around it."""
    try:
        return act()
    except Exception as error:  # noqa: BLE001 - the framework does the same for ordinary routes
        return answer_of(error)


def http_answer(error: HTTPException, method: str, path: str, allowed: Sequence[str]) -> Response:
    """What the framework itself refuses: unknown routes, wrong methods, bodies that it cannot read.

    `allowed`: the methods that the path has; the framework names those of one of its routes.
    """
    if error.status_code == 404:
        return error_answer(404, f"Unknown request URL: {method} {path}. Please check the URL for typos.")
    if error.status_code == 405:
        instead = f" Use {' or '.join(allowed)}." if allowed else ""
        answer = error_answer(405, f"Not allowed to {method} on {path}.{instead}", code="method_not_supported")
        answer.headers["allow"] = ", ".join(allowed)
        return answer
    status = 400 if error.status_code in {409, 422} else error.status_code
    why = next((why for kind, why in _UNREADABLE.items() if isinstance(error.__cause__, kind)), None)
    if why is not None:
        return error_answer(status, why)
    return error_answer(status, str(error.detail), INVALID_REQUEST if status < 500 else SERVER_ERROR)


def install(app: FastAPI, routers: Sequence[APIRouter]) -> None:
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]

    def methods_of(path: str) -> list[str]:
        return sorted({method for route in routes if route.path_regex.match(path) for method in route.methods or ()})

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> Response:
        body = getattr(request.scope.get("route"), "body_field", None)
        problem = describe(_details(error), body.field_info.annotation if body else None, error.body)
        return error_answer(400, problem.message, param=problem.param, code=problem.code)

    @app.exception_handler(HTTPException)
    def _refused(request: Request, error: HTTPException) -> Response:
        path = request.url.path
        return http_answer(error, request.method, path, methods_of(path) if error.status_code == 405 else ())

    for kind in TABLE:

        @app.exception_handler(kind)
        def _foreseen(_: Request, error: Exception) -> Response:
            return answer_of(error)

    @app.exception_handler(Exception)
    def _unforeseen(_: Request, error: Exception) -> Response:
        return answer_of(error)


def _details(error: RequestValidationError) -> Sequence[Mapping[str, object]]:
    return error.errors()
