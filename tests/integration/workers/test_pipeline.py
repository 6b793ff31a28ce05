"""What one task does with what waits in a store: real catalog, disk and children; an embedder that is watched."""

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.errors import EmbedderMisbehaved, EmbedderUnavailable
from retrieval.catalog.rows import FailureCode, FileStatus, Trouble
from retrieval.errors import StorageFull
from retrieval.ids import new_lease_token
from tests.support.workshop import Workshop, open_workshop
from workers.pipeline import MOST_MISBEHAVING, index_waiting
from workers.resources import ClaimSize
from workers.verdicts import LONGEST_MISBEHAVIOUR_SECONDS, MOST_DEATHS, Fail, Retry, verdict_on

DONE, FAILED, WAITING, CANCELLED = (
    FileStatus.COMPLETED,
    FileStatus.FAILED,
    FileStatus.IN_PROGRESS,
    FileStatus.CANCELLED,
)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Workshop]:
    with open_workshop(tmp_path) as opened:
        yield opened


def pages(count: int) -> list[bytes]:
    return [f"This is page number {number} of the book.".encode() for number in range(count)]


def test_what_waits_becomes_searchable_in_one_segment(shop: Workshop) -> None:
    store = shop.new_store()
    files = shop.attach(store, pages(5))
    assert index_waiting(store, shop.resources) == 5
    assert shop.statuses(store, files) == [DONE] * 5
    assert len(shop.segments(store)) == 1
    assert shop.live_rows(store) == 5
    assert index_waiting(store, shop.resources) == 0


def test_calls_are_filled_across_files_and_claims(shop: Workshop) -> None:
    store = shop.new_store()
    files = shop.attach(store, pages(50))
    size = ClaimSize(files=4, call_chunks=10, segment_chunks=20)
    assert index_waiting(store, shop.resources, size) == 50
    assert shop.embedder.calls == [10] * 5
    assert len(shop.segments(store)) == 3
    assert shop.statuses(store, files) == [DONE] * 50


def test_a_document_of_many_calls_is_published_whole(shop: Workshop) -> None:
    store = shop.new_store()
    text = "\n\n".join(f"# Part {n}\n\n" + f"Sentence {n} of a long book. " * 60 for n in range(40))
    [file] = shop.attach(store, [text.encode()], "book.md")
    index_waiting(store, shop.resources, ClaimSize(call_chunks=4, segment_chunks=4))
    assert len(shop.embedder.calls) > 5
    assert shop.statuses(store, [file]) == [DONE]
    assert len(shop.segments(store)) == 1
    assert shop.live_rows(store) == sum(shop.embedder.calls)


def test_no_call_holds_much_of_a_document_that_fills_several(shop: Workshop) -> None:
    """Issue 5: whoever is killed in a call has it embedded again; of a long document that is to be little."""
    store = shop.new_store()
    text = "\n\n".join(f"# Part {n}\n\n" + f"Sentence {n} of a long book. " * 60 for n in range(40))
    files = shop.attach(store, [text.encode(), b"# A page\n\nof its own"], "book.md")
    index_waiting(store, shop.resources, ClaimSize(call_chunks=24))
    assert shop.statuses(store, files) == [DONE] * 2
    chunks = sum(shop.embedder.calls)
    assert chunks > 24 * 1.5
    assert max(shop.embedder.calls) <= 13, "half a call of the book, and the page"


def test_a_document_that_cannot_be_read_fails_alone(shop: Workshop) -> None:
    store = shop.new_store()
    bad, good = *shop.attach(store, [b"%PDF-1.7 but no more"], "a.pdf"), *shop.attach(store, pages(1))
    index_waiting(store, shop.resources)
    assert shop.statuses(store, [bad, good]) == [FAILED, DONE]
    error = shop.row(store, bad).last_error
    assert error is not None
    assert error.code in {FailureCode.INVALID_FILE, FailureCode.UNSUPPORTED_FILE}


def test_a_text_that_the_model_cannot_bear_costs_its_own_file_only(shop: Workshop) -> None:
    def refuse(texts: Sequence[str]) -> None:
        if any("number 3 " in text for text in texts):
            raise EmbedderMisbehaved("no vector for this")

    shop.embedder.before = refuse
    store = shop.new_store()
    files = shop.attach(store, pages(6))
    index_waiting(store, shop.resources)
    assert shop.statuses(store, files) == [DONE, DONE, DONE, WAITING, DONE, DONE]


