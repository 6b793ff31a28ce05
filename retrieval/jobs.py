"""The work that HTTP may ask for: names, payloads, and how to ring.

The catalog row is the work, the message a doorbell: it names a store and nothing else. A doorbell that is lost
costs delay, one that rings twice costs a look. So ringing never fails its caller, and never takes long.
"""

import logging
import time
from typing import Final, Literal, Protocol

from celery import Celery
from kombu.exceptions import KombuError

from retrieval.ids import StoreId

INDEX_WAITING: Final = "carrel.index_waiting"
INTERACTIVE: Final = "interactive"  # files attached one by one: somebody waits
BULK: Final = "bulk"  # batches and re-indexing
UPKEEP: Final = "upkeep"

Queue = Literal["interactive", "bulk"]

QUIET_SECONDS: Final = 5  # after a failure nobody tries again for so long: the sweeper rings soon enough

log = logging.getLogger(__name__)


class Doorbell(Protocol):
    def ring(self, store: StoreId, *, bulk: bool = False) -> None: ...


class CeleryDoorbell:
    """Sends by name; knows no task's code. Safe for threads."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._quiet_until = 0.0

    def ring(self, store: StoreId, *, bulk: bool = False) -> None:
        if time.monotonic() < self._quiet_until:
            return
        queue = BULK if bulk else INTERACTIVE
        try:
            self._app.send_task(INDEX_WAITING, (store,), queue=queue, retry=False, ignore_result=True)
        except (KombuError, OSError) as error:
            self._quiet_until = time.monotonic() + QUIET_SECONDS
            log.warning("doorbell out of order", extra={"store": store, "why": type(error).__name__})


class SilentDoorbell:
    """Rings nowhere: for whoever works through what waits by itself."""

    def ring(self, store: StoreId, *, bulk: bool = False) -> None:
        pass
