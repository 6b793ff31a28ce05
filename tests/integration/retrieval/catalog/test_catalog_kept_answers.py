"""Kept answers under concurrency, over both databases: of twins one works, and the other reads what it answered."""

import threading

from retrieval.catalog.kept_answers import KeptAnswer
from retrieval.catalog.transaction import Catalog
from tests.support.catalogs import World


class Failed(Exception):
    pass


def test_a_twin_waits_and_reads_the_answer(catalog: Catalog) -> None:
    world, begun, seen = World(catalog), threading.Event(), list[KeptAnswer | None]()

    def second() -> None:
        begun.wait(10)
        with catalog.transaction() as tx:
            seen.append(tx.kept_answers.begin(world.project, "k", "f", world.now))

    twin = threading.Thread(target=second)
    twin.start()
    with catalog.transaction() as tx:
        assert tx.kept_answers.begin(world.project, "k", "f", world.now) is None
        begun.set()
        twin.join(0.3)
        assert not seen, "it waits for the commit"
        tx.kept_answers.keep(world.project, "k", "{}")
    twin.join(10)
    assert seen == [KeptAnswer("f", "{}")]


def test_where_the_first_fails_the_twin_does_the_work(catalog: Catalog) -> None:
    world, begun, seen = World(catalog), threading.Event(), list[KeptAnswer | None]()

    def second() -> None:
        begun.wait(10)
        with catalog.transaction() as tx:
            seen.append(tx.kept_answers.begin(world.project, "k", "f", world.now))

    twin = threading.Thread(target=second)
    twin.start()
    try:
        with catalog.transaction() as tx:
            tx.kept_answers.begin(world.project, "k", "f", world.now)
            begun.set()
            twin.join(0.2)
            raise Failed
    except Failed:
        pass
    twin.join(10)
    assert seen == [None]
