"""Threads of a loop: each call to one that is idle, no more at once than there may be, every failure answered."""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import Final

from starlette.responses import Response

from retrieval.api.threads import Threads
from retrieval.errors import NotFound

SECONDS: Final = 10.0  # until a test that hangs has failed


def driven(program: Callable[[Threads], Awaitable[None]], *, most: int = 2) -> None:
    """Run the program in a loop of its own, with threads of that loop."""

    async def run() -> None:
        with closing(Threads(most, "test")) as threads:
            await asyncio.wait_for(program(threads), SECONDS)

    asyncio.run(run())


def named() -> Response:
    return Response(threading.current_thread().name)


def body_of(answer: Response | None) -> str:
    assert answer is not None
    return bytes(answer.body).decode()


def test_calls_one_after_another_are_answered_by_one_thread_that_is_not_the_loops() -> None:
    async def program(threads: Threads) -> None:
        assert {body_of(await threads.answer(named)) for _ in range(20)} == {"test 1"}
        assert await threads.answer(lambda: None) is None

    driven(program, most=40)


def test_as_many_calls_as_there_may_be_are_under_way_at_once_and_others_wait_for_them() -> None:
    started, ending = threading.Semaphore(0), threading.Event()
    under_way, most_seen, guard = 0, 0, threading.Lock()

    def wait() -> Response:
        nonlocal under_way, most_seen
        with guard:
            under_way += 1
            most_seen = max(most_seen, under_way)
        started.release()
        assert ending.wait(SECONDS)
        with guard:
            under_way -= 1
        return named()

    async def program(threads: Threads) -> None:
        waiting = [asyncio.ensure_future(threads.answer(wait)) for _ in range(5)]
        await asyncio.sleep(0)  # each of them is asked now
        assert all(started.acquire(timeout=SECONDS) for _ in range(2))
        ending.set()
        assert {body_of(await answer) for answer in waiting} == {"test 1", "test 2"}

    driven(program)
    assert most_seen == 2


def test_what_fails_is_answered_as_the_table_says_and_the_thread_goes_on() -> None:
    def missing() -> Response:
        raise NotFound("No such VectorStore object: vs_1")

    def broken() -> Response:
        raise ZeroDivisionError("of the inside")

    async def program(threads: Threads) -> None:
        for act, status, sentence in ((missing, 404, "No such VectorStore"), (broken, 500, "The server failed.")):
            answer = await threads.answer(act)
            assert answer is not None
            assert answer.status_code == status
            assert json.loads(body_of(answer))["error"]["message"].startswith(sentence)
        assert body_of(await threads.answer(named)) == "test 1"

    driven(program)


def test_who_no_longer_waits_leaves_the_thread_to_the_next() -> None:
    started, ending = threading.Event(), threading.Event()

    def wait() -> Response:
        started.set()
        assert ending.wait(SECONDS)
        return named()

    async def program(threads: Threads) -> None:
        leaving = asyncio.ensure_future(threads.answer(wait))
        await asyncio.sleep(0)
        assert started.wait(SECONDS)
        leaving.cancel()
        with suppress(asyncio.CancelledError):
            await leaving
        ending.set()
        assert body_of(await threads.answer(named)) == "test 1"

    driven(program, most=1)
