"""Upkeep: every store merged and coded as it should be, everything expired ended, everything left over swept.

Knows no Celery: whoever keeps time calls `tend` often, `expire` every minute and the sweeps seldom. Any of it may be
cut off anywhere and may run beside its twin in another process.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Final

from retrieval.catalog.transaction import Catalog
from retrieval.errors import NotFound, RetrievalError
from retrieval.ids import StoreId
from retrieval.segments.merging import MergeLimits
from retrieval.storage.objects import Storage
from workers.indexing import Indexed, IndexLimits, index_segments
from workers.merging import Merged, merge_store
from workers.sweeping import Expired, Grace, Swept, expire, sweep_removed, sweep_unknown

STORES_AT_ONCE: Final = 1_000
LEFTOVERS_SECONDS: Final = 300  # between walks over the whole storage

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class UpkeepLimits:
    merge: MergeLimits = field(default_factory=MergeLimits)
    index: IndexLimits = field(default_factory=IndexLimits)
    grace: Grace = field(default_factory=Grace)


@dataclass(frozen=True, slots=True)
class Tended:
    stores: int = 0  # that had changed since they were last looked at
    merged: Merged = field(default_factory=Merged)
    coded: int = 0
    trained: int = 0
    troubled: int = 0  # stores whose upkeep could not be done now


class Upkeep:
    """One per process that keeps up; not to be shared by threads. Remembers which generations it has looked at."""

    def __init__(self, catalog: Catalog, storage: Storage, limits: UpkeepLimits | None = None) -> None:
        self._catalog = catalog
        self._storage = storage
        self._limits = limits or UpkeepLimits()
        self._leftovers_swept_at = 0
        self._tended: dict[StoreId, int] = {}  # as many entries as there are stores in use

    def tend(self) -> Tended:
        """Merge and code every store that has moved on since the last call."""
        merged, stores, coded, trained, troubled = Merged(), 0, 0, 0, 0
        in_use: dict[StoreId, int] = {}
        for store, generation in self._stores():
            in_use[store] = generation
            if self._tended.get(store) == generation:
                continue
            stores += 1
            try:
                one, index = self.tend_store(store)
            except RetrievalError as error:  # no room, no database: the other stores, and this one next time
                log.warning("upkeep put off", extra={"store": store, "why": type(error).__name__})
                troubled += 1
                continue
            merged, coded, trained = merged.plus(one), coded + index.coded, trained + index.trained
            self._tended[store] = generation  # damage too is looked at again only when the store has changed
        for store, edition in self._second_editions().items():
            try:
                one, index = self.tend_store(store, edition)
            except RetrievalError as error:
                log.warning("upkeep put off", extra={"store": store, "why": type(error).__name__})
                troubled += 1
                continue
            merged, coded, trained = merged.plus(one), coded + index.coded, trained + index.trained
        self._tended = {store: seen for store, seen in self._tended.items() if store in in_use}
        return Tended(stores, merged, coded, trained, troubled)

    def _second_editions(self) -> dict[StoreId, int]:
        with self._catalog.reading() as tx:
            return tx.reindexes.second_editions()

    def tend_store(self, store: StoreId, edition: int | None = None) -> tuple[Merged, Indexed]:
        """One edition of a store; None: the one that searches find."""
        try:
            merged = merge_store(store, self._catalog, self._storage, self._limits.merge, edition)
            return merged, index_segments(store, self._catalog, self._storage, self._limits.index, edition)
        except NotFound:
            return Merged(), Indexed()  # deleted meanwhile

    def expire(self) -> Expired:
        expired = expire(self._catalog, self._catalog.now(), self._limits.grace)
        _tell("expired", asdict(expired))
        return expired

    def sweep(self) -> Swept:
        """What may go now; every few minutes also what writers left that died."""
        now = self._catalog.now()
        swept = sweep_removed(self._catalog, self._storage, now, self._limits.grace)
        if now - self._leftovers_swept_at >= LEFTOVERS_SECONDS:
            self._leftovers_swept_at = now
            swept = replace(swept, leftovers=self._storage.sweep())
        _tell("swept", asdict(swept))
        return swept

    def sweep_unknown(self) -> int:
        swept = sweep_unknown(self._catalog, self._storage, self._catalog.now(), self._limits.grace)
        _tell("swept", {"unknown": swept})
        return swept

    def _stores(self) -> Iterator[tuple[StoreId, int]]:
        after = ""
        while True:
            with self._catalog.reading() as tx:
                found = tx.sweeps.stores_in_use(after, STORES_AT_ONCE)
            yield from found
            if len(found) < STORES_AT_ONCE:
                return
            after = found[-1][0]


def _tell(event: str, counts: Mapping[str, int]) -> None:
    """One line, if there was anything to do; what was not is left out."""
    done = {what: count for what, count in counts.items() if count}
    if done:
        log.info(event, extra=done)
