"""Ledger: what projects and keys consume, gathered in memory and written to the catalog now and then.

A row per request would make every search a write. What a process has gathered since it wrote last is lost if it is
killed; while the catalog is away it is kept, and written when it answers again.
"""

import logging
import threading
from collections import Counter
from typing import Final

from retrieval.catalog.account_rows import UsageRow
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogError
from retrieval.ids import KeyId, ProjectId

WRITE_SECONDS: Final = 5.0
DAY_SECONDS: Final = 86_400
MOST_ENTRIES: Final = 100_000  # kept while the catalog is away; whoever comes after is not counted

log = logging.getLogger(__name__)

# Kinds of usage. What requests ask for:
REQUESTS: Final = "requests"
SEARCHES: Final = "searches"
SEARCH_TOKENS: Final = "search_tokens"
EMBEDDING_TOKENS: Final = "embedding_tokens"
UPLOADED_BYTES: Final = "uploaded_bytes"
# what workers do for it:
INGESTED_FILES: Final = "ingested_files"
INGESTED_BYTES: Final = "ingested_bytes"
INGESTED_CHUNKS: Final = "ingested_chunks"
INGEST_TOKENS: Final = "ingest_tokens"
INGEST_CALLS: Final = "ingest_calls"
FAILED: Final = "failed_"  # and the code
PUT_OFF: Final = "put_off_files"
READING: Final = "reading_milliseconds"
EMBEDDING: Final = "embedding_milliseconds"
PUBLISHING: Final = "publishing_milliseconds"
# and what both cost:
MICRODOLLARS: Final = "cost_microdollars"


class Ledger:
    """Safe for threads."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._gathered: Counter[tuple[ProjectId, KeyId | None, str]] = Counter()
        self._used: set[KeyId] = set()
        self._lock = threading.Lock()  # guards _gathered and _used

    def add(self, project: ProjectId, key: KeyId | None, kind: str, quantity: int = 1) -> None:
        if not quantity:
            return
        entry = (project, key, kind)
        with self._lock:
            if entry in self._gathered or len(self._gathered) < MOST_ENTRIES:
                self._gathered[entry] += quantity
            if key is not None:
                self._used.add(key)

    def write(self) -> None:
        """Never fails its caller."""
        with self._lock:
            gathered, self._gathered = self._gathered, Counter()
            used, self._used = self._used, set()
        if not gathered:
            return
        try:
            now = self._catalog.now()
            day = now // DAY_SECONDS
            rows = [UsageRow(project, key, day, kind, count) for (project, key, kind), count in gathered.items()]
            with self._catalog.transaction() as tx:
                tx.usage.add(rows)
                for key in sorted(used):
                    tx.keys.note_use(key, now)
        except CatalogError as error:
            log.warning("usage not written", extra={"why": type(error).__name__})
            with self._lock:
                self._gathered.update(gathered)
                self._used |= used


class Scribe:
    """Writes a ledger every few seconds, and at its end."""

    def __init__(self, ledger: Ledger, *, seconds: float = WRITE_SECONDS) -> None:
        self._ledger = ledger
        self._seconds = seconds
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write, name="ledger", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        self._ledger.write()

    def _write(self) -> None:
        while not self._ending.wait(self._seconds):
            self._ledger.write()
