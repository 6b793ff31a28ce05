"""Leases: who may work on a file, for how long, and what happens when a worker dies."""

import pytest

from retrieval.catalog.claims import SUSPECTS_TOGETHER
from retrieval.catalog.rows import Failure, FailureCode, FileCounts, FileStatus
from retrieval.catalog.transaction import Catalog
from retrieval.ids import StoreId, new_lease_token
from tests.support.catalogs import LEASE_SECONDS, World


@pytest.fixture
def world(shared_catalog: Catalog) -> World:
    return World(shared_catalog)


def test_claims_take_the_oldest_first_and_each_file_once(world: World) -> None:
    files = world.attach_new(5)
    assert [claim.file_id for claim in world.claim(2)] == files[:2]
    assert [claim.file_id for claim in world.claim(2)] == files[2:4]
    assert [claim.file_id for claim in world.claim(2)] == files[4:]
    assert world.claim(2) == []


def test_a_claim_brings_everything_a_worker_needs(world: World) -> None:
    file = world.file("report.pdf", size=123)
    world.attach(file)
    token = new_lease_token()
    (claim,) = world.claim(token=token)
    row = world.file_row(file)
    assert (claim.filename, claim.bytes, claim.blob, claim.media_type) == (row.filename, 123, row.blob, row.media_type)
    assert (claim.token, claim.attempt, claim.deaths) == (token, 1, 0)
    assert claim.leased_until == world.now + LEASE_SECONDS
    assert claim.project_id == world.project
    assert claim.chunking is None


def test_every_claim_has_a_document_number_of_its_own(world: World) -> None:
    world.attach_new(3)
    numbers = [claim.document for claim in world.claim()]
    world.now += LEASE_SECONDS
    for _ in range(3):
        numbers += [claim.document for claim in world.claim()]
    assert len(set(numbers)) == 6
    assert numbers == sorted(numbers)


def test_bytes_bound_a_claim_but_never_make_it_empty(world: World) -> None:
    for size in (60, 60, 10, 500):
        world.attach(world.file(size=size))
    assert [claim.bytes for claim in world.claim(most_bytes=100)] == [60]
    assert [claim.bytes for claim in world.claim(most_bytes=100)] == [60, 10]
    assert [claim.bytes for claim in world.claim(most_bytes=100)] == [500]


def test_files_attached_alone_go_before_those_of_a_batch(world: World) -> None:
    many = world.files(4)
    world.batch(many)
    (single,) = world.attach_new(1)
    assert [claim.file_id for claim in world.claim(2)] == [single, many[0]]


def test_leases_that_ran_out_are_claimed_again_a_few_together_and_then_each_alone(world: World) -> None:
    held = world.attach_new(SUSPECTS_TOGETHER + 1)
    world.claim()
    (fresh,) = world.attach_new(1)
    world.now += LEASE_SECONDS
    few, last, other = world.claim(), world.claim(), world.claim()
    assert [[claim.file_id for claim in one] for one in (few, last, other)] == [held[:-1], held[-1:], [fresh]]
    assert {(claim.attempt, claim.deaths) for claim in [*few, *last]} == {(2, 1)}
    world.now += LEASE_SECONDS
    again = [world.claim() for _ in held]
    assert [[claim.file_id for claim in one] for one in again] == [[file] for file in held]
    assert {(one[0].attempt, one[0].deaths) for one in again} == {(3, 2)}
    assert [claim.file_id for claim in world.claim()] == [fresh]


def test_a_suspect_stays_one_until_it_is_done(world: World) -> None:
    suspect, other = world.attach_new(2)
    world.claim(1)
    world.now += LEASE_SECONDS
    (claim,) = world.claim()
    with world.catalog.transaction() as tx:
        assert tx.claims.retry_later(world.store, claim.token, [suspect], until=world.now) == 1
    assert [(one.file_id, one.deaths) for one in world.claim()] == [(suspect, 1)]
    assert [one.file_id for one in world.claim()] == [other]


def test_a_suspect_does_not_travel_with_others_that_wait_before_it(world: World) -> None:
    fresh = world.files(2)
    suspect = world.file()
    world.attach(suspect)
    world.claim()
    world.now += LEASE_SECONDS
    for file in fresh:
        world.attach(file)
    assert [one.file_id for one in world.claim()] == [suspect]
    assert [one.file_id for one in world.claim()] == fresh


def test_renewing_keeps_the_lease_and_tells_what_is_lost(world: World) -> None:
    files = world.attach_new(3)
    token = new_lease_token()
    claims = world.claim(token=token)
    world.now += LEASE_SECONDS - 1
    with world.catalog.transaction() as tx:
        tx.store_files.cancel(world.project, world.store, files[0], world.now)
        tx.store_files.delete(world.project, world.store, files[1], world.now)
    with world.catalog.transaction() as tx:
        held = tx.claims.renew(world.store, token, now=world.now, lease_seconds=LEASE_SECONDS)
    assert held == {files[2]}
    world.now += LEASE_SECONDS - 1
    assert world.claim() == []
    assert world.publish(claims).published == (files[2],)


