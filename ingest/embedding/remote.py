"""RemoteEngine: the model of an OpenAI-compatible upstream, asked in few large calls.

The upstream's limits are learned from its refusals: a refused call is halved until it is taken. What was answered is
handed on at once, so that a later failure costs only what failed.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from threading import Lock
from typing import NoReturn

import numpy as np

from ingest.embedding.answers import apportion
from ingest.embedding.backoff import Pauses, SharedBackoff
from ingest.embedding.batching import runs
from ingest.embedding.config import EmbedderConfig
from ingest.embedding.embedder import ModelSpec, Purpose, Vectors
from ingest.embedding.engine import Portion
from ingest.embedding.upstream import Refused, Upstream
from ingest.embedding.windows import WindowLimits, pool, split
from ingest.errors import EmbedderUnavailable, TextRefused

_log = logging.getLogger(__name__)

_DEFAULT_WINDOW_TOKENS = 8192
_FEWEST_TOKENS = 16  # a text this short is not refused for its length
_WORD = "ready"  # that any service takes which takes anything

# Stand-ins for tokens: four letters or digits, or any other single sign. Real tokenizers make fewer of European text.
_PIECE = re.compile(r"[A-Za-z0-9_]{1,4}|[^\sA-Za-z0-9_]")


@dataclass(frozen=True, slots=True)
class _Row:
    vector: Vectors
    tokens: int


class RemoteEngine:
    def __init__(self, config: EmbedderConfig, pauses: Pauses | None = None) -> None:
        width = config.dimensions or config.width
        if width is None:
            raise ValueError(f"the width of the embedding model {config.model} must be configured")
        window_tokens = config.window_tokens or _DEFAULT_WINDOW_TOKENS
        price = config.dollars_per_million_tokens
        self._spec = ModelSpec(config.model, width, window_tokens, price, shortens=config.shortens)
        prefix = max(_estimate(config.query_prefix), _estimate(config.document_prefix))
        self._windows = WindowLimits.of_model(max(_FEWEST_TOKENS, window_tokens - prefix - 2))
        self._identity = f"openai {config.base_url} {config.model} {width} {config.dimensions} {self._windows}"
        limits = config.limits
        self._patience: dict[Purpose, float] = {
            "query": limits.query_patience_seconds,
            "document": limits.patience_seconds,
        }
        self._learned = _Learned(inputs=limits.inputs_per_call, tokens=limits.tokens_per_call)
        backoff = SharedBackoff(
            longest_pause_seconds=limits.longest_pause_seconds,
            upstream=f"{config.base_url} {config.model}",
            pauses=pauses,
        )
        self._upstream = Upstream(config, width=width, backoff=backoff)
        self._callers = ThreadPoolExecutor(limits.calls_at_once, thread_name_prefix="embed")

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def identity(self) -> str:
        return self._identity

    def windows(self, text: str) -> list[str]:
        if len(text) * 4 <= self._windows.whole_tokens:  # no character is more than four bytes, no byte two tokens
            return [text]
        return split(text, [match.span() for match in _PIECE.finditer(text)], self._windows)

    def encode(self, texts: Sequence[str], purpose: Purpose) -> Iterator[Portion]:
        sizes = [_estimate(text) for text in texts]
        calls = self._learned.cut(sizes)
        if purpose == "query" or len(calls) == 1:  # in the caller's own thread: queues behind nobody's documents
            yield from (self._portion(texts, sizes, call, purpose) for call in calls)
            return
        futures = [self._callers.submit(self._portion, texts, sizes, call, purpose) for call in calls]
        yield from _as_they_come(futures)

    def close(self) -> None:
        self._upstream.close()
        self._callers.shutdown(wait=True, cancel_futures=True)

    def _portion(self, texts: Sequence[str], sizes: Sequence[int], call: range, purpose: Purpose) -> Portion:
        rows = self._rows([texts[index] for index in call], [sizes[index] for index in call], self._patience[purpose])
        return Portion(call, np.stack([row.vector for row in rows]), [row.tokens for row in rows])

    def _rows(self, texts: Sequence[str], sizes: Sequence[int], patience_seconds: float) -> list[_Row]:
        """One row for each text, in as many calls as the upstream makes necessary."""
        try:
            answer = self._upstream.call([text or " " for text in texts], patience_seconds=patience_seconds)
        except Refused as refusal:
            return self._rows_in_parts(texts, sizes, patience_seconds, refusal)
        tokens = apportion(sum(sizes) if answer.tokens is None else answer.tokens, sizes)
        return [_Row(vector, share) for vector, share in zip(answer.vectors, tokens, strict=True)]

    def _rows_in_parts(
        self, texts: Sequence[str], sizes: Sequence[int], patience_seconds: float, refusal: Refused
    ) -> list[_Row]:
        if len(texts) == 1:
            if sizes[0] <= _FEWEST_TOKENS or not refusal.counts_tokens:
                self._blame(refusal, patience_seconds)
            return [self._row_of_long_text(texts[0], sizes[0], patience_seconds)]
        half = (len(texts) + 1) // 2
        rows = list[_Row]()
        for part in self._learned.cut(sizes, most_inputs=half):
            some = [sizes[index] for index in part]
            rows += self._rows([texts[index] for index in part], some, patience_seconds)
        # Learned only now that every part was taken: a single bad text must not teach us to send texts one by one.
        self._learned.lower(inputs=half, tokens=sum(sizes) // 2, by_tokens=refusal.counts_tokens)
        return rows

    def _blame(self, refusal: Refused, patience_seconds: float) -> NoReturn:
        """A service that refuses everything is set up wrongly, and no text is to blame."""
        try:
            self._upstream.call([_WORD], patience_seconds=patience_seconds)
        except Refused as again:
            raise EmbedderUnavailable(f"{again}, whatever it was asked") from refusal
        raise TextRefused(str(refusal)) from refusal

    def _row_of_long_text(self, text: str, size: int, patience_seconds: float) -> _Row:
        """The upstream reads less at once than it was configured for: halve the text, never cut it off."""
        half = max(1, size // 2)
        _log.warning(
            "embedding service reads less at once than configured", extra={"model": self._spec.name, "tokens": size}
        )
        spans = [match.span() for match in _PIECE.finditer(text)]
        parts = split(text, spans, WindowLimits(half, half, calm_tokens=max(1, half // 4)))
        rows = [row for part in parts for row in self._rows([part], [_estimate(part)], patience_seconds)]
        tokens = [row.tokens for row in rows]
        return _Row(pool(np.stack([_unit(row.vector) for row in rows]), tokens), sum(tokens))


class _Learned:
    """What the upstream takes in one call, as far as we know."""

    def __init__(self, *, inputs: int, tokens: int) -> None:
        self._lock = Lock()  # guards both numbers
        self._inputs, self._tokens = inputs, tokens

    def cut(self, sizes: Sequence[int], *, most_inputs: int | None = None) -> list[range]:
        with self._lock:
            inputs, tokens = self._inputs, self._tokens
        return runs(sizes, most_size=tokens, most_items=max(1, min(inputs, most_inputs or inputs)))

    def lower(self, *, inputs: int, tokens: int, by_tokens: bool) -> None:
        with self._lock:
            if by_tokens:
                self._tokens = max(_FEWEST_TOKENS, min(self._tokens, tokens))
            else:
                self._inputs = max(1, min(self._inputs, inputs))


def _as_they_come(futures: Sequence[Future[Portion]]) -> Iterator[Portion]:
    """Every portion that succeeds, even beside one that fails; then the failure. What has not begun is not begun."""
    failure: Exception | None = None
    try:
        for future in as_completed(futures):
            if future.cancelled():
                continue
            error = future.exception()
            if error is None:
                yield future.result()
            elif failure is None and isinstance(error, Exception):
                failure = error
                for other in futures:
                    other.cancel()
    finally:
        for future in futures:
            future.cancel()
    if failure is not None:
        raise failure


def _estimate(text: str) -> int:
    return sum(1 for _ in _PIECE.finditer(text))


def _unit(vector: Vectors) -> Vectors:
    length = float(np.sqrt(vector.astype(np.float64) @ vector.astype(np.float64)))
    unit: Vectors = (vector / np.float32(length or 1.0)).astype(np.float32)
    return unit
