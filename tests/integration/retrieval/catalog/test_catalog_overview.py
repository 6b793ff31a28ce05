"""The installation in numbers, who works in it, and what it has used; over both databases."""

import pytest

from retrieval.api.metrics import Totals
from retrieval.catalog.account_rows import UsageRow
from retrieval.catalog.presence import LIVE_SECONDS
from retrieval.catalog.transaction import Catalog
from retrieval.errors import CatalogUnavailable
from retrieval.ledger import DAY_SECONDS, Ledger
from tests.support.catalogs import World


@pytest.fixture
def world(catalog: Catalog) -> World:
    return World(catalog)


def overview(world: World, after: int = 0):  # type: ignore[no-untyped-def]
    with world.catalog.reading() as tx:
        return tx.overviews.read(world.now + after)


def test_an_empty_catalog_has_an_overview(world: World) -> None:
    found = overview(world)
    assert (found.projects, found.stores, found.waiting, found.held, found.oldest_wait_seconds) == (1, 1, 0, 0, 0)


def test_files_are_seen_waiting_held_and_done(world: World) -> None:
    world.attach_new(3)
    assert (overview(world, 7).waiting, overview(world, 7).oldest_wait_seconds) == (3, 7)
    claims = world.claim()
    assert (overview(world).waiting, overview(world).held, overview(world).oldest_wait_seconds) == (0, 3, 0)
    assert overview(world, 10_000).waiting == 3, "whose lease has run out waits"
    world.publish(claims)
    done = overview(world)
    assert (done.files["completed"], done.segments, done.held) == (3, 1, 0)
    assert done.generations > 0
    assert done.file_bytes == 30


def test_a_worker_counts_while_it_is_heard_of(world: World) -> None:
    with world.catalog.transaction() as tx:
        tx.presence.beat("one", world.now)
        tx.presence.beat("two", world.now)
        tx.presence.beat("one", world.now + 20)
        assert tx.presence.live(world.now + 20) == 2
        assert tx.presence.live(world.now + LIVE_SECONDS) == 1
        tx.presence.leave("one")
        assert tx.presence.live(world.now + 20) == 1
        tx.presence.beat("three", world.now + 4000)
        assert tx.presence.live(world.now) == 1, "two is forgotten"


def test_the_ledger_keeps_what_it_cannot_write(world: World) -> None:
    class Away(Catalog):
        away = True

        def now(self) -> int:
            if self.away:
                raise CatalogUnavailable("away")
            return world.now

    catalog = Away(world.catalog._database)
    ledger, day = Ledger(catalog), world.now // DAY_SECONDS
    ledger.add(world.project, None, "searches", 2)
    ledger.write()
    ledger.add(world.project, None, "searches", 3)
    catalog.away = False
    ledger.write()
    ledger.write()
    with world.catalog.reading() as tx:
        assert tx.usage.of(world.project, day, day) == (UsageRow(world.project, None, day, "searches", 5),)


def test_totals_never_fall_and_see_late_writers_of_yesterday(world: World) -> None:
    day, totals = 20_000, Totals(world.catalog)

    def add(on: int, quantity: int) -> None:
        with world.catalog.transaction() as tx:
            tx.usage.add([UsageRow(world.project, None, on, "searches", quantity)])

    def read(on: int) -> int:
        return totals.read(on * DAY_SECONDS)["searches"]

    add(day - 9, 1)
    add(day, 2)
    assert read(day) == 3
    add(day, 4)
    assert read(day) == 7
    assert read(day + 1) == 7
    add(day, 8)
    add(day + 1, 16)
    assert read(day + 1) == 31
    assert read(day + 5) == 31
    assert Totals(world.catalog).read((day + 5) * DAY_SECONDS) == {"searches": 31}
