"""A lease kept alive while its work goes on, and the news of what was taken from it meanwhile.

All claims of one task share a token, and so one lease. A source's run has a lease of the same kind. A worker that is to
end and cannot (an embedding service keeps it waiting) gives back what it holds before it is killed: nobody died of it.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self

from retrieval.catalog.source_rows import SourceClaim
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogError, LeaseLost
from retrieval.ids import FileId, LeaseToken, StoreId
from workers.resources import never
from workers.slates import ServingSlate, Slate

AGAIN_SECONDS: Final = 1.0  # until the next try when the catalog did not answer, or look whether the worker is to end
ENDING_SECONDS: Final = 5.0  # that a step may still take then; whoever ends workers gives them at least ten

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Renews in a thread until left. Whoever works asks `holds` before each costly step."""

    def __init__(
        self,
        catalog: Catalog,
        store: StoreId,
        token: LeaseToken,
        lease_seconds: int,
        slate: Slate | None = None,
        *,
        stopping: Callable[[], bool] = never,
        ending_seconds: float = ENDING_SECONDS,
    ) -> None:
        self._stopping = stopping
        self._ending_seconds = ending_seconds
        self._catalog = catalog
        self._slate = slate or ServingSlate()
        self._store = store
        self._token = token
        self._lease_seconds = lease_seconds
        self._held: set[FileId] = set()
        self._lock = threading.Lock()  # guards _held
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{store}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join(timeout=60)

    def add(self, files: Iterable[FileId]) -> None:
        with self._lock:
            self._held.update(files)

    def settled(self, files: Iterable[FileId]) -> None:
        """They need no lease any more."""
        with self._lock:
            self._held.difference_update(files)

    def holds(self, file: FileId) -> bool:
        """Whether its claim held at the last renewal; otherwise it was cancelled, deleted or taken over."""
        return file in self._held

    def _keep(self) -> None:
        due = time.monotonic() + self._lease_seconds / 3
        release_at: float | None = None
        while not self._left.wait(min(AGAIN_SECONDS, self._lease_seconds / 3)):
            now = time.monotonic()
            if release_at is None and self._stopping():
                release_at = now + self._ending_seconds
            if release_at is not None and now >= release_at:
                if self._release():
                    return
            elif now >= due:
                due = now + (self._lease_seconds / 3 if self._renew() else AGAIN_SECONDS)

    def _release(self) -> bool:
        """Whatever its worker still makes of it is refused."""
        try:
            with self._catalog.transaction() as tx:
                files = self._slate.claims(tx).release(self._store, self._token)
        except CatalogError as error:
            log.warning("claims not given back", extra={"store": self._store, "why": type(error).__name__})
            return False
        with self._lock:
            self._held.clear()
        log.info("claims given back", extra={"store": self._store, "files": files})
        return True

    def _renew(self) -> bool:
        with self._lock:
            before = frozenset(self._held)
        try:
            with self._catalog.transaction() as tx:
                now = self._catalog.now()
                claims = self._slate.claims(tx)
                mine = claims.renew(self._store, self._token, now=now, lease_seconds=self._lease_seconds)
        except CatalogError as error:
            # The lease may run out; then publishing is refused and somebody else does the work again.
            log.warning("lease not renewed", extra={"store": self._store, "why": type(error).__name__})
            return False
        with self._lock:
            self._held.difference_update(before - mine)  # not what was added while the catalog was asked
        return True


class RunLease:
    """Renews the claim in a thread until left; `check` raises once it was taken over."""

    def __init__(self, claim: SourceClaim, catalog: Catalog, lease_seconds: int) -> None:
        self._claim = claim
        self._catalog = catalog
        self._lease_seconds = lease_seconds
        self._left = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{claim.source.id}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._left.set()
        self._thread.join(timeout=60)

    def check(self) -> None:
        if self._lost.is_set():
            raise LeaseLost(f"run {self._claim.run.id} was taken over or deleted")

    def _keep(self) -> None:
        seconds = self._lease_seconds
        while not self._left.wait(seconds / 3):
            try:
                with self._catalog.transaction() as tx:
                    now = self._catalog.now()
                    held = tx.source_runs.renew(self._claim.source.id, self._claim.token, now, seconds)
            except CatalogError as error:  # it may run out; then the next step is refused
                log.warning("lease not renewed", extra={"source": self._claim.source.id, "why": type(error).__name__})
                continue
            if not held:
                self._lost.set()
                return
