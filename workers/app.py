"""The Celery application of a worker: production settings, and the opening and closing of each process's parts.

Children of the worker open their own parts after they were forked, and never share a connection with each other.
"""

import os
from contextlib import ExitStack
from typing import Final

from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

from configs.settings import Settings
from ingest.children import ChildPool
from ingest.parsing.limits import Limits
from retrieval.jobs import CeleryDoorbell, messenger
from retrieval.resources import Resources, open_resources
from workers.resources import ClaimSize, WorkerResources
from workers.schedules import timetable
from workers.tasks import Desk, register

HARD_LIMIT_SECONDS: Final = 6 * 3600  # five million tokens on a slow machine; the lease is renewed all the while


def create_worker_app(settings: Settings) -> Celery:
    """Everything that a worker and the beat need to know. Opens nothing yet."""
    app = messenger(
        settings.broker.url,
        settings.data_dir.absolute() / "queue",
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
        beat_schedule=timetable(settings.workers.sweep_seconds, settings.workers.upkeep_seconds),
        beat_schedule_filename=str(settings.data_dir.absolute() / "beat-schedule"),
        beat_max_loop_interval=5,
    )
    desk = Desk()
    register(app, desk)
    _open_in_children(app, desk, settings)
    return app


def _open_in_children(app: Celery, desk: Desk, settings: Settings) -> None:
    stack = ExitStack()

    def opened(**_: object) -> None:
        resources = stack.enter_context(open_resources(settings))
        desk.sit(stack.enter_context(worker_resources(settings, resources)), CeleryDoorbell(app))

    def closed(**_: object) -> None:
        desk.leave()
        stack.close()

    # Celery keeps its receivers weakly unless told otherwise.
    worker_process_init.connect(opened, weak=False)
    worker_process_shutdown.connect(closed, weak=False)


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


def worker_resources(settings: Settings, opened: Resources) -> WorkerResources:
    given = settings.workers
    children = ChildPool(settings.parsing.children or os.cpu_count() or 1, parsing_limits(settings))
    size = ClaimSize(given.files_per_claim, given.bytes_per_claim, given.lease_seconds)
    return WorkerResources(opened.catalog, opened.storage, children, opened.embedders.get, size)
