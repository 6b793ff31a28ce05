"""Batches: counts that are right from the first answer on, through re-attaching, cancelling and deleting."""

import pytest

from retrieval.catalog.paging import PageQuery
from retrieval.catalog.rows import Attachment, Failure, FailureCode, FileCounts, FileStatus, StaticChunking
from retrieval.catalog.transaction import Catalog
from retrieval.errors import NotFound
from retrieval.ids import BatchId, FileId, new_batch_id
from tests.support.catalogs import World


@pytest.fixture
def world(shared_catalog: Catalog) -> World:
    return World(shared_catalog)


def test_the_first_answer_counts_every_file(world: World) -> None:
    batch = world.batch(world.files(5))
    assert batch.counts == FileCounts(in_progress=5)
    assert batch.status == "in_progress"
    assert world.counts() == FileCounts(in_progress=5)


def test_a_batch_of_the_largest_size_is_attached_claimed_and_published(world: World) -> None:
    files = world.many_files(2000)
    batch = world.batch(files)
    claims = world.claim(4096)
    assert [claim.file_id for claim in claims] == files
    world.publish(claims)
    assert world.batch_again(batch).counts == FileCounts(completed=2000)
    assert world.untruths() == []


def test_a_file_named_twice_counts_once_and_as_named_last(world: World) -> None:
    file = world.file()
    wishes = [Attachment(file, {"v": 1}), Attachment(file, {"v": 2})]
    with world.catalog.transaction() as tx:
        batch = tx.batches.add(world.project, world.store, new_batch_id(), wishes, world.now)
    assert batch.counts == FileCounts(in_progress=1)
    assert world.entry(file).attributes == {"v": 2}


def test_an_unknown_file_refuses_the_whole_batch(world: World) -> None:
    with pytest.raises(NotFound) as refusal:
        world.batch([world.file(), FileId("file-unknown")])
    assert refusal.value.param == "file_ids"
    assert world.counts().total == 0


def test_a_batch_ends_as_its_files_do(world: World) -> None:
    done, bad = world.files(2)
    mixed, failed = world.batch([done, bad]), world.batch([world.file()])
    by_file = {claim.file_id: claim for claim in world.claim()}
    world.publish([by_file.pop(done)])
    for claim in by_file.values():
        with world.catalog.transaction() as tx:
            failure = Failure(claim.file_id, FailureCode.SERVER_ERROR, "no")
            tx.claims.fail(world.store, claim.token, [failure], now=world.now)
    assert world.batch_again(mixed).counts == FileCounts(completed=1, failed=1)
    assert world.batch_again(mixed).status == "completed"
    assert world.batch_again(failed).status == "failed"
    with world.catalog.transaction() as tx:
        tx.store_files.retry(world.project, world.store)
    assert world.batch_again(mixed).counts == FileCounts(in_progress=1, completed=1)
    assert world.untruths() == []


def test_an_empty_batch_is_complete(world: World) -> None:
    batch = world.batch([])
    assert (batch.counts.total, batch.status) == (0, "completed")


def test_a_file_counts_in_every_batch_that_attached_it(world: World) -> None:
    shared, own = world.files(2)
    first = world.batch([shared, own])
    second = world.batch([shared])
    assert world.batch_again(first).counts == FileCounts(in_progress=2)
    world.publish(world.claim())
    assert world.batch_again(first).counts == FileCounts(completed=2)
    assert world.batch_again(second).counts == FileCounts(completed=1)
    third = world.batch([shared])
    assert (third.counts, third.status) == (FileCounts(completed=1), "completed")
    assert world.untruths() == []


