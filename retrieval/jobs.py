"""The work that HTTP may ask for: names, payloads, and how to ring.

The catalog row is the work, the message a doorbell: it names a store and nothing else. A doorbell that is lost
costs delay, one that rings twice costs a look. So ringing never fails its caller, and never takes long.
"""

import logging
import threading
import time
from pathlib import Path
from typing import Final, Literal, Protocol

from celery import Celery
from kombu.exceptions import KombuError
from kombu.transport import TRANSPORT_ALIASES

from retrieval.ids import SourceId, StoreId

INDEX_WAITING: Final = "carrel.index_waiting"
IMPORT_WAITING: Final = "carrel.import_waiting"
SWEEP: Final = "carrel.sweep"
KEEP_UP: Final = "carrel.keep_up"
CLEAN_UP: Final = "carrel.clean_up"
BEGIN_REFRESHES: Final = "carrel.begin_refreshes"
REFRESH: Final = "carrel.refresh"
INTERACTIVE: Final = "interactive"  # files attached one by one: somebody waits
BULK: Final = "bulk"  # batches and re-indexing
UPKEEP: Final = "upkeep"

Queue = Literal["interactive", "bulk"]

MOMENT_SECONDS: Final = 0.04  # who attaches one file after the other must not wait longer for the second
ONCE_MORE: Final = {"max_retries": 1, "interval_start": 0}  # the broker may have been restarted since the last ring
QUIET_SECONDS: Final = 5  # after a failure nobody tries again for so long: the sweeper rings soon enough

log = logging.getLogger(__name__)


def messenger(broker_url: str, spool: Path, *, poll_seconds: float = 0.05, visibility_seconds: int = 30) -> Celery:
    """A Celery application that can send, and to which workers add their tasks. Without a URL, a folder is the broker.

    JSON only, no results kept: whatever a message says, the catalog is what is true.
    """
    TRANSPORT_ALIASES["spool"] = "retrieval.spool:Transport"
    TRANSPORT_ALIASES["redis"] = TRANSPORT_ALIASES["rediss"] = "retrieval.redis_broker:Transport"
    app = Celery("carrel", set_as_current=False)
    app.conf.update(
        broker_url=broker_url or "spool://",
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_default_queue=INTERACTIVE,
        task_create_missing_queues=True,
        broker_connection_timeout=3,
        broker_connection_retry_on_startup=True,
        worker_hijack_root_logger=False,
    )
    if broker_url:
        app.conf.broker_transport_options = {
            "visibility_timeout": visibility_seconds,
            "unacked_restore_interval": 2,
            "unacked_restore_throttle": 1,
            "unacked_mutex_expire": 10,  # who dies while he restores must not keep the others from it for minutes
            "socket_timeout": 5,
            "socket_connect_timeout": 3,
            "max_retries": 0,
        }
        return app
    for folder in ("messages", "done"):
        (spool / folder).mkdir(parents=True, exist_ok=True)
    app.conf.broker_transport_options = {
        "data_folder_in": str(spool / "messages"),
        "data_folder_out": str(spool / "messages"),
        "processed_folder": str(spool / "done"),
        "polling_interval": poll_seconds,
    }
    return app


class Doorbell(Protocol):
    def ring(self, store: StoreId, *, bulk: bool = False) -> None: ...
    def ring_for_refresh(self, source: SourceId) -> None: ...

    def ring_for_imports(self) -> None: ...

    def reachable(self) -> bool:
        """Whether a ring would be heard now."""

    def waiting(self, queue: str) -> int: ...


class CeleryDoorbell:
    """Sends by name; knows no task's code. Safe for threads.

    Of many rings for one store within a moment two are sent: the first, and one after the last. Whoever answers
    the second finds all that the others rang for, and the queue stays short however many files are attached.
    """

    def __init__(self, app: Celery, *, moment_seconds: float = MOMENT_SECONDS) -> None:
        self._app = app
        self._moment_seconds = moment_seconds
        self._quiet_until = 0.0
        self._lock = threading.Lock()  # guards _ringing
        with app.connection_for_write() as connection:  # connects to nothing yet
            self._broken = (KombuError, OSError, *connection.connection_errors, *connection.channel_errors)
        self._ringing: dict[tuple[StoreId, bool], bool] = {}  # rung a moment ago -> and again since

    def ring(self, store: StoreId, *, bulk: bool = False) -> None:
        with self._lock:
            if (store, bulk) in self._ringing:
                self._ringing[store, bulk] = True
                return
            self._ringing[store, bulk] = False
        self._send(INDEX_WAITING, (store, bulk), BULK if bulk else INTERACTIVE)
        later = threading.Timer(self._moment_seconds, self._after, (store, bulk))
        later.daemon = True
        later.start()

    def ring_for_imports(self) -> None:
        """Archives wait to become stores; whoever hears of it takes one."""
        self._send(IMPORT_WAITING, (), BULK)

    def waiting(self, queue: str) -> int:
        """Doorbells that nobody has answered yet; 0 where the broker does not say."""
        try:
            with self._app.connection_for_write() as connection, connection.channel() as channel:
                return int(channel.queue_declare(queue, passive=True).message_count)
        except self._broken:
            return 0

    def reachable(self) -> bool:
        try:
            with self._app.connection_for_write() as connection, connection.channel():  # a channel greets its broker
                return True
        except self._broken:
            return False

    def _after(self, store: StoreId, bulk: bool) -> None:
        with self._lock:
            again = self._ringing.pop((store, bulk))
        if again:
            self.ring(store, bulk=bulk)

    def ring_for_refresh(self, source: SourceId) -> None:
        """A run of this source waits."""
        self._send(REFRESH, (source,), BULK)

    def _send(self, task: str, arguments: tuple[str | bool, ...], queue: str) -> None:
        if time.monotonic() < self._quiet_until:
            return
        try:
            self._app.send_task(task, arguments, queue=queue, retry=True, retry_policy=ONCE_MORE)
        except self._broken as error:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            log.warning("doorbell out of order", extra={"task": task, "why": type(error).__name__})


class SilentDoorbell:
    """Rings nowhere: for whoever works through what waits by itself."""

    def ring(self, store: StoreId, *, bulk: bool = False) -> None:
        pass

    def ring_for_imports(self) -> None:
        pass

    def ring_for_refresh(self, source: SourceId) -> None:
        pass

    def reachable(self) -> bool:
        return True

    def waiting(self, queue: str) -> int:  # noqa: ARG002 - nobody waits
        return 0