def test_renewing_after_being_taken_over_brings_nothing_back(world: World) -> None:
    world.attach_new(1)
    token = new_lease_token()
    stale = world.claim(token=token)
    world.now += LEASE_SECONDS
    fresh = world.claim()
    with world.catalog.transaction() as tx:
        assert tx.claims.renew(world.store, token, now=world.now, lease_seconds=LEASE_SECONDS) == frozenset()
        assert tx.claims.release(world.store, token) == 0
        assert tx.claims.retry_later(world.store, token, [stale[0].file_id], until=world.now) == 0
        failure = Failure(stale[0].file_id, FailureCode.SERVER_ERROR, "stale")
        assert tx.claims.fail(world.store, token, [failure], now=world.now) == ()
    assert world.publish(stale).published == ()
    assert world.publish(fresh).published == (fresh[0].file_id,)


def test_a_stale_attempt_of_the_same_worker_cannot_publish_either(world: World) -> None:
    world.attach_new(1)
    token = new_lease_token()
    stale = world.claim(token=token)
    world.now += LEASE_SECONDS
    fresh = world.claim(token=token)
    assert world.publish(stale).published == ()
    assert world.publish(fresh).published == (fresh[0].file_id,)


def test_released_files_wait_as_if_never_claimed(world: World) -> None:
    files = world.attach_new(3)
    token = new_lease_token()
    world.claim(token=token)
    with world.catalog.transaction() as tx:
        assert tx.claims.release(world.store, token, files[1:]) == 2
    again = world.claim()
    assert [(claim.file_id, claim.attempt, claim.deaths) for claim in again] == [(files[1], 1, 0), (files[2], 1, 0)]
    with world.catalog.transaction() as tx:
        assert tx.claims.release(world.store, token) == 1


def test_a_file_put_off_waits_until_its_time_and_its_attempts_count(world: World) -> None:
    (file,) = world.attach_new(1)
    (claim,) = world.claim()
    with world.catalog.transaction() as tx:
        assert tx.claims.retry_later(world.store, claim.token, [file], until=world.now + 30) == 1
    assert world.publish([claim]).skipped == (file,)
    world.now += 29
    assert world.claim() == []
    world.now += 1
    (again,) = world.claim()
    assert (again.attempt, again.deaths) == (2, 0)


def test_failing_settles_only_the_files_named(world: World) -> None:
    files = world.attach_new(2)
    (claim, _) = world.claim()
    with world.catalog.transaction() as tx:
        failure = Failure(files[0], FailureCode.UNSUPPORTED_FILE, "no")
        assert tx.claims.fail(world.store, claim.token, [failure], now=world.now) == (files[0],)
        assert tx.claims.fail(world.store, claim.token, [failure], now=world.now) == ()
    assert world.counts() == FileCounts(in_progress=1, failed=1)
    assert world.entry(files[0]).status is FileStatus.FAILED
    assert world.untruths() == []


def test_nothing_is_claimed_in_a_store_that_is_gone_or_has_expired(world: World) -> None:
    store = world.new_store(expires_days=1)
    world.attach(world.file(), store=store)
    world.attach_new(1)
    with world.catalog.transaction() as tx:
        tx.stores.delete(world.project, world.store, world.now)
    assert world.claim() == []
    world.now += 86_400
    assert world.claim(store=store) == []
    assert world.claim(store=StoreId("vs_nowhere")) == []


def test_a_store_is_waiting_when_nobody_holds_its_files(world: World) -> None:
    def waiting(untouched_seconds: int = 0) -> dict[StoreId, int]:
        with world.catalog.reading() as tx:
            found = tx.claims.waiting(now=world.now, untouched_seconds=untouched_seconds, most=10_000)
        return {one.store_id: one.files for one in found if one.project_id == world.project}

    assert waiting() == {}
    world.attach_new(2)
    assert waiting() == {world.store: 2}
    assert waiting(untouched_seconds=10) == {}  # the doorbell of the attachment has rung just now
    world.claim(1)
    assert waiting() == {world.store: 1}
    world.claim()
    assert waiting() == {}
    world.now += LEASE_SECONDS
    assert waiting(untouched_seconds=1_000) == {world.store: 2}
    with world.catalog.transaction() as tx:
        tx.stores.delete(world.project, world.store, world.now)
    assert waiting() == {}


def test_a_clock_that_is_set_back_keeps_nothing_for_longer_than_a_lease_may_last(world: World) -> None:
    """Leases and pauses of a minute must not become an hour because the machine's clock was an hour ahead."""
    held, put_off, new = world.attach_new(3)
    world.claim(1)
    (claim,) = world.claim(1)
    with world.catalog.transaction() as tx:
        tx.claims.retry_later(world.store, claim.token, [put_off], until=world.now + 60)
    world.now -= 3600
    with world.catalog.reading() as tx:
        assert tx.claims.any_waiting(world.store, now=world.now)
        (waiting,) = [
            one for one in tx.claims.waiting(now=world.now, untouched_seconds=2) if one.store_id == world.store
        ]
    assert waiting.files == 3
    claimed = [claim.file_id for _ in range(3) for claim in world.claim()]
    assert sorted(claimed) == sorted([held, put_off, new])


def test_a_pause_as_long_as_an_upstream_may_ask_for_is_kept(world: World) -> None:
    (file,) = world.attach_new(1)
    (claim,) = world.claim()
    with world.catalog.transaction() as tx:
        tx.claims.retry_later(world.store, claim.token, [file], until=world.now + 600)
    assert world.claim() == []
