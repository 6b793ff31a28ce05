"""What follows from a failure: try again later, or give up and say why. Pure.

A document that is to blame fails at once. Our own troubles are retried, ever more slowly; those that pass by
themselves (no disk, no database, a slow upstream) for as long as they last, the others a few times.
"""

from dataclasses import dataclass
from typing import Final

from ingest.errors import (
    ChildrenBusy,
    DocumentError,
    EmbedderMisbehaved,
    EmbedderUnavailable,
    IngestError,
    ModelMissing,
)
from retrieval.catalog.rows import FailureCode
from retrieval.errors import CatalogError, StorageFull, StorageUnavailable

MOST_ATTEMPTS: Final = 5  # for troubles that should not happen at all
MOST_MISBEHAVIOURS: Final = 9  # in three minutes: a service may be put right, a text that it cannot bear may not
MOST_DEATHS: Final = 6  # claims that ended with their worker: more than chance would let fall on one file
FIRST_WAIT_SECONDS: Final = 1
LONGEST_WAIT_SECONDS: Final = 60
LONGEST_ASKED_SECONDS: Final = 600  # an upstream's slip of the pen must not put a file off for a year

PASSING: Final = (ChildrenBusy, EmbedderUnavailable, ModelMissing, StorageFull, StorageUnavailable, CatalogError)


@dataclass(frozen=True, slots=True)
class Retry:
    after_seconds: int


@dataclass(frozen=True, slots=True)
class Fail:
    code: FailureCode
    message: str


Verdict = Retry | Fail


def verdict(error: Exception, attempt: int) -> Verdict:
    """`attempt` counts from 1."""
    if isinstance(error, DocumentError):
        return Fail(FailureCode(error.code), str(error))
    if isinstance(error, PASSING):
        asked = error.retry_after_seconds if isinstance(error, EmbedderUnavailable) else None
        return Retry(max(_wait_seconds(attempt), round(min(asked or 0, LONGEST_ASKED_SECONDS))))
    most = MOST_MISBEHAVIOURS if isinstance(error, EmbedderMisbehaved) else MOST_ATTEMPTS
    if attempt < most:
        return Retry(_wait_seconds(attempt))
    why = str(error) if isinstance(error, IngestError) else type(error).__name__
    return Fail(FailureCode.SERVER_ERROR, f"Given up after {attempt} attempts: {why}")


def passes_by_itself(error: Exception) -> bool:
    """Whether waiting is all that can be done, and no file is to blame."""
    return isinstance(error, PASSING)


def verdict_on_deaths(deaths: int) -> Fail | None:
    """A file under which worker after worker died is not tried for ever."""
    if deaths < MOST_DEATHS:
        return None
    return Fail(
        FailureCode.SERVER_ERROR,
        f"The worker died {deaths} times while it was ingesting this file. It is left alone now; "
        "the worker's log says more. Retry it once the cause is found.",
    )


def _wait_seconds(attempt: int) -> int:
    return int(min(FIRST_WAIT_SECONDS * 2 ** (attempt - 1), LONGEST_WAIT_SECONDS))
