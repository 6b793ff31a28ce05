"""Celery's tasks: wrappers of a few lines around rooms that know nothing of Celery.

Arguments are ids. A task may run twice, late, or beside its twin, to the same end.
"""

from dataclasses import replace
from typing import Final

from celery import Celery

from retrieval.ids import StoreId
from retrieval.jobs import INDEX_WAITING, SWEEP, Doorbell
from workers import pipeline, ringing
from workers.resources import WorkerResources

FEW_FILES: Final = 8  # of an interactive claim: whoever comes next must not wait for hundreds
FEW_BYTES: Final = 1 << 20


class Desk:
    """One worker process's opened parts, from its start to its end."""

    def __init__(self) -> None:
        self._resources: WorkerResources | None = None
        self._doorbell: Doorbell | None = None

    def sit(self, resources: WorkerResources, doorbell: Doorbell) -> None:
        self._resources, self._doorbell = resources, doorbell

    def leave(self) -> None:
        self._resources = self._doorbell = None

    @property
    def resources(self) -> WorkerResources:
        assert self._resources is not None, "a task ran in a process whose parts were never opened"
        return self._resources

    @property
    def doorbell(self) -> Doorbell:
        assert self._doorbell is not None
        return self._doorbell


def register(app: Celery, desk: Desk) -> None:
    def index_waiting(store: str, bulk: bool = False) -> None:
        size = desk.resources.claim_size
        if not bulk:
            size = replace(size, files=min(size.files, FEW_FILES), bytes=min(size.bytes, FEW_BYTES))

        def ring() -> None:
            desk.doorbell.ring(StoreId(store), bulk=True)

        if pipeline.index_waiting(StoreId(store), desk.resources, size, more=ring):
            desk.doorbell.ring(StoreId(store), bulk=bulk)

    def sweep() -> None:
        ringing.ring_for_waiting(desk.resources, desk.doorbell)

    for name, work in ((INDEX_WAITING, index_waiting), (SWEEP, sweep)):
        app.task(name=name)(work)
