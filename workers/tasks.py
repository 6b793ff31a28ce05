"""Celery's tasks: wrappers of a few lines around rooms that know nothing of Celery.

Arguments are ids. A task may run twice, late, or beside its twin, to the same end. None fails because of what
passes by itself: the catalog knows what is to be done, and the sweeper rings again.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from celery import Celery

from retrieval.catalog.source_rows import RunStatus
from retrieval.errors import RetrievalError
from retrieval.ids import SourceId, StoreId
from retrieval.jobs import (
    BEGIN_REFRESHES,
    CLEAN_UP,
    IMPORT_WAITING,
    INDEX_WAITING,
    KEEP_UP,
    REFRESH,
    SWEEP,
    CeleryDoorbell,
)
from workers import pipeline, refresh, reindex, ringing, spool
from workers.import_waiting import import_waiting
from workers.refresh import RefreshParts
from workers.resources import WorkerResources
from workers.upkeep import Upkeep

FEW_FILES: Final = 8  # of an interactive claim: whoever comes next must not wait for hundreds
FEW_BYTES: Final = 1 << 20  # larger files go to the bulk lane

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What one worker process has open."""

    resources: WorkerResources
    doorbell: CeleryDoorbell
    upkeep: Upkeep
    refreshing: RefreshParts
    answered: Path


class Desk:
    """A worker process's parts, from its start to its end."""

    def __init__(self) -> None:
        self._parts: Parts | None = None

    def sit(self, parts: Parts) -> None:
        self._parts = parts

    def leave(self) -> None:
        self._parts = None

    @property
    def parts(self) -> Parts:
        assert self._parts is not None, "a task ran in a process whose parts were never opened"
        return self._parts


def index_waiting(store: StoreId, parts: Parts, *, bulk: bool) -> None:
    """Work, then ring again if there was anything to do; hand what is too large for this lane to the other. A second
    edition is built where no file waits."""
    resources, size = parts.resources, parts.resources.claim_size
    if not bulk:
        few = min(size.files, FEW_FILES)
        size = replace(size, files=few, bytes=FEW_BYTES, largest_bytes=FEW_BYTES, fill=False)
    if pipeline.index_waiting(store, resources, size, more=lambda: parts.doorbell.ring(store, bulk=True)):
        parts.doorbell.ring(store, bulk=bulk)
    elif not bulk:
        with resources.catalog.reading() as tx:
            larger = tx.claims.any_waiting(store, now=resources.now())
        if larger:
            parts.doorbell.ring(store, bulk=True)
    elif reindex.build(store, resources, parts.upkeep):
        parts.doorbell.ring(store, bulk=True)


def keep_up(parts: Parts) -> None:
    spool.empty(parts.answered)
    parts.upkeep.expire()  # first: what is due to go must not wait for merges
    parts.upkeep.tend()
    parts.upkeep.sweep()


def begin_refreshes(parts: Parts) -> None:
    """Begin what is due, and ring for every run that nobody is at."""
    refresh.begin_due(parts.refreshing)
    for source in refresh.waiting(parts.refreshing):
        parts.doorbell.ring_for_refresh(source)


def register(app: Celery, desk: Desk) -> None:
    def indexing(store: str, bulk: bool = False) -> None:
        try:
            index_waiting(StoreId(store), desk.parts, bulk=bulk)
        except RetrievalError as error:
            log.warning("ingestion put off", extra={"store": store, "why": type(error).__name__})

    def importing() -> None:
        try:
            while import_waiting(desk.parts.resources):
                pass
        except RetrievalError as error:
            log.warning("imports put off", extra={"why": type(error).__name__})

    def sweeping() -> None:
        try:
            ringing.ring_for_waiting(desk.parts.resources, desk.parts.doorbell)
        except RetrievalError as error:
            log.warning("sweep put off", extra={"why": type(error).__name__})

    def keeping_up() -> None:
        try:
            keep_up(desk.parts)
        except RetrievalError as error:
            log.warning("upkeep put off", extra={"why": type(error).__name__})

    def cleaning_up() -> None:
        try:
            desk.parts.upkeep.sweep_unknown()
        except RetrievalError as error:
            log.warning("upkeep put off", extra={"why": type(error).__name__})

    for name, work in (
        (INDEX_WAITING, indexing),
        (IMPORT_WAITING, importing),
        (SWEEP, sweeping),
        (KEEP_UP, keeping_up),
        (CLEAN_UP, cleaning_up),
    ):
        app.task(name=name)(work)
    _register_refreshing(app, desk)


def _register_refreshing(app: Celery, desk: Desk) -> None:
    def beginning_refreshes() -> None:
        try:
            begin_refreshes(desk.parts)
        except RetrievalError as error:
            log.warning("refreshes put off", extra={"why": type(error).__name__})

    def refreshing(source: str) -> None:
        try:
            if refresh.refresh(SourceId(source), desk.parts.refreshing) is RunStatus.RUNNING:
                desk.parts.doorbell.ring_for_refresh(SourceId(source))  # it gave way, and there is more
        except RetrievalError as error:
            log.warning("refresh put off", extra={"source": source, "why": type(error).__name__})

    app.task(name=BEGIN_REFRESHES)(beginning_refreshes)
    app.task(name=REFRESH)(refreshing)
