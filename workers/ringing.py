"""The sweeper's ear: which stores have files that nobody holds, and a ring for each.

Doorbells may be lost, brokers flushed, workers killed: what waits is in the catalog, and is found here.
"""

from typing import Final

from retrieval.jobs import Doorbell
from workers.resources import WorkerResources

MOST_STORES: Final = 100  # rung for at once: the queue stays shallow, the next look comes soon


def ring_for_waiting(resources: WorkerResources, doorbell: Doorbell) -> int:
    """Ring for every store with waiting files; how many those were."""
    with resources.catalog.reading() as tx:
        waiting = tx.claims.waiting(now=resources.now(), most=MOST_STORES)
    for store in waiting:
        doorbell.ring(store.store_id, bulk=store.files > 1)
    return len(waiting)
