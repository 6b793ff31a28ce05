"""How many threads search at once: as many as there are cores.

More would not be quicker but slower: a thread that has the interpreter's lock and no core keeps all others waiting.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import TracebackType


class Turns:
    """Enter to wait for a turn."""

    def __init__(self, most: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()  # waits and wakes without taking the interpreter's lock
        for _ in range(max(most, 1)):
            self._free.put(None)

    def __enter__(self) -> None:
        self._free.get()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._free.put(None)

    @contextmanager
    def given_away(self) -> Iterator[None]:
        """For whoever has a turn and waits for something slow: others compute meanwhile."""
        self._free.put(None)
        try:
            yield
        finally:
            self._free.get()
