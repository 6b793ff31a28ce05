"""Downloads: the whole of something that never changes, or the one range of it that the header `Range` asks for."""

import re
from collections.abc import Callable, Generator, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from retrieval.api.errors import error_answer

_ONE: Final = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\Z", re.ASCII)


def asked_range(header: str | None, size: int) -> tuple[int, int] | None:
    """(start, stop) to answer with; the whole for what is no single range (as a server may); None: not satisfiable."""
    match = _ONE.match((header or "").replace(" ", ""))
    if match is None:
        return 0, size
    first, last, tail = match.groups()
    if tail is not None:
        return None if int(tail) == 0 or size == 0 else (max(size - int(tail), 0), size)
    start = int(first)
    stop = min(int(last) + 1, size) if last else size
    if last and int(last) < start:
        return 0, size  # not a range at all, says the standard
    return None if start >= size else (start, stop)


class Pieces(StreamingResponse):
    """Closes what it reads from, also when the client goes away: the framework leaves that to chance."""

    def __init__(
        self, pieces: Generator[bytes, None, None], status: int, headers: Mapping[str, str], media_type: str
    ) -> None:
        super().__init__(pieces, status, headers, media_type=media_type)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._pieces.close()


def download(
    request: Request,
    size: int,
    etag: str,
    read: Callable[[int, int], Generator[bytes, None, None]],
    media_type: str = "application/octet-stream",
) -> Response:
    """The exact bytes, or the one range asked for; the whole if `If-Range` names another content."""
    etag = f'"{etag}"'
    headers = {"accept-ranges": "bytes", "etag": etag, "x-content-type-options": "nosniff"}
    same = request.headers.get("if-range", etag) == etag
    part = asked_range(request.headers.get("range") if same else None, size)
    if part is None:
        refused = error_answer(416, f"There are {size} bytes: the range asked for holds none of them.", param="Range")
        refused.headers.update({**headers, "content-range": f"bytes */{size}"})
        return refused
    start, stop = part
    headers["content-length"] = str(stop - start)
    whole = (start, stop) == (0, size)
    if not whole:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{size}"
    return Pieces(read(start, stop), 200 if whole else 206, headers, media_type)
