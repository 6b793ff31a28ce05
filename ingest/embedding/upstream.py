"""One call to an OpenAI-compatible `/embeddings`, tried until it is answered, refused for good, or out of patience.

Sentences and logs name the host and the status, never a key or a text.
"""

import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from ingest.embedding.answers import Answer, read_answer
from ingest.embedding.backoff import SharedBackoff
from ingest.embedding.config import EmbedderConfig, RemoteLimits
from ingest.errors import EmbedderMisbehaved, EmbedderUnavailable

_log = logging.getLogger(__name__)

_TRY_AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 507, 520, 522, 523, 524, 529}
_TOO_MUCH = {400, 413, 422}  # what upstreams say to more inputs or tokens than they take, and to bad requests
_JSON_BYTES_A_NUMBER = 32
_QUERY_CONNECTIONS = 32
_CONNECT_SECONDS = 10.0


class Refused(Exception):
    """The upstream will not take these inputs together, or not at all; fewer or shorter ones may do."""

    def __init__(self, host: str, status: int, *, counts_tokens: bool) -> None:
        super().__init__(f"the embedding service at {host} refused a request with HTTP {status}")
        self.counts_tokens = counts_tokens  # what it said was about tokens or length, not about the number of inputs


@dataclass(frozen=True, slots=True)
class _Later:
    reason: str
    asked_seconds: float | None = None


class Upstream:
    def __init__(self, config: EmbedderConfig, *, width: int, backoff: SharedBackoff) -> None:
        url = httpx.URL(config.base_url.rstrip("/") + "/embeddings")
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("the embedding service's base_url must begin with http:// or https:// and name a host")
        if not (config.api_key.isascii() and config.api_key.isprintable()):
            raise ValueError("the embedding service's api_key holds characters that no HTTP header may hold")
        headers = {"authorization": f"Bearer {config.api_key}"} if config.api_key else {}
        self._url, self._host = url, url.netloc.decode("ascii", "replace").rpartition("@")[2]
        self._model, self._dimensions, self._width = config.model, config.dimensions, width
        self._limits: RemoteLimits = config.limits
        self._backoff = backoff
        self._client = httpx.Client(
            headers={**headers, "content-type": "application/json", "accept": "application/json"},
            limits=httpx.Limits(max_connections=config.limits.calls_at_once + _QUERY_CONNECTIONS),
        )

    def call(self, inputs: Sequence[str], *, patience_seconds: float) -> Answer:
        """Raises EmbedderUnavailable within `patience_seconds` and one attempt, Refused, or EmbedderMisbehaved."""
        body = self._body(inputs)
        give_up_at = time.monotonic() + patience_seconds
        last = _Later("it turned other calls away")
        attempt = 0
        while (left := give_up_at - time.monotonic()) > 0 or attempt == 0:
            epoch = self._backoff.wait(give_up_at)
            if epoch is None:
                left = self._backoff.seconds_left()
                raise EmbedderUnavailable(
                    f"the embedding service at {self._host} is left alone for {left:.1f} s more: {last.reason}",
                    retry_after_seconds=left,
                )
            attempt += 1
            outcome = self._attempt(body, len(inputs), seconds=max(0.05, min(self._limits.call_seconds, left)))
            if isinstance(outcome, Answer):
                self._backoff.answered()
                return outcome
            last = outcome
            self._backoff.refused(epoch, outcome.asked_seconds)
            _log.info("embedding call to be repeated", extra={"reason": outcome.reason, "attempt": attempt})
        raise EmbedderUnavailable(
            f"the embedding service at {self._host} did not answer in {patience_seconds:g} s: {last.reason}",
            retry_after_seconds=last.asked_seconds,
        )

    def close(self) -> None:
        self._backoff.close()
        self._client.close()

    def _body(self, inputs: Sequence[str]) -> bytes:
        request: dict[str, object] = {"model": self._model, "input": list(inputs), "encoding_format": "base64"}
        if self._dimensions is not None:
            request["dimensions"] = self._dimensions
        return json.dumps(request, ensure_ascii=False).encode()

    def _attempt(self, body: bytes, inputs: int, *, seconds: float) -> Answer | _Later:
        most_bytes = (1 << 20) + inputs * self._width * _JSON_BYTES_A_NUMBER
        until = time.monotonic() + seconds
        timeout = httpx.Timeout(seconds, connect=min(seconds, _CONNECT_SECONDS))
        try:
            with self._client.stream("POST", self._url, content=body, timeout=timeout) as response:
                received = bytearray()
                for piece in response.iter_bytes():
                    received += piece
                    if len(received) > most_bytes:
                        raise EmbedderMisbehaved(
                            f"the embedding service at {self._host} answered more than {most_bytes} bytes"
                        )
                    if time.monotonic() > until:  # a trickle resets the client's own clock with every byte
                        return _Later(f"its answer took more than {seconds:.1f} s")
        except httpx.TransportError as error:
            return _Later(f"the connection failed ({type(error).__name__})")
        except httpx.DecodingError as error:
            raise EmbedderMisbehaved(f"the embedding service at {self._host} answered undecodable bytes") from error
        return self._judge(response, bytes(received), inputs)

    def _judge(self, response: httpx.Response, body: bytes, inputs: int) -> Answer | _Later:
        status = response.status_code
        if status == 200:
            return read_answer(body, inputs=inputs, width=self._width)
        said = body[:4096].decode("utf-8", "replace").lower()
        if status == 429 and "insufficient_quota" in said:
            raise EmbedderUnavailable(f"the embedding service at {self._host} says that its quota is used up")
        if status in _TRY_AGAIN:
            return _Later(f"HTTP {status}", _asked_seconds(response.headers))
        if status in _TOO_MUCH:
            raise Refused(self._host, status, counts_tokens="token" in said or "length" in said or "too long" in said)
        raise EmbedderUnavailable(f"the embedding service at {self._host} turned the request away with HTTP {status}")


def _asked_seconds(headers: httpx.Headers) -> float | None:
    """How long the upstream wants to be left alone: milliseconds, seconds or a date."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        said = headers.get(name, "")
        try:
            seconds = float(said) * unit
        except ValueError:
            continue
        if math.isfinite(seconds) and seconds >= 0:
            return seconds
    try:
        moment = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
