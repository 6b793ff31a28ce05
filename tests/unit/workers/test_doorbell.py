"""Ringing: little of it, and never at the caller's cost. The broker is a folder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from retrieval.ids import StoreId
from retrieval.jobs import BULK, INTERACTIVE, CeleryDoorbell, messenger
from tests.support.whole import pause
from workers import spool

STORE, OTHER = StoreId("vs_one"), StoreId("vs_two")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[Celery]:
    made = messenger("", tmp_path)
    yield made
    made.close()


def rings(folder: Path, queue: str) -> int:
    return len(list((folder / "messages").glob(f"*.{queue}.msg")))


def wait_for(folder: Path, queue: str, count: int) -> None:
    for _ in range(1000):
        if rings(folder, queue) == count:
            return
        pause(0.01)
    raise AssertionError(f"{rings(folder, queue)} rings, not {count}")


def test_of_many_rings_in_a_moment_the_first_and_one_after_the_last_are_sent(app: Celery, tmp_path: Path) -> None:
    bell = CeleryDoorbell(app, moment_seconds=0.3)
    for _ in range(200):
        bell.ring(STORE)
    assert rings(tmp_path, INTERACTIVE) == 1
    wait_for(tmp_path, INTERACTIVE, 2)
    assert bell.waiting(INTERACTIVE) == 2


def test_stores_and_lanes_ring_apart(app: Celery, tmp_path: Path) -> None:
    bell = CeleryDoorbell(app, moment_seconds=60)
    for store in (STORE, OTHER):
        bell.ring(store)
        bell.ring(store, bulk=True)
    assert (rings(tmp_path, INTERACTIVE), rings(tmp_path, BULK)) == (2, 2)


def test_a_broker_that_is_away_fails_nobody() -> None:
    app = messenger("redis+socket:///nowhere/at/all", Path("unused"))
    bell = CeleryDoorbell(app, moment_seconds=60)
    bell.ring(STORE)
    assert bell.waiting(INTERACTIVE) == 0
    app.close()


def test_a_full_spool_fails_nobody(app: Celery, tmp_path: Path) -> None:
    (tmp_path / "messages").rmdir()
    CeleryDoorbell(app, moment_seconds=60).ring(STORE)


def test_answered_messages_go_when_they_are_old(tmp_path: Path) -> None:
    for name, age in (("old", 100), ("new", 0)):
        path = tmp_path / name
        path.write_text("{}")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    assert spool.empty(tmp_path) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert spool.empty(tmp_path / "nothing here") == 0
