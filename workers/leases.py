"""Leases kept alive while their work goes on, and the news of what was taken from them meanwhile.

All claims of one task share a token, and so one lease; a source's run and an import have one each. A worker that is to
end and cannot (an embedding service keeps it waiting) gives back what it holds before it is killed: nobody died of it.
"""

import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Final, Self

from retrieval.catalog.source_rows import SourceClaim
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogError, LeaseLost
from retrieval.ids import FileId, LeaseToken, StoreId
from workers.resources import never
from workers.slates import ServingSlate, Slate

LOOK_SECONDS: Final = 1.0  # until the next try when the catalog did not answer, or look whether the worker is to end
ENDING_SECONDS: Final = 5.0  # that a step may still take then; whoever ends workers gives them at least ten

log = logging.getLogger(__name__)


class Keeper(ABC):
    """A thread that looks after a lease until it is left, or there is none to look after any more."""

    def __init__(self, every_seconds: float, **work: str) -> None:
        """`work`: what is done under the lease, as the log names it."""
        self._every_seconds = every_seconds
        self._work = work
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease-{work}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._thread.join(timeout=60)

    def _keep(self) -> None:
        while not self._left.wait(self._every_seconds):
            try:
                if not self._look():
                    return
            except CatalogError as error:
                # The lease may run out; then publishing is refused and somebody else does the work again.
                log.warning("lease not renewed", extra={**self._work, "why": type(error).__name__})

    @abstractmethod
    def _look(self) -> bool:
        """Renew it, or give it back; whether it is still to be looked after."""


class LeaseKeeper(Keeper):
    """Of claims in a store. Whoever works asks `holds` before each costly step."""

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
        super().__init__(min(LOOK_SECONDS, lease_seconds / 3), store=store)
        self._stopping = stopping
        self._ending_seconds = ending_seconds
        self._catalog = catalog
        self._slate = slate or ServingSlate()
        self._store = store
        self._token = token
        self._lease_seconds = lease_seconds
        self._due = time.monotonic() + lease_seconds / 3
        self._release_at: float | None = None
        self._held: set[FileId] = set()
        self._lock = threading.Lock()  # guards _held

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

    def _look(self) -> bool:
        now = time.monotonic()
        if self._release_at is None and self._stopping():
            self._release_at = now + self._ending_seconds
        if self._release_at is not None and now >= self._release_at:
            self._release()
            return False
        if now >= self._due:
            self._renew()
            self._due = now + self._lease_seconds / 3
        return True

    def _release(self) -> None:
        """Whatever its worker still makes of it is refused."""
        with self._catalog.transaction() as tx:
            files = self._slate.claims(tx).release(self._store, self._token)
        with self._lock:
            self._held.clear()
        log.info("claims given back", extra={"store": self._store, "files": files})

    def _renew(self) -> None:
        with self._lock:
            before = frozenset(self._held)
        with self._catalog.transaction() as tx:
            now = self._catalog.now()
            mine = self._slate.claims(tx).renew(self._store, self._token, now=now, lease_seconds=self._lease_seconds)
        with self._lock:
            self._held.difference_update(before - mine)  # not what was added while the catalog was asked


class RunLease(Keeper):
    """Of a run of a source; `check` raises once it was taken over."""

    def __init__(self, claim: SourceClaim, catalog: Catalog, lease_seconds: int) -> None:
        super().__init__(lease_seconds / 3, source=claim.source.id)
        self._claim = claim
        self._catalog = catalog
        self._lease_seconds = lease_seconds
        self._lost = False

    def check(self) -> None:
        if self._lost:
            raise LeaseLost(f"run {self._claim.run.id} was taken over or deleted")

    def _look(self) -> bool:
        with self._catalog.transaction() as tx:
            now = self._catalog.now()
            held = tx.source_runs.renew(self._claim.source.id, self._claim.token, now, self._lease_seconds)
        self._lost = not held
        return held


class ImportKeeper(Keeper):
    """Of an import, with how far it has come. It ends with the worker: another goes on where this one was."""

    def __init__(
        self, catalog: Catalog, token: LeaseToken, lease_seconds: int, *, stopping: Callable[[], bool] = never
    ) -> None:
        super().__init__(min(LOOK_SECONDS, lease_seconds / 3))  # progress is worth seeing while it is made
        self._stopping = stopping
        self.lease_seconds = lease_seconds
        self._catalog = catalog
        self._token = token
        self._done = 0
        self._lost = False
        self._lock = threading.Lock()  # guards _done

    def done(self, size: int) -> None:
        with self._lock:
            self._done += size

    def check(self) -> None:
        """Raise `LeaseLost` once the import is, or may be, another worker's."""
        if self._lost:
            raise LeaseLost("the import was given back, or taken over by another worker")

    def _look(self) -> bool:
        with self._catalog.transaction() as tx:
            if self._stopping():
                tx.imports.release(self._token)
            kept = tx.imports.renew(self._token, self._done, self._catalog.now(), self.lease_seconds)
        self._lost = not kept
        return kept
