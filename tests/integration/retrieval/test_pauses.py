"""An embedding service that asks one process for peace gets it from all of them, once."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ingest.embedding import EmbedderConfig, Pause, open_embedder
from ingest.embedding.backoff import SharedBackoff
from retrieval.catalog.transaction import Catalog
from retrieval.ids import new_project_id
from retrieval.pauses import CatalogPauses
from tests.support.upstream import FakeUpstream, refusal


@pytest.fixture
def upstream() -> str:
    return f"http://somewhere {new_project_id()}"


class Process:
    """One of several, by a clock of its own; what it sleeps is written down."""

    def __init__(self, catalog: Catalog, upstream: str) -> None:
        self.now = 0.0
        self.slept = 0.0
        pauses = CatalogPauses(catalog)
        self.backoff = SharedBackoff(
            longest_pause_seconds=30,
            upstream=upstream,
            pauses=pauses,
            clock=lambda: self.now,
            chance=lambda: 0.0,
            pause=self._pause,
        )

    def _pause(self, seconds: float) -> None:
        self.now += seconds
        self.slept += seconds

    def begin(self) -> int:
        epoch = self.backoff.wait(give_up_at=10_000)
        assert epoch is not None
        return epoch


def test_refusals_of_one_moment_are_one_pause_for_all_processes(shared_catalog: Catalog, upstream: str) -> None:
    processes = [Process(shared_catalog, upstream) for _ in range(3)]
    epochs = [one.begin() for one in processes]
    for one, epoch in zip(processes, epochs, strict=True):
        one.backoff.refused(epoch, None)
    known = CatalogPauses(shared_catalog).current(upstream)
    assert known is not None
    assert (known.epoch, known.refusals) == (1, 1)


def test_who_was_refused_nothing_waits_as_long_as_who_was(shared_catalog: Catalog, upstream: str) -> None:
    refused, other = Process(shared_catalog, upstream), Process(shared_catalog, upstream)
    refused.backoff.refused(refused.begin(), 120.0)
    assert other.backoff.wait(give_up_at=60) is None, "it lasts beyond its patience"
    assert other.backoff.seconds_left() > 100


def test_refusals_in_a_row_count_together_until_an_answer(shared_catalog: Catalog, upstream: str) -> None:
    pauses = CatalogPauses(shared_catalog)
    for epoch in range(3):
        assert pauses.begin(upstream, epoch, 0.0, asked=False) == Pause(epoch + 1, epoch + 1, 0)
    one = Process(shared_catalog, upstream)
    one.begin()
    one.backoff.answered()
    assert pauses.current(upstream) == Pause(3, 0, 0)


def test_a_longer_time_that_is_asked_for_is_granted_also_within_a_pause(shared_catalog: Catalog, upstream: str) -> None:
    pauses = CatalogPauses(shared_catalog)
    pauses.begin(upstream, 0, 5, asked=False)
    pauses.begin(upstream, 0, 50, asked=False)
    short = pauses.current(upstream)
    assert short is not None
    assert short.seconds_left <= 5
    long = pauses.begin(upstream, 0, 50, asked=True)
    assert long is not None
    assert long.epoch == 1
    assert long.seconds_left == 50


def test_no_process_comes_back_before_the_time_that_was_asked_for(shared_catalog: Catalog, upstream: str) -> None:
    """A service that asks for one second means one second, at whatever moment of the clock's second it says so."""
    here, there = CatalogPauses(shared_catalog), CatalogPauses(shared_catalog)
    began = time.monotonic()
    here.begin(upstream, 0, 1.0, asked=True)
    for _ in range(8):
        told = there.current(upstream)
        assert told is not None
        assert told.seconds_left >= 1.0 - (time.monotonic() - began) - 0.002  # clocks are read in milliseconds
        time.sleep(0.11)


def test_many_that_begin_a_pause_at_once_begin_one(shared_catalog: Catalog, upstream: str) -> None:
    pauses, together = CatalogPauses(shared_catalog), threading.Barrier(8)

    def begin(_: int) -> Pause | None:
        together.wait(30)
        return pauses.begin(upstream, 0, 3, asked=False)

    with ThreadPoolExecutor(8) as threads:
        assert {found.epoch for found in threads.map(begin, range(8)) if found} == {1}


def test_a_catalog_that_is_away_is_no_reason_to_ask_nobody(catalog: Catalog, upstream: str) -> None:
    catalog.close()
    with catalog.transaction() as tx:  # the pool opens again: only a catalog without its table is away for good
        tx.pauses._connection.exec_driver_sql("DROP TABLE upstream_pauses")
    one = Process(catalog, upstream)
    one.backoff.refused(one.begin(), 4.0)
    one.begin()
    assert one.slept == 4


def test_a_second_embedder_hears_what_the_first_was_told(shared_catalog: Catalog) -> None:
    """Two embedders over one service, as two processes have them."""
    with FakeUpstream() as service:
        config = EmbedderConfig(provider="openai", model="m", width=8, base_url=service.base_url)
        pauses = [CatalogPauses(shared_catalog) for _ in range(2)]
        first, second = (open_embedder(config, one) for one in pauses)
        service.next.append(refusal(429, "slow down", retry_after="2"))
        first.embed(["one"])
        told = pauses[1].current(f"{service.base_url} m")
        assert told is not None
        assert (told.epoch, told.refusals) == (1, 0), "one pause, and an answer after it"
        service.next.append(refusal(429, "slow down", retry_after="100"))
        begun = threading.Event()
        service.script = lambda _: begun.set()
        with ThreadPoolExecutor(1) as thread:
            waiting = thread.submit(first.embed, ["two"])
            while (told := pauses[1].current(f"{service.base_url} m")) is None or not told.seconds_left:
                threading.Event().wait(0.02)
            asked = len(service.asked)
            with pytest.raises(Exception, match="left alone"):
                second.embed(["three"], purpose="query")
            assert len(service.asked) == asked, "the second did not even ask"
            assert not begun.is_set()
            first.close()
            assert waiting.exception(30) is not None
        second.close()
