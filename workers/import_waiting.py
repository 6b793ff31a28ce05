"""What becomes of an attempt at an import: done, refused with a sentence, or tried again later."""

import logging
from typing import Final

from retrieval.catalog.moving_rows import ImportRow
from retrieval.errors import CallerError, LeaseLost
from retrieval.ids import new_lease_token
from workers.attempts import attempted
from workers.importing import Import
from workers.leases import ImportKeeper
from workers.resources import WorkerResources
from workers.verdicts import MOST_DEATHS, Retry, verdict

log = logging.getLogger(__name__)

GIVEN_UP: Final = (
    f"The worker died {MOST_DEATHS} times while it was importing this archive. It is left alone now; the worker's log "
    "says more."
)


def import_waiting(resources: WorkerResources) -> bool:
    """Take one waiting import to its end or put it off; False if none waits."""
    token, lease_seconds = new_lease_token(), resources.claim_size.lease_seconds
    with resources.catalog.transaction() as tx:
        row = tx.imports.claim(token, resources.now(), lease_seconds)
    if row is None:
        return False
    if row.deaths >= MOST_DEATHS:
        _fail(row, GIVEN_UP, resources)
        return True
    with ImportKeeper(resources.catalog, token, lease_seconds, stopping=resources.stopping) as keeper:
        _, error = attempted(Import(row, keeper, resources).run)
        match error:
            case None:
                pass
            case LeaseLost():
                log.warning("import given up", extra={"import": row.id, "why": str(error)})
            case CallerError():
                _fail(row, error.message, resources)
            case _:
                _put_off(row, error, resources)
    return True


def _fail(row: ImportRow, message: str, resources: WorkerResources) -> None:
    assert row.token is not None
    with resources.catalog.transaction() as tx:
        tx.imports.fail(row.token, message, resources.now())
    log.info("import refused", extra={"import": row.id, "project": row.project_id})


def _put_off(row: ImportRow, error: Exception, resources: WorkerResources) -> None:
    assert row.token is not None
    what = verdict(error, row.attempt)
    log.warning("import put off", extra={"import": row.id, "why": type(error).__name__}, exc_info=error)
    if isinstance(what, Retry):
        with resources.catalog.transaction() as tx:
            tx.imports.retry_later(row.token, resources.now() + what.after_seconds)
    else:
        _fail(row, what.message, resources)
