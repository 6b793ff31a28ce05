"""`retention` in a store's metadata: another way to say how long the store is kept after its last use.

    metadata={"retention": "30d"}   is   expires_after={"anchor": "last_active_at", "days": 30}

It counts from the store's last use and takes the store as a whole. It never takes single files by their age: a
store that is refreshed every night would lose just those documents that did not change. Whatever cannot be kept as
it is said is refused, for nobody notices a promise to delete that was not understood.
"""

import re
from collections.abc import Mapping
from typing import Final

from retrieval.errors import InvalidInput

RETENTION: Final = "retention"
MOST_DAYS: Final = 365

_DAYS: Final = re.compile(r"([1-9]\d{0,2})d\Z")


def retention_days(metadata: Mapping[str, str]) -> int | None:
    """How many days the metadata ask for; None if they say nothing of it."""
    said = metadata.get(RETENTION)
    if said is None:
        return None
    found = _DAYS.match(said)
    if found is None or int(found[1]) > MOST_DAYS:
        raise InvalidInput(
            f"'metadata.{RETENTION}' says for how many days a store is kept unused: from '1d' to '{MOST_DAYS}d'.",
            param=f"metadata.{RETENTION}",
            code="invalid_value",
        )
    return int(found[1])


def agreed_days(metadata: Mapping[str, str], expires_days: int | None) -> int | None:
    """The policy of both, who must not contradict each other."""
    days = retention_days(metadata)
    if days is not None and expires_days is not None and days != expires_days:
        raise InvalidInput(
            f"'metadata.{RETENTION}' says {days} days and 'expires_after' {expires_days}: give one of them.",
            param="expires_after",
            code="invalid_value",
        )
    return days if expires_days is None else expires_days