def test_an_embedder_that_answers_nonsense_delays_and_loses_nothing(shop: Workshop) -> None:
    asked = []

    def nonsense(texts: Sequence[str]) -> None:
        asked.append(len(texts))
        raise EmbedderMisbehaved("9 dimensions where 8 were expected")

    shop.embedder.before = nonsense
    store = shop.new_store()
    files = shop.attach(store, pages(40))
    index_waiting(store, shop.resources)
    assert shop.statuses(store, files) == [WAITING] * 40
    assert asked == [40] + [1] * MOST_MISBEHAVING, "not one call for each file"
    with shop.catalog.reading() as tx:
        [put_off] = tx.progress.of_store(shop.project, store, shop.catalog.now()).put_off
        assert tx.progress.put_off() == (put_off,)
    assert (put_off.trouble, put_off.files) == (Trouble.EMBEDDER_MISBEHAVED, 40)
    assert put_off.message == "9 dimensions where 8 were expected"
    with shop.catalog.transaction() as tx:
        [claim, *_] = tx.claims.claim(
            store, most=1, most_bytes=1, token=new_lease_token(), now=shop.catalog.now() + 9, lease_seconds=9
        )
    assert claim.put_off is not None
    later = claim.put_off.since + LONGEST_MISBEHAVIOUR_SECONDS
    assert isinstance(verdict_on(claim, EmbedderMisbehaved("NaN"), later - 1), Retry)
    assert isinstance(verdict_on(claim, EmbedderMisbehaved("NaN"), later), Fail)
    assert isinstance(verdict_on(claim, EmbedderUnavailable("away"), later), Retry)


def test_an_embedder_that_is_away_puts_all_off_and_blames_nobody(shop: Workshop) -> None:
    def away(_: Sequence[str]) -> None:
        raise EmbedderUnavailable("slow down", retry_after_seconds=40)

    shop.embedder.before = away
    store = shop.new_store()
    files = shop.attach(store, pages(4))
    index_waiting(store, shop.resources)
    assert shop.statuses(store, files) == [WAITING] * 4
    assert shop.embedder.calls == []
    with shop.catalog.transaction() as tx:
        claim = {"most": 10, "most_bytes": 1 << 20, "token": new_lease_token(), "lease_seconds": 9}
        assert not tx.claims.claim(store, now=shop.catalog.now() + 30, **claim)  # type: ignore[arg-type]  # of several types
        assert len(tx.claims.claim(store, now=shop.catalog.now() + 41, **claim)) == 4  # type: ignore[arg-type]  # of several types