def test_cancelling_stops_what_is_not_done_also_in_the_middle_of_work(world: World) -> None:
    files = world.files(4)
    batch = world.batch(files)
    done, working = world.claim(1), world.claim(1)
    world.publish(done)
    with world.catalog.transaction() as tx:
        cancelled = tx.batches.cancel(world.project, world.store, batch.id, world.now)
    assert cancelled.counts == FileCounts(completed=1, cancelled=3)
    assert cancelled.status == "cancelled"
    assert world.publish(working).published == ()
    assert world.claim() == []
    with world.catalog.transaction() as tx:
        assert tx.batches.cancel(world.project, world.store, batch.id, world.now) == cancelled
    assert world.untruths() == []


def test_cancelling_leaves_files_that_a_later_batch_wants(world: World) -> None:
    shared, own = world.files(2)
    first = world.batch([shared, own])
    second = world.batch([shared])
    with world.catalog.transaction() as tx:
        cancelled = tx.batches.cancel(world.project, world.store, first.id, world.now)
    assert cancelled.counts == FileCounts(in_progress=1, cancelled=1)
    world.publish(world.claim())
    assert world.batch_again(second).counts == FileCounts(completed=1)


def test_cancelling_a_finished_batch_changes_nothing(world: World) -> None:
    batch = world.batch(world.files(2))
    world.publish(world.claim())
    with world.catalog.transaction() as tx:
        assert tx.batches.cancel(world.project, world.store, batch.id, world.now).status == "completed"


def test_a_file_that_leaves_the_store_leaves_its_batches(world: World) -> None:
    first, second = world.files(2)
    batch = world.batch([first, second])
    with world.catalog.transaction() as tx:
        tx.files.delete(world.project, first, world.now)
    assert world.batch_again(batch).counts == FileCounts(in_progress=1)
    with world.catalog.transaction() as tx:
        tx.store_files.delete(world.project, world.store, second, world.now)
    assert world.batch_again(batch).counts == FileCounts()
    assert world.untruths() == []


def test_a_batch_lists_its_own_files_by_status(world: World) -> None:
    world.attach_new(2)
    files = world.files(3)
    batch = world.batch(files)
    with world.catalog.reading() as tx:
        page = tx.batches.page(world.project, world.store, batch.id, PageQuery(order="asc"))
        assert [entry.file_id for entry in page.items] == files
        none = tx.batches.page(world.project, world.store, batch.id, PageQuery(), FileStatus.COMPLETED)
        assert none.items == ()
        rest = tx.batches.page(world.project, world.store, batch.id, PageQuery(order="asc", after=files[0]))
        assert [entry.file_id for entry in rest.items] == files[1:]


def test_files_of_a_batch_may_each_have_wishes_of_their_own(world: World) -> None:
    first, second = world.files(2)
    wishes = [Attachment(first, {"v": 1}), Attachment(second, None, StaticChunking(400, 200))]
    with world.catalog.transaction() as tx:
        tx.batches.add(world.project, world.store, new_batch_id(), wishes, world.now)
    assert world.entry(first).attributes == {"v": 1}
    assert world.entry(first).chunking is None
    assert world.entry(second).chunking == StaticChunking(400, 200)


def test_a_batch_belongs_to_its_store_and_project(world: World) -> None:
    batch = world.batch(world.files(1))
    other = World(world.catalog)
    for project, store, name in (
        (world.project, world.new_store(), batch.id),
        (other.project, world.store, batch.id),
        (world.project, world.store, BatchId("vsfb_unknown")),
        (world.project, world.store, BatchId("\x00")),
    ):
        with pytest.raises(NotFound), world.catalog.reading() as tx:
            tx.batches.get(project, store, name)
        with pytest.raises(NotFound), world.catalog.transaction() as tx:
            tx.batches.cancel(project, store, name, world.now)
        with pytest.raises(NotFound), world.catalog.reading() as tx:
            tx.batches.page(project, store, name, PageQuery())


def test_batches_of_a_deleted_store_are_gone(world: World) -> None:
    batch = world.batch(world.files(1))
    with world.catalog.transaction() as tx:
        tx.stores.delete(world.project, world.store, world.now)
    with pytest.raises(NotFound):
        world.batch_again(batch)
