"""The lease of an import, kept alive while it is worked on, and how far the work has come."""

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogError, LeaseLost
from retrieval.ids import LeaseToken
from workers.resources import never

LOOK_SECONDS: Final = 1.0  # progress is worth seeing while it is made

log = logging.getLogger(__name__)


class ImportKeeper:
    """Renews in a thread until left, or until the worker is to end: another goes on where this one was."""

    def __init__(
        self, catalog: Catalog, token: LeaseToken, lease_seconds: int, *, stopping: Callable[[], bool] = never
    ) -> None:
        self._stopping = stopping
        self.lease_seconds = lease_seconds
        self._catalog = catalog
        self._token = token
        self._done = 0
        self._lost = False
        self._lock = threading.Lock()  # guards _done
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="import lease", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join(timeout=60)

    def done(self, size: int) -> None:
        with self._lock:
            self._done += size

    def check(self) -> None:
        """Raise `LeaseLost` once the import is, or may be, another worker's."""
        if self._lost:
            raise LeaseLost("the import was given back, or taken over by another worker")

    def _keep(self) -> None:
        while not self._left.wait(min(LOOK_SECONDS, self.lease_seconds / 3)):
            try:
                with self._catalog.transaction() as tx:
                    if self._stopping():
                        tx.imports.release(self._token)
                    kept = tx.imports.renew(self._token, self._done, self._catalog.now(), self.lease_seconds)
            except CatalogError as error:
                log.warning("lease not renewed", extra={"why": type(error).__name__})
                continue
            self._lost = not kept
            if self._lost:
                return