def test_a_full_disk_puts_off_and_leaves_nothing(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    store = shop.new_store()
    files = shop.attach(store, pages(3))

    def full(*_: object, **__: object) -> None:
        raise StorageFull("no room")

    with monkeypatch.context() as patch:
        patch.setattr("workers.pipeline.write_segment", full)
        index_waiting(store, shop.resources)
    assert shop.statuses(store, files) == [WAITING] * 3
    assert shop.segments(store) == []


def test_a_store_deleted_in_the_middle_leaves_no_file(shop: Workshop) -> None:
    store = shop.new_store()
    shop.attach(store, pages(3))

    def delete(_: Sequence[str]) -> None:
        with shop.catalog.transaction() as tx:
            tx.stores.delete(shop.project, store, shop.catalog.now())

    shop.embedder.before = delete
    index_waiting(store, shop.resources)
    assert shop.segments(store) == []


def test_files_cancelled_and_deleted_in_the_middle_are_not_found(shop: Workshop) -> None:
    store = shop.new_store()
    files = shop.attach(store, pages(3))

    def interfere(_: Sequence[str]) -> None:
        with shop.catalog.transaction() as tx:
            tx.store_files.cancel(shop.project, store, files[0], shop.catalog.now())
            tx.store_files.delete(shop.project, store, files[1], shop.catalog.now())

    shop.embedder.before = interfere
    index_waiting(store, shop.resources)
    assert shop.statuses(store, [files[0], files[2]]) == [CANCELLED, DONE]
    with shop.catalog.reading() as tx:
        living = [one.file_id for one in tx.manifests.read(store).documents]
    assert living == [files[2]]


def test_work_on_a_file_ends_soon_after_its_cancellation(shop: Workshop) -> None:
    """A lease of three seconds is renewed each second; from then on no call is made for the file."""
    store = shop.new_store()
    text = "\n\n".join(f"# Part {n}\n\n" + f"Sentence {n} of a long book. " * 60 for n in range(40))
    [file] = shop.attach(store, [text.encode()], "book.md")

    def cancel(_: Sequence[str]) -> None:
        if not shop.embedder.calls:
            with shop.catalog.transaction() as tx:
                tx.store_files.cancel(shop.project, store, file, shop.catalog.now())
            threading.Event().wait(2)

    shop.embedder.before = cancel
    index_waiting(store, shop.resources, ClaimSize(lease_seconds=3, call_chunks=2))
    assert len(shop.embedder.calls) == 1


def test_a_worker_that_is_to_end_gives_back_what_it_has_not_done(shop: Workshop) -> None:
    store = shop.new_store()
    files = shop.attach(store, pages(6))

    def stop(_: Sequence[str]) -> None:
        shop.stop.set()

    shop.embedder.before = stop
    index_waiting(store, shop.resources, ClaimSize(call_chunks=2))
    assert sorted(shop.statuses(store, files)) == sorted([DONE] * 2 + [WAITING] * 4)
    shop.stop.clear()
    shop.embedder.before = None
    assert index_waiting(store, shop.resources) == 4, "they come together: nobody died over them"
    assert shop.statuses(store, files) == [DONE] * 6


def test_a_worker_that_cannot_end_gives_back_what_it_holds_before_it_is_killed(shop: Workshop) -> None:
    """As one whose embedding service keeps it waiting. It is not killed here, and comes back too late."""
    store, held = shop.new_store(), threading.Event()
    files = shop.attach(store, pages(3))

    def hang(_: Sequence[str]) -> None:
        shop.stop.set()
        until = time.monotonic() + 60
        while not held.is_set() and time.monotonic() < until:
            with shop.catalog.reading() as tx:
                if tx.claims.any_waiting(store, now=shop.catalog.now()):
                    held.set()
            time.sleep(0.05)
        assert held.is_set(), "the claims were kept"

    shop.embedder.before = hang
    index_waiting(store, shop.resources, ClaimSize(lease_seconds=300))
    assert shop.statuses(store, files) == [WAITING] * 3
    with shop.catalog.transaction() as tx:
        again = tx.claims.claim(
            store, most=9, most_bytes=1 << 20, token=new_lease_token(), now=shop.catalog.now(), lease_seconds=9
        )
    assert [(claim.attempt, claim.deaths) for claim in again] == [(1, 0)] * 3


def test_a_taken_over_claim_publishes_nothing(shop: Workshop) -> None:
    store = shop.new_store()
    files = shop.attach(store, pages(2))

    def take_over(_: Sequence[str]) -> None:
        shop.embedder.before = None
        with shop.catalog.transaction() as tx:
            later = shop.catalog.now() + 1000
            token = new_lease_token()
            tx.claims.claim(store, most=1, most_bytes=1, token=token, now=later, lease_seconds=60)
            tx.claims.claim(store, most=1, most_bytes=1, token=token, now=later, lease_seconds=60)

    shop.embedder.before = take_over
    index_waiting(store, shop.resources)
    assert shop.statuses(store, files) == [WAITING] * 2
    assert shop.segments(store) == []


def test_a_file_that_kills_its_workers_fails_in_the_end(shop: Workshop) -> None:
    store = shop.new_store()
    [file] = shop.attach(store, pages(1))
    now = shop.catalog.now() - 1000
    for death in range(MOST_DEATHS):
        with shop.catalog.transaction() as tx:
            tx.claims.claim(store, most=1, most_bytes=1, token=new_lease_token(), now=now + 2 * death, lease_seconds=1)
    index_waiting(store, shop.resources)
    assert shop.statuses(store, [file]) == [FAILED]
    error = shop.row(store, file).last_error
    assert error is not None
    assert "died" in error.message


def test_large_files_are_left_to_the_other_lane(shop: Workshop) -> None:
    store = shop.new_store()
    large, small = *shop.attach(store, [b"word " * 1000]), *shop.attach(store, pages(1))
    narrow = replace(ClaimSize(), largest_bytes=1000, fill=False)
    assert index_waiting(store, shop.resources, narrow) == 1
    assert shop.statuses(store, [large, small]) == [WAITING, DONE]
    with shop.catalog.reading() as tx:
        assert tx.claims.any_waiting(store, now=shop.catalog.now())
    assert index_waiting(store, shop.resources) == 1


def test_the_next_claim_is_read_while_one_is_embedded(shop: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    store, claimed = shop.new_store(), list[int]()
    shop.attach(store, pages(40))
    shop.embedder.before = lambda _: claimed.append(sum(files for event, files in told(caplog) if event == "claimed"))
    with caplog.at_level(logging.INFO, "carrel.pipeline"):
        assert index_waiting(store, shop.resources, ClaimSize(files=10, call_chunks=10, segment_chunks=10)) == 40
    assert claimed[0] > 10
    assert shop.live_rows(store) == 40


def test_a_suspect_is_read_once_nothing_else_is_in_hand(shop: Workshop, caplog: pytest.LogCaptureFixture) -> None:
    store, now = shop.new_store(), shop.catalog.now() - 100
    files = [*shop.attach(store, pages(10)), *shop.attach(store, [b"small"])]
    for death in range(2):
        with shop.catalog.transaction() as tx:
            dead = tx.claims.claim(
                store,
                most=9,
                most_bytes=9,
                token=new_lease_token(),
                now=now + 2 * death,
                lease_seconds=1,
                largest_bytes=9,
            )
        assert [claim.file_id for claim in dead] == files[-1:]
    with caplog.at_level(logging.INFO, "carrel.pipeline"):
        assert index_waiting(store, shop.resources, ClaimSize(files=10, call_chunks=100)) == 11
    assert shop.statuses(store, files) == [DONE] * 11
    ten = [("claimed", 10), ("parsed", 10), ("claimed", 1), ("embedded", 10), ("published", 10)]
    assert told(caplog) == [*ten, ("parsed", 1), ("embedded", 1), ("published", 1)]


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, int]]:
    return [(record.message, vars(record)["files"]) for record in caplog.records if record.name == "carrel.pipeline"]
