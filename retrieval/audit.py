"""The audit log: one line for each object that is deleted by a rule and not by its owner's own call.

A line says what went, whose it was and by which rule: ids and numbers, never names, text or attributes. Lines are
written after the commit that they tell of, on the logger `carrel.audit`.
"""

import logging
from typing import Final, Literal

log = logging.getLogger("carrel.audit")

Reason = Literal["expires_after", "filter"]

FILE_PURGED: Final = "file purged"
STORE_PURGED: Final = "vector store purged"
FILE_DETACHED: Final = "file detached"


def purged(event: str, reason: Reason, *, project: str, **ids: str | int | None) -> None:
    """`event` is one of the constants above; `ids` name what went and what it hung on."""
    log.info(event, extra={"audit": True, "reason": reason, "project": project, **ids})
