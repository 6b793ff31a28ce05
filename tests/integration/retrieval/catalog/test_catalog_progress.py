"""How far files have come, counted from their rows, on every database."""

import pytest

from retrieval.catalog.progress import RECENT_SECONDS, Progress, Sums
from retrieval.catalog.rows import Failure, FailureCode
from retrieval.catalog.transaction import Catalog
from retrieval.errors import NotFound
from retrieval.ids import BatchId, ProjectId
from tests.support.catalogs import CHUNKS, World


@pytest.fixture
def world(shared_catalog: Catalog) -> World:
    return World(shared_catalog)


def of_store(world: World) -> Progress:
    with world.catalog.reading() as tx:
        return tx.progress.of_store(world.project, world.store, world.now)


def test_an_empty_store_is_done(world: World) -> None:
    progress = of_store(world)
    assert progress.in_progress == progress.completed == progress.recent == Sums()
    assert progress.eta_seconds == 0


def test_files_bytes_and_chunks_are_summed_by_state(world: World) -> None:
    small, large = world.files(2, size=10), world.files(3, size=1000)
    batch = world.batch(small)
    world.publish(world.claim(10))
    world.batch(large)
    progress = of_store(world)
    assert progress.completed == Sums(2, 20, 2 * CHUNKS)
    assert progress.in_progress == Sums(3, 3000, 0)
    with world.catalog.reading() as tx:
        of_batch = tx.progress.of_batch(world.project, world.store, batch.id, world.now)
    assert of_batch.completed == progress.completed
    assert of_batch.in_progress == Sums()


def test_the_time_left_follows_the_present_rate(world: World) -> None:
    world.batch(world.files(2, size=100))
    world.now += 10
    world.publish(world.claim(10))
    world.batch(world.files(3, size=100))
    progress = of_store(world)
    assert (progress.recent.bytes, progress.recent_seconds) == (200, 10)
    assert progress.eta_seconds == 15
    world.now += RECENT_SECONDS + 1
    assert of_store(world).recent == Sums()
    assert of_store(world).eta_seconds is None


def test_failures_are_work_done_and_cancelled_files_are_not(world: World) -> None:
    world.batch(world.files(2, size=7))
    claims = world.claim(1)
    with world.catalog.transaction() as tx:
        failure = Failure(claims[0].file_id, FailureCode.INVALID_FILE, "It is empty.")
        tx.claims.fail(world.store, claims[0].token, [failure], now=world.now)
        waiting = next(
            file
            for file in tx.claims.claim(
                world.store, most=9, most_bytes=1 << 30, token=claims[0].token, now=world.now, lease_seconds=9
            )
        )
        tx.store_files.cancel(world.project, world.store, waiting.file_id, world.now)
    progress = of_store(world)
    assert (progress.failed.files, progress.cancelled.files, progress.recent.files) == (1, 1, 1)


def test_of_another_project_there_is_nothing_to_tell(world: World) -> None:
    with world.catalog.reading() as tx:
        with pytest.raises(NotFound):
            tx.progress.of_store(ProjectId("proj_other"), world.store, world.now)
        with pytest.raises(NotFound):
            tx.progress.of_batch(world.project, world.store, BatchId("vsfb_none"), world.now)
