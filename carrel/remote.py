"""A running server, spoken to by its URL and key: the only door of the command line to the API.

Paths without a leading slash lie below `/v1`. Whatever goes wrong is a `ServerError` with a sentence for a person and
the exit code that follows. A server that says "not now" (503, 429), or is gone after it has answered, is asked again
while `patience_seconds` last; one that has never answered is given up after a few seconds.
"""

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, TypeVar, cast
from urllib.parse import quote

import httpx

from carrel.exits import Exit, of_status
from carrel.failing import ServerError

Json = dict[str, Any]
Piece = TypeVar("Piece", bytes, str)
Moved = Callable[[int], None]  # told of every piece of bytes that has gone up or come down

PAGE: Final = 100
_TRY_AGAIN: Final = frozenset({429, 503})
_LONGEST_PAUSE_SECONDS: Final = 15.0
_FIRST_PATIENCE_SECONDS: Final = 3.0  # with a server that may not be there at all
_PIECE_BYTES: Final = 256 << 10


@dataclass(frozen=True, slots=True)
class Event:
    """One server-sent event."""

    name: str
    data: Json


class Remote:
    """Safe to share between threads. `asked_as`: what stands before `url` and `key` in the options that name it."""

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        key_from: str = "--key",
        asked_as: str = "",
        patience_seconds: float = 0.0,
        timeout_seconds: float = 120.0,
        connections: int = 16,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url.rstrip("/").removesuffix("/v1")
        self._key_from = key_from if key else ""
        self._asked_as = asked_as
        self._patience_seconds = patience_seconds
        self._met = False  # whether this server has answered at all
        self._closed = threading.Event()  # wakes whoever waits to ask again
        try:
            parsed = httpx.URL(self.url)
            local = parsed.host in {"127.0.0.1", "localhost", "::1"}
            self._client = httpx.Client(
                base_url=self.url,
                headers={**(headers or {}), **({"authorization": f"Bearer {key}"} if key else {})},
                timeout=httpx.Timeout(timeout_seconds, connect=10),
                limits=httpx.Limits(max_connections=connections),
                trust_env=not local,  # a proxy for the world is none for this machine
                # Reading whom to trust takes 45 ms, more than most commands do; where nothing is encrypted, in vain.
                verify=not (local and parsed.scheme == "http"),
            )
        except (httpx.InvalidURL, UnicodeError) as error:
            raise ServerError(f"{url!r} is no URL of a server: {error}", exit_code=Exit.USAGE) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._client.close()

    def check(self) -> None:
        """Raises at once if nobody answers or the key does not open: patience is for what has begun."""
        self._understood(self._once(lambda: self._client.get("/v1/models")))

    def clock(self) -> float:
        """What time the server says it is."""
        answer = self._once(lambda: self._client.get("/healthz"))
        try:
            return parsedate_to_datetime(answer.headers["date"]).timestamp()
        except (KeyError, ValueError) as error:
            raise ServerError(f"{self.url} does not say what time it is.", exit_code=Exit.NOT_CARREL) from error

    def readiness(self) -> Json:
        """How each part is, whether or not all are well."""
        answer = self._once(lambda: self._client.get("/readyz"))
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or "parts" not in found:
            raise self._error_of(answer)
        return found

    def get(self, path: str, **parameters: object) -> Json:
        return self._asked("GET", path, parameters)

    def post(
        self, path: str, body: Mapping[str, object] | None = None, *, once: str = "", **parameters: object
    ) -> Json:
        """Done once, however often it is sent before an answer comes; with `once`, also by calls after this one."""
        headers = {"idempotency-key": once or secrets.token_hex(16)}
        return self._asked("POST", path, parameters, json=dict(body or {}), headers=headers)

    def delete(self, path: str, **parameters: object) -> Json:
        return self._asked("DELETE", path, parameters)

    def pages(self, path: str, *, most: int | None = None, **parameters: object) -> Iterator[Json]:
        """The items of a list, page after page; `most` of them."""
        after, left = None, most
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page = self.get(path, **parameters, limit=size, after=after)
            yield from page["data"]
            after = page.get("last_id") or page.get("next_page")
            if not page.get("has_more") or after is None:
                return
            left = None if left is None else left - len(page["data"])

    def upload(
        self,
        path: str,
        file: BinaryIO,
        name: str,
        fields: Mapping[str, str],
        *,
        field: str = "file",
        moved: Moved | None = None,
    ) -> Json:
        """A form with one file, streamed; read anew from its beginning if it has to be sent again."""

        def send() -> httpx.Response:
            file.seek(0)
            source = cast("BinaryIO", _Counted(file, moved)) if moved else file
            return self._client.post(_below(path), data=dict(fields), files={field: (name, source)})

        return self._understood(self._patiently(send))

    def upload_raw(self, path: str, pieces: Callable[[], Iterator[bytes]], **parameters: object) -> Json:
        """Bytes as they are, streamed; `pieces` begins anew each time it is called."""
        headers = {"content-type": "application/octet-stream"}

        def send() -> httpx.Response:
            return self._client.post(_below(path), params=_given(parameters), content=pieces(), headers=headers)

        return self._understood(self._patiently(send))

    @contextmanager
    def download(self, path: str, *, start: int = 0, **parameters: object) -> Iterator[Iterator[bytes]]:
        """The bytes from `start` on."""
        with self._streamed(path, parameters, {"range": f"bytes={start}-"} if start else {}) as answer:
            yield self._heard(answer.iter_bytes(_PIECE_BYTES))

    @contextmanager
    def events(self, path: str, **parameters: object) -> Iterator[Iterator[Event]]:
        with self._streamed(path, parameters, {"accept": "text/event-stream"}) as answer:
            yield _events(self._heard(answer.iter_lines()))

    @contextmanager
    def _streamed(
        self, path: str, parameters: Mapping[str, object], headers: Mapping[str, str]
    ) -> Iterator[httpx.Response]:
        try:
            request = self._client.build_request("GET", _below(path), params=_given(parameters), headers=dict(headers))
            answer = self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        self._met = True
        try:
            if answer.is_error:
                answer.read()
                raise self._error_of(answer)
            yield answer
        finally:
            answer.close()

    def _heard(self, pieces: Iterator[Piece]) -> Iterator[Piece]:
        try:
            yield from pieces
        except httpx.HTTPError as error:
            raise self._silent(error) from error

    def _asked(self, method: str, path: str, parameters: Mapping[str, object], **content: Any) -> Json:
        def send() -> httpx.Response:
            return self._client.request(method, _below(path), params=_given(parameters), **content)

        return self._understood(self._patiently(send))

    def _once(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        try:
            answer = send()
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        self._met = True
        return answer

    def _patiently(self, send: Callable[[], httpx.Response]) -> httpx.Response:
        begun, pause = time.monotonic(), 0.25
        while True:
            failure: Exception | None = None
            answer: httpx.Response | None = None
            try:
                answer = send()
                self._met = True
            except httpx.TransportError as error:
                failure = error
            except httpx.HTTPError as error:
                raise self._silent(error) from error
            if answer is not None and answer.status_code not in _TRY_AGAIN:
                return answer
            wait = min(max(pause, _asked_pause(answer)), _LONGEST_PAUSE_SECONDS)
            patience = self._patience_seconds if self._met else min(self._patience_seconds, _FIRST_PATIENCE_SECONDS)
            if time.monotonic() + wait > begun + patience:
                if answer is not None:
                    return answer
                assert failure is not None
                raise self._silent(failure) from failure
            if self._closed.wait(wait):
                raise ServerError("Interrupted.", exit_code=Exit.INTERRUPTED)
            pause *= 2

    def _understood(self, answer: httpx.Response) -> Json:
        if answer.is_error:
            raise self._error_of(answer)
        try:
            found = answer.json()
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ServerError(
                f"{self.url} answered, but not as Carrel does. Is the URL right?", exit_code=Exit.NOT_CARREL
            )
        return found

    def _error_of(self, answer: httpx.Response) -> ServerError:
        status = answer.status_code
        try:
            error = answer.json()["error"]
            message, code, param = str(error["message"]), error.get("code"), error.get("param")
        except (ValueError, KeyError, TypeError, AttributeError):
            return ServerError(
                f"{self.url} answered {status} {answer.reason_phrase}, but not as Carrel does. Is the URL right?",
                exit_code=Exit.NOT_CARREL if status < 500 else of_status(status),
                status=status,
            )
        if status == 401:
            message = f"{message} {self._about_the_key()}"
        return ServerError(message, exit_code=of_status(status), code=code, status=status, param=param)

    def _about_the_key(self) -> str:
        if not self._key_from:
            variable = "SOURCE_API_KEY" if self._asked_as else "OPENAI_API_KEY"
            return f"No key was found: give one with --{self._asked_as}key or {variable}."
        return f"The key was taken from {self._key_from}; give another with --{self._asked_as}key."

    def _silent(self, error: Exception) -> ServerError:
        """Nothing came back, or not all of it."""
        if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL):
            return ServerError(
                f"{self.url!r} is no URL of a server: it begins with http:// or https://.", exit_code=Exit.USAGE
            )
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            advice = "Say" if self._asked_as else "Start the server with `carrel serve`, or say"
            return ServerError(
                f"Nothing answers at {self.url}. {advice} where it is with --{self._asked_as}url.",
                exit_code=Exit.UNAVAILABLE,
                code="no_connection",
            )
        if isinstance(error, httpx.TimeoutException):
            return ServerError(f"{self.url} takes too long to answer.", exit_code=Exit.UNAVAILABLE, code="timeout")
        return ServerError(
            f"The connection to {self.url} broke: {str(error) or type(error).__name__}.",
            exit_code=Exit.UNAVAILABLE,
            code="connection_broken",
        )


