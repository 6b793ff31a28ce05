"""What follows from a failure: try again later, or give up and say why. Pure.

A document that is to blame fails at once. Our own troubles are retried, ever more slowly; those that pass by
themselves (no disk, no database, a slow upstream) for as long as they last, answers of an embedder that are no
vectors for a day, the others a few times.
"""

from dataclasses import dataclass, replace
from typing import Final

from ingest.errors import (
    ChildrenBusy,
    DocumentError,
    EmbedderMisbehaved,
    EmbedderUnavailable,
    IngestError,
    ModelMissing,
    TextRefused,
)
from retrieval.catalog.rows import Claim, FailureCode, Trouble
from retrieval.errors import CatalogError, StorageFull, StorageUnavailable

MOST_ATTEMPTS: Final = 5  # for troubles that should not happen at all
MOST_DEATHS: Final = 12  # claims that ended with their worker: more than chance lets fall on one file of thousands
FIRST_WAIT_SECONDS: Final = 1
LONGEST_WAIT_SECONDS: Final = 60
LONGEST_MISBEHAVIOUR_SECONDS: Final = 86_400  # somebody has looked at it by then; a text may be to blame after all
LONGEST_ASKED_SECONDS: Final = 600  # an upstream's slip of the pen must not put a file off for a year

PASSING: Final = (ChildrenBusy, EmbedderUnavailable, ModelMissing, StorageFull, StorageUnavailable, CatalogError)
TROUBLES: Final = {
    ChildrenBusy: Trouble.WORKERS_BUSY,
    EmbedderUnavailable: Trouble.EMBEDDER_UNAVAILABLE,
    EmbedderMisbehaved: Trouble.EMBEDDER_MISBEHAVED,
    ModelMissing: Trouble.MODEL_MISSING,
    StorageFull: Trouble.STORAGE_UNAVAILABLE,
    StorageUnavailable: Trouble.STORAGE_UNAVAILABLE,
    CatalogError: Trouble.CATALOG_UNAVAILABLE,
}


@dataclass(frozen=True, slots=True)
class Retry:
    after_seconds: int
    trouble: Trouble = Trouble.SERVER_ERROR
    message: str = ""


@dataclass(frozen=True, slots=True)
class Fail:
    code: FailureCode
    message: str


Verdict = Retry | Fail


def verdict_on(claim: Claim, error: Exception, now: int) -> Verdict:
    before = claim.put_off
    waited = now - before.since if before is not None and before.trouble is trouble_of(error) else 0
    return verdict(error, claim.attempt, waited)


def verdict(error: Exception, attempt: int, waited_seconds: int = 0) -> Verdict:
    """`attempt` counts from 1; `waited_seconds`: how long this trouble, and no other, has lasted."""
    if isinstance(error, DocumentError):
        return Fail(FailureCode(error.code), str(error))
    why = str(error) if isinstance(error, IngestError) else type(error).__name__
    later = Retry(_wait_seconds(attempt), trouble_of(error), why)
    if isinstance(error, PASSING):
        asked = error.retry_after_seconds if isinstance(error, EmbedderUnavailable) else None
        return replace(later, after_seconds=max(later.after_seconds, round(min(asked or 0, LONGEST_ASKED_SECONDS))))
    if misbehaves(error):
        if waited_seconds < LONGEST_MISBEHAVIOUR_SECONDS:
            return later
        return Fail(FailureCode.SERVER_ERROR, f"Given up after {waited_seconds // 3600} hours: {why}")
    if attempt < MOST_ATTEMPTS:
        return later
    return Fail(FailureCode.SERVER_ERROR, f"Given up after {attempt} attempts: {why}")


def trouble_of(error: Exception) -> Trouble:
    return next((TROUBLES[kind] for kind in type(error).__mro__ if kind in TROUBLES), Trouble.SERVER_ERROR)


def misbehaves(error: Exception | None) -> bool:
    """Whether the embedder answered nonsense: its own fault most likely, perhaps that of one text."""
    return isinstance(error, EmbedderMisbehaved) and not isinstance(error, TextRefused)


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
