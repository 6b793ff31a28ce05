"""A worker process says every few seconds that it is alive, so that others can know whether anybody works."""

import logging
import secrets
import threading

from retrieval.catalog.presence import BEAT_SECONDS
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogError

log = logging.getLogger(__name__)


class Pulse:
    def __init__(self, catalog: Catalog, *, seconds: float = BEAT_SECONDS) -> None:
        self._catalog = catalog
        self._seconds = seconds
        self._worker = f"worker_{secrets.token_hex(8)}"
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="pulse", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ending.set()
        self._thread.join()
        try:
            with self._catalog.transaction() as tx:
                tx.presence.leave(self._worker)
        except CatalogError:
            log.info("left without a word")  # who is not heard of counts as gone soon enough

    def _go_on(self) -> None:
        while True:
            try:
                now = self._catalog.now()
                with self._catalog.transaction() as tx:
                    tx.presence.beat(self._worker, now)
            except CatalogError as error:
                log.warning("not heard of", extra={"why": type(error).__name__})
            if self._ending.wait(self._seconds):
                return
