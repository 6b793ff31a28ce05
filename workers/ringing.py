"""The sweeper's ear: which stores have files that nobody holds, and a ring for each.

Doorbells may be lost, brokers flushed, workers killed: what waits is in the catalog, and is found here.
"""

from typing import Final, Protocol

from retrieval.ids import StoreId
from retrieval.jobs import BULK, INTERACTIVE
from workers.resources import WorkerResources

MOST_STORES: Final = 100  # rung for at once: the queue stays shallow, the next look comes soon
SHALLOW: Final = 20  # doorbells; whoever answers so many looks everywhere soon enough
UNTOUCHED_SECONDS: Final = 2  # before a new file's own doorbell counts as lost


class Bell(Protocol):
    def ring(self, store: StoreId, *, bulk: bool = False) -> None: ...
    def ring_for_imports(self) -> None: ...
    def waiting(self, queue: str) -> int: ...


def ring_for_waiting(resources: WorkerResources, doorbell: Bell) -> int:
    """Ring for every store with waiting files, as far as the queues are not full of rings; how many those were."""
    with resources.catalog.reading() as tx:
        now = resources.now()
        imports = tx.imports.waiting(now)
        waiting = tx.claims.waiting(now=now, untouched_seconds=UNTOUCHED_SECONDS, most=MOST_STORES)
        building = tx.reindexes.with_work(now, MOST_STORES)
    if not waiting and not imports and not building:
        return 0
    deaf = {bulk: doorbell.waiting(BULK if bulk else INTERACTIVE) > SHALLOW for bulk in (False, True)}
    rung = 0
    if imports and not deaf[True]:
        doorbell.ring_for_imports()
        rung += 1
    for store in waiting:
        bulk = store.files > 1
        if not deaf[bulk]:
            doorbell.ring(store.store_id, bulk=bulk)
            rung += 1
    if not deaf[True]:
        for second in building:
            doorbell.ring(second, bulk=True)
            rung += 1
    return rung
