"""Threads for short calls of one event loop.

An executor's calls can be waited for by any thread, and its threads wait on one queue: each call pays for locks and a
second future, and wakes one thread too many, which takes the interpreter's lock from the one that works. Here the loop
alone hands out calls, each to the thread that was idle last, whose memory is still in the processor's caches.
"""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue

from starlette.responses import Response

from retrieval.api.errors import answered

Answer = Response | None
Act = Callable[[], Answer]


class Threads:
    """To be made, asked and closed in the loop's own thread. At most `most` are started, each when none is idle."""

    def __init__(self, most: int, name: str) -> None:
        self._name = name
        self._room = asyncio.Semaphore(most)
        self._all: list[_Thread] = []
        self._idle: list[_Thread] = []

    async def answer(self, act: Act) -> Answer:
        """What `act` answers, or what its failure is answered with."""
        async with self._room:
            thread = self._idle.pop() if self._idle else self._another()
            try:
                return await thread.answer(act)
            finally:
                self._idle.append(thread)

    def close(self) -> None:
        """Once what has been asked is answered."""
        for thread in self._all:
            thread.close()

    def _another(self) -> "_Thread":
        self._all.append(_Thread(f"{self._name} {len(self._all) + 1}"))
        return self._all[-1]


class _Thread:
    def __init__(self, name: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[tuple[Act, asyncio.Future[Answer]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def answer(self, act: Act) -> Answer:
        told: asyncio.Future[Answer] = self._loop.create_future()
        self._calls.put((act, told))
        return await told

    def close(self) -> None:
        self._calls.put(None)
        self._thread.join()

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            act, told = call
            self._loop.call_soon_threadsafe(_tell, told, answered(act))


def _tell(told: asyncio.Future[Answer], answer: Answer) -> None:
    if not told.done():  # else nobody waits any more
        told.set_result(answer)
