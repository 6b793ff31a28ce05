"""A lease kept alive while its work goes on, and the news of what was taken from it meanwhile."""

import logging
import threading
from collections.abc import Collection
from types import TracebackType
from typing import Self

from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogError
from retrieval.ids import FileId, LeaseToken, StoreId

log = logging.getLogger(__name__)


class LeaseKeeper:
    """Renews in a thread until left. Whoever works asks `still` before each costly step."""

    def __init__(
        self, catalog: Catalog, store: StoreId, token: LeaseToken, files: Collection[FileId], lease_seconds: int
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._token = token
        self._lease_seconds = lease_seconds
        self._held = frozenset(files)
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

    @property
    def still(self) -> frozenset[FileId]:
        """The files whose claim held at the last renewal; the others were cancelled, deleted or taken over."""
        return self._held

    def _keep(self) -> None:
        while not self._left.wait(self._lease_seconds / 3):
            try:
                with self._catalog.transaction() as tx:
                    now = self._catalog.now()
                    self._held = tx.claims.renew(self._store, self._token, now=now, lease_seconds=self._lease_seconds)
            except CatalogError as error:
                # The lease may run out; then publishing is refused and somebody else does the work again.
                log.warning("lease not renewed", extra={"store": self._store, "why": type(error).__name__})
