"""What one process heard an embedding service say, told to all others through the catalog and its clock.

A catalog that is away is no reason to ask nobody: each process then goes by what it hears itself.
"""

import logging
from collections.abc import Callable
from math import ceil
from typing import TypeVar

from ingest.embedding import Pause
from retrieval.catalog.pauses import PauseRow
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogError

Result = TypeVar("Result")

log = logging.getLogger(__name__)


class CatalogPauses:
    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def current(self, upstream: str) -> Pause | None:
        def read() -> Pause:
            with self._catalog.reading() as tx:
                row = tx.pauses.get(upstream)
            return self._seen(row, self._catalog.now_ms() if row.until_ms else 0)

        return _unless_away(read)

    def begin(self, upstream: str, epoch: int, seconds: float, *, asked: bool) -> Pause | None:
        def write() -> Pause:
            now_ms = self._catalog.now_ms()
            with self._catalog.transaction() as tx:
                row = tx.pauses.begin(upstream, epoch, now_ms + ceil(seconds * 1000), asked=asked)
            return self._seen(row, now_ms)

        return _unless_away(write)

    def end(self, upstream: str) -> None:
        def write() -> None:
            with self._catalog.transaction() as tx:
                tx.pauses.end(upstream)

        _unless_away(write)

    @staticmethod
    def _seen(row: PauseRow, now_ms: int) -> Pause:
        return Pause(row.epoch, row.refusals, max(0, row.until_ms - now_ms) / 1000)


def _unless_away(act: Callable[[], Result]) -> Result | None:
    try:
        return act()
    except CatalogError as error:
        log.warning("pause not shared", extra={"why": type(error).__name__})
        return None
