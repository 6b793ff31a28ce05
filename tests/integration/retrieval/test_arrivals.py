"""Waiting for files: each is found soon after it came, whether the system tells of it or the folder is looked at."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.arrivals import Arrivals

LONG_SECONDS = 60.0


@pytest.fixture(params=[True, False], ids=["told", "looked at"])
def arrivals(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Arrivals]:
    opened = Arrivals(str(tmp_path), 0.01, ask_system=request.param)
    yield opened
    opened.close()


def test_no_file_is_missed_however_it_falls_between_looks(arrivals: Arrivals, tmp_path: Path) -> None:
    most = 200

    def bring() -> None:
        for number in range(most):
            unfinished = tmp_path.parent / f"{number}.new"
            unfinished.touch()
            unfinished.rename(tmp_path / str(number))
            time.sleep(number % 5 / 500)

    bringing = threading.Thread(target=bring)
    bringing.start()
    found: set[str] = set()
    until = time.monotonic() + LONG_SECONDS
    while len(found) < most:
        arrivals.forget()
        found |= {path.name for path in tmp_path.iterdir()}
        if len(found) < most:
            arrivals.wait(until)
            assert time.monotonic() < until
    bringing.join()


def test_a_wait_for_nothing_ends(arrivals: Arrivals) -> None:
    for _ in range(3):
        arrivals.forget()
        arrivals.wait(time.monotonic() + 0.01)


def test_what_came_before_the_wait_ends_it(arrivals: Arrivals, tmp_path: Path) -> None:
    arrivals.forget()
    (tmp_path / "one").touch()
    begun = time.monotonic()
    arrivals.wait(begun + LONG_SECONDS)
    assert time.monotonic() < begun + LONG_SECONDS
