"""The sweeper rings for what nobody holds, and for no more than can be answered."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from retrieval.ids import StoreId, new_lease_token
from retrieval.jobs import BULK
from tests.support.workshop import Workshop, open_workshop
from workers import ringing
from workers.ringing import SHALLOW, ring_for_waiting


class Bell:
    def __init__(self, waiting: int = 0) -> None:
        self.rung: list[tuple[StoreId, bool]] = []
        self._waiting = waiting

    def ring(self, store: StoreId, *, bulk: bool = False) -> None:
        self.rung.append((store, bulk))

    def ring_for_imports(self) -> None:
        raise AssertionError("no import waits")

    def waiting(self, queue: str) -> int:
        return self._waiting if queue == BULK else 0


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workshop]:
    monkeypatch.setattr(ringing, "UNTOUCHED_SECONDS", 0)
    with open_workshop(tmp_path) as opened:
        yield opened


def test_each_store_is_rung_for_in_its_lane(shop: Workshop) -> None:
    one, many, empty = shop.new_store(), shop.new_store(), shop.new_store()
    shop.attach(one, [b"a"])
    shop.attach(many, [b"a", b"b"])
    bell = Bell()
    assert ring_for_waiting(shop.resources, bell) == 2
    assert sorted(bell.rung) == sorted([(one, False), (many, True)])
    assert empty not in dict(bell.rung)


@pytest.mark.parametrize(("claimed_before_seconds", "rung"), [(0, 0), (100, 1)])
def test_what_somebody_holds_is_rung_for_when_the_lease_is_over(
    shop: Workshop, claimed_before_seconds: int, rung: int
) -> None:
    store = shop.new_store()
    shop.attach(store, [b"a"])
    with shop.catalog.transaction() as tx:
        now = shop.catalog.now() - claimed_before_seconds
        tx.claims.claim(store, most=1, most_bytes=1, token=new_lease_token(), now=now, lease_seconds=60)
    assert ring_for_waiting(shop.resources, Bell()) == rung


def test_nobody_rings_into_a_full_queue(shop: Workshop) -> None:
    one, many = shop.new_store(), shop.new_store()
    shop.attach(one, [b"a"])
    shop.attach(many, [b"a", b"b"])
    bell = Bell(waiting=SHALLOW + 1)
    assert ring_for_waiting(shop.resources, bell) == 1
    assert bell.rung == [(one, False)]
