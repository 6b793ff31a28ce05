"""How many threads search at once: as many as there are cores.

More would not be quicker but slower: a thread that has the interpreter's lock and no core keeps all others waiting.
A search that finds a core free uses it for a part of its own work.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import TypeVar

Result = TypeVar("Result")


class Turns:
    """Enter to wait for a turn."""

    def __init__(self, most: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()  # waits and wakes without taking the interpreter's lock
        for _ in range(max(most, 1)):
            self._free.put(None)
        self._helpers = ThreadPoolExecutor(max(most, 1), thread_name_prefix="searching-beside")  # started when needed

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

    def beside(self, act: Callable[[], Result]) -> Callable[[], Result]:
        """For whoever has a turn: `act` begins now on a core that nobody uses, or runs when its result is asked for."""
        try:
            self._free.get_nowait()
        except Empty:
            return act

        def act_and_give_back() -> Result:
            try:
                return act()
            finally:
                self._free.put(None)

        return self._helpers.submit(act_and_give_back).result
