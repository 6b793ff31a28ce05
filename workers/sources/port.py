"""The port behind which sources lie: list cheaply, read one item, say honestly what could not be seen.

What a lister does not mention is gone. So whatever it could not look at, it must report as trouble.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from retrieval.catalog.source_rows import Stamp


class SourceUnavailable(Exception):
    """The source as a whole cannot be listed: nothing is known of any item. Its sentence is for the report."""


class ItemChanged(Exception):
    """The item changed while it was read, or since it was listed: what was read is neither its old nor its new form."""


class ItemUnreadable(Exception):
    """The item is there and cannot be read now. Its sentence is for the report."""


@dataclass(frozen=True, slots=True)
class Listed:
    key: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class Trouble:
    """An item that may or may not be there, or, with `below`, everything below a folder."""

    key: str
    reason: str
    below: bool = False

    def covers(self, key: str) -> bool:
        return key == self.key or (self.below and (not self.key or key.startswith(f"{self.key}/")))


class Lister(Protocol):
    def items(self) -> Iterator[Listed | Trouble]:
        """Raises SourceUnavailable."""
        ...

    def read(self, item: Listed) -> Iterator[bytes]:
        """The item's bytes, all of the state that was listed. Raises ItemChanged, ItemUnreadable. Safe for threads."""
        ...

    def look(self, key: str) -> Listed | None:
        """One item as it is now; None if it has gone or cannot be looked at."""
        ...

    def close(self) -> None: ...
