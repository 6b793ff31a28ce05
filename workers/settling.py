"""What a task writes down at its end for each file: published, failed, to be tried later, or given back.

The catalog may be away at that moment. Whoever did the work waits for it: what he holds would otherwise be lost, and
his files would look as if their worker had died.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from retrieval.catalog.rows import Claim, Failure, Ingested, Publication, Reason, SegmentRow
from retrieval.errors import CatalogUnavailable
from retrieval.ids import FileId, LeaseToken, StoreId
from workers.resources import WorkerResources
from workers.verdicts import Fail, Retry, Verdict

FIRST_PAUSE_SECONDS: Final = 0.2
LONGEST_PAUSE_SECONDS: Final = 5.0
PATIENCE: Final = 120  # tries; some ten minutes

Result = TypeVar("Result")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Settled:
    claim: Claim
    verdict: Verdict


def patiently(act: Callable[[], Result], resources: WorkerResources) -> Result:
    """`act` must be such that doing it twice is doing it once."""
    pause, waiting = FIRST_PAUSE_SECONDS, threading.Event()
    for _ in range(PATIENCE):
        try:
            return act()
        except CatalogUnavailable:
            if resources.stopping():
                raise
            log.warning("catalog away", extra={"pause_seconds": pause})
        waiting.wait(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    return act()


def publish(
    store: StoreId, done: Sequence[Ingested], segment: SegmentRow | None, resources: WorkerResources
) -> Publication:
    """The commit point: segment and statuses, or neither. Publishing the same again answers what is true."""

    def act() -> Publication:
        with resources.catalog.transaction() as tx:
            return resources.slate.publish(tx, store, done, segment, resources.now())

    return patiently(act, resources)


def settle(store: StoreId, token: LeaseToken, settled: Sequence[Settled], resources: WorkerResources) -> None:
    """Write verdicts down: failures for good, the others to be claimed again when their time has come."""
    if not settled:
        return
    failures = [
        Failure(one.claim.file_id, one.verdict.code, one.verdict.message)
        for one in settled
        if isinstance(one.verdict, Fail)
    ]
    later: dict[Retry, list[FileId]] = {}
    for one in settled:
        if isinstance(one.verdict, Retry):
            later.setdefault(one.verdict, []).append(one.claim.file_id)

    def act() -> None:
        with resources.catalog.transaction() as tx:
            now = resources.now()
            claims = resources.slate.claims(tx)
            claims.fail(store, token, failures, now=now)
            for retry, files in later.items():
                reason = Reason(retry.trouble, retry.message, since=now)
                claims.retry_later(store, token, files, until=now + retry.after_seconds, reason=reason)

    patiently(act, resources)


def give_back(store: StoreId, token: LeaseToken, resources: WorkerResources) -> None:
    """All that the token still holds, untouched: the worker is to end, and somebody else begins again."""

    def act() -> None:
        with resources.catalog.transaction() as tx:
            resources.slate.claims(tx).release(store, token)

    patiently(act, resources)