class _Counted:
    """A file that tells how much of it has been read."""

    def __init__(self, file: BinaryIO, moved: Moved) -> None:
        self._file, self._moved = file, moved

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        self._moved(len(piece))
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

    def __iter__(self) -> Iterator[bytes]:
        while piece := self.read(_PIECE_BYTES):
            yield piece


def _below(path: str) -> str:
    """What people call things stands in it: an id of `..` must not lead to what is above, nor a `?` end the path."""
    if any(part in {"", ".", ".."} for part in path.removeprefix("/").split("/")):
        raise ServerError(f"There is nothing at {path!r}: one of its ids is none.", exit_code=Exit.NOT_FOUND)
    quoted = quote(path, safe="/")
    return quoted if path.startswith("/") else f"/v1/{quoted}"


def _given(parameters: Mapping[str, object]) -> dict[str, str]:
    """What was given, as a query has it; None is nothing."""
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in parameters.items()
        if value is not None
    }


def _asked_pause(answer: httpx.Response | None) -> float:
    try:
        return float(answer.headers.get("retry-after", "0")) if answer is not None else 0.0
    except ValueError:
        return 0.0


def _events(lines: Iterator[str]) -> Iterator[Event]:
    name, data = "message", ""
    for line in lines:
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            data += line.removeprefix("data:").strip()
        elif not line and data:
            yield Event(name, json.loads(data))
            name, data = "message", ""
