"""The Celery application of a worker: production settings, and the opening and closing of each process's parts.

Children of the worker open their own parts after they were forked, and never share a connection with each other.
When the worker is told to end, its children learn of it through one shared byte, finish their step, and give back
what they have not begun.
"""

import logging
import mmap
import os
import resource
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Final

from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import (
    task_postrun,
    worker_process_init,
    worker_process_shutdown,
    worker_shutdown,
    worker_shutting_down,
)

from configs.settings import Settings
from ingest.children import ChildPool
from ingest.chunking.chunk import ChunkLimits
from ingest.cores import usable_cores
from ingest.errors import IngestError
from ingest.parsing.limits import Limits
from retrieval.ids import ProjectId
from retrieval.jobs import CeleryDoorbell, messenger
from retrieval.ledger import Ledger, Scribe
from retrieval.resources import Resources, open_resources
from workers.indexing import IndexLimits
from workers.presence import Pulse
from workers.refresh import RefreshParts
from workers.resources import ClaimSize, WorkerResources, never, unnoted
from workers.schedules import Clockwork, timetable
from workers.tasks import Desk, Parts, register
from workers.upkeep import Upkeep, UpkeepLimits

REMOTE_CALL_CHUNKS: Final = 4_096
LOCAL_CALL_CHUNKS: Final = 512  # some ten seconds of one core: as long as an ending may have to wait
HARD_LIMIT_SECONDS: Final = 6 * 3600  # five million tokens on a slow machine; the lease is renewed all the while

log = logging.getLogger(__name__)


def create_worker_app(settings: Settings, *, alone: bool) -> Celery:
    """Everything that a worker and the beat need to know. Opens nothing yet. `alone`: the process that listens also
    works, and whoever started it starts it anew."""
    warnings.simplefilter("ignore", SecurityWarning)  # of running pickled messages as root: ours are JSON
    app = messenger(
        settings.broker.url,
        spool_of(settings),
        poll_seconds=settings.broker.poll_seconds,
        visibility_seconds=settings.broker.visibility_seconds,
    )
    app.conf.update(
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=HARD_LIMIT_SECONDS,
        worker_prefetch_multiplier=1,
        worker_max_tasks_per_child=settings.workers.tasks_per_child,
        worker_max_memory_per_child=settings.workers.memory_per_child_kib,
        worker_cancel_long_running_tasks_on_connection_loss=False,  # the lease decides who may finish, not the broker
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_redirect_stdouts=False,
        beat_schedule=timetable(
            settings.workers.sweep_seconds, settings.workers.upkeep_seconds, settings.sources.check_seconds
        ),
        beat_scheduler=Clockwork,
    )
    desk = Desk()
    register(app, desk)
    _open_where_work_is_done(app, desk, settings)
    if alone:
        _end_when_used_up(settings.workers.tasks_per_child, settings.workers.memory_per_child_kib)
    return app


def _open_where_work_is_done(app: Celery, desk: Desk, settings: Settings) -> None:
    stack = ExitStack()
    ending = mmap.mmap(-1, 1)  # shared with the children, also with those that are forked later

    def opened(**_: object) -> None:
        opened_here = stack.enter_context(open_resources(settings))
        ledger = Ledger(opened_here.catalog)
        stack.callback(Scribe(ledger).close)
        resources = stack.enter_context(
            worker_resources(
                settings,
                opened_here,
                note=lambda project, kind, quantity: ledger.add(project, None, kind, quantity),
                stopping=lambda: ending[0] != 0,
            )
        )
        stack.callback(Pulse(opened_here.catalog).close)
        index = IndexLimits(settings.search.code_from_rows, settings.search.recall_target)
        upkeep = Upkeep(resources.catalog, resources.storage, UpkeepLimits(index=index))
        doorbell = CeleryDoorbell(app)
        refreshing = RefreshParts(
            resources,
            opened_here.permits,
            lambda store: doorbell.ring(store, bulk=True),
            lease_seconds=settings.workers.lease_seconds,
            largest_bytes=settings.parsing.source_bytes,
        )
        desk.sit(Parts(resources, doorbell, upkeep, refreshing, spool_of(settings) / "done"))
        threading.Thread(target=_warm, args=(resources, opened_here), name="warming", daemon=True).start()

    def closed(**_: object) -> None:
        desk.leave()
        stack.close()

    def told_to_end(**_: object) -> None:
        ending[0] = 1

    # Celery keeps its receivers weakly unless told otherwise.
    worker_process_init.connect(opened, weak=False)
    worker_process_shutdown.connect(closed, weak=False)
    worker_shutdown.connect(closed, weak=False)  # of a process that works alone
    worker_shutting_down.connect(told_to_end, weak=False)


def _end_when_used_up(tasks: int, memory_kib: int) -> None:
    """What Celery does for the children of a pool. Memory that a library has lost comes back only with the process."""
    answered = count(1)

    def look(**_: object) -> None:
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // (1024 if sys.platform == "darwin" else 1)
        if next(answered) >= tasks or peak_kib > memory_kib:
            os.kill(os.getpid(), signal.SIGTERM)

    task_postrun.connect(look, weak=False)


def _warm(resources: WorkerResources, opened: Resources) -> None:
    """The first file should not wait for model and child to start."""
    try:
        opened.embedders.get(opened.embedders.default)
        resources.children.prepare(b"warm", "warm.txt", ChunkLimits())
    except IngestError as error:
        log.warning("not warm", extra={"why": str(error)})


def spool_of(settings: Settings) -> Path:
    return settings.data_dir.absolute() / "queue"


def parsing_limits(settings: Settings) -> Limits:
    given = settings.parsing
    return Limits(
        source_bytes=given.source_bytes,
        tokens=given.tokens,
        pages=given.pages,
        expanded_bytes=given.expanded_bytes,
        expansion_ratio=given.expansion_ratio,
        archive_members=given.archive_members,
        nesting=given.nesting,
        columns=given.columns,
        memory_bytes=given.memory_bytes,
        cpu_seconds=given.cpu_seconds,
        wall_seconds=given.wall_seconds,
    )


def worker_resources(
    settings: Settings,
    opened: Resources,
    *,
    note: Callable[[ProjectId, str, int], None] = unnoted,
    stopping: Callable[[], bool] = never,
) -> WorkerResources:
    given = settings.workers
    providers = {settings.embedding.provider, *(model.provider for model in settings.models.values())}
    children = ChildPool(settings.parsing.children or usable_cores(), parsing_limits(settings))
    size = ClaimSize(
        given.files_per_claim,
        given.bytes_per_claim,
        given.lease_seconds,
        call_chunks=LOCAL_CALL_CHUNKS if "local" in providers else REMOTE_CALL_CHUNKS,
    )
    return WorkerResources(
        opened.catalog, opened.storage, children, opened.embedders.get, size, note=note, stopping=stopping
    )
