"""Readiness: whether a search and an ingestion could succeed now, part by part, asked at most once a second.

Each part is tried as those who need it would try it. Searches need the catalog and the embedder, ingestion all
parts. What is wrong is said in the error table's words: anybody may ask.
"""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ingest.embedding import EmbedderMisbehaved, EmbedderUnavailable, ModelMissing
from retrieval.catalog.transaction import Catalog
from retrieval.embedders import Embedders
from retrieval.errors import RetrievalError
from retrieval.jobs import Doorbell
from retrieval.storage.objects import Storage

LOOK_SECONDS: Final = 1.0
EMBEDDER_SECONDS: Final = 60.0  # between questions to an embedding service that answered the last one,
EMBEDDER_FAILED_SECONDS: Final = 5.0  # and to one that did not
SEARCHING: Final = ("catalog", "embedder")
PARTS: Final = ("catalog", "storage", "embedder", "broker", "workers")

AWAY: Final = (RetrievalError, EmbedderUnavailable, EmbedderMisbehaved, ModelMissing)


@dataclass(frozen=True, slots=True)
class Report:
    """By part, what is wrong with it; an empty text is nothing."""

    parts: Mapping[str, str]
    free_bytes: int | None

    def ready(self, *, searching: bool = False) -> bool:
        return not any(self.parts[part] for part in (SEARCHING if searching else PARTS))


class Readiness:
    """One per process. `why`: an exception -> a sentence that may be told to anybody."""

    def __init__(
        self,
        catalog: Catalog,
        storage: Storage,
        embedders: Embedders,
        doorbell: Doorbell,
        *,
        why: Callable[[Exception], str],
    ) -> None:
        self._catalog = catalog
        self._storage = storage
        self._embedders = embedders
        self._doorbell = doorbell
        self._why = why
        self._report: Report | None = None
        self._looked_at = float("-inf")
        self._embedder_wrong = ""
        self._embedder_due = float("-inf")
        self._lock = threading.Lock()  # guards all of the above, also while one looks for all

    def report(self) -> Report:
        with self._lock:
            if self._report is None or time.monotonic() - self._looked_at >= LOOK_SECONDS:
                self._report = self._look()
                self._looked_at = time.monotonic()
            return self._report

    def _look(self) -> Report:
        free: list[int | None] = [None]
        parts = {
            "catalog": self._tried(self._catalog.check),
            "storage": self._tried(lambda: free.append(self._storage.check().free_bytes)),
            "embedder": self._embedder(),
            "broker": "" if self._doorbell.reachable() else "The broker does not answer. Files wait, and are not lost.",
        }
        parts["workers"] = "It is not known while the catalog is away." if parts["catalog"] else self._workers()
        return Report(parts, free[-1])

    def _tried(self, act: Callable[[], object]) -> str:
        try:
            act()
        except AWAY as error:
            return self._why(error)
        return ""

    def _embedder(self) -> str:
        """A word is embedded for it now and then: an endpoint is not known to answer before it has."""
        if time.monotonic() >= self._embedder_due:
            word = f"ready {time.time() // EMBEDDER_SECONDS:.0f}"  # another one every minute: caches know the last
            self._embedder_wrong = self._tried(
                lambda: self._embedders.get(self._embedders.default).embed([word], purpose="query")
            )
            pause = EMBEDDER_FAILED_SECONDS if self._embedder_wrong else EMBEDDER_SECONDS
            self._embedder_due = time.monotonic() + pause
        return self._embedder_wrong

    def _workers(self) -> str:
        live = 0

        def count() -> None:
            nonlocal live
            with self._catalog.reading() as tx:
                live = tx.presence.live(self._catalog.now())

        return self._tried(count) or ("" if live else "No worker is alive. Files wait until one is.")
