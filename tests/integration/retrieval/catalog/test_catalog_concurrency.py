"""Many at once: workers, callers and sweeps on the same stores, in threads and in processes."""

import random
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence

import pytest

from retrieval.catalog.rows import Claim, Failure, FailureCode, Ingested
from retrieval.catalog.transaction import Catalog
from retrieval.errors import NotFound
from retrieval.ids import FileId, new_lease_token
from tests.support.catalogs import World


def together(*actors: Callable[[], None]) -> None:
    """Run all at once; whatever one raises is raised here."""
    errors: list[BaseException] = []
    gate = threading.Barrier(len(actors))

    def guarded(actor: Callable[[], None]) -> None:
        gate.wait(30)
        try:
            actor()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(actor,)) for actor in actors]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "somebody waits for ever"
    if errors:
        raise errors[0]


def test_no_file_is_claimed_by_two(catalog: Catalog) -> None:
    world = World(catalog)
    files = world.many_files(200)
    world.batch(files)
    taken: list[Claim] = []

    def work() -> None:
        while claims := world.claim(7):
            taken.extend(claims)

    together(*[work] * 8)
    assert sorted(claim.file_id for claim in taken) == sorted(files)
    assert len({claim.document for claim in taken}) == len(files)


def test_counts_stay_true_whatever_happens_at_once(catalog: Catalog) -> None:
    """Workers claim, publish, fail and die; callers attach, cancel, delete, change, in two stores with shared files."""
    world = World(catalog)
    second = world.new_store()
    files = world.many_files(60)
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201  # shown when the test fails

    def worker(number: int) -> None:
        chance = random.Random(seed + number)
        for _ in range(25):
            store = chance.choice([world.store, second])
            claims = world.claim(chance.randint(1, 9), store=store)
            if not claims:
                continue
            fate = chance.random()
            if fate < 0.7:
                world.publish(claims)
            elif fate < 0.8:
                with catalog.transaction() as tx:
                    failures = [Failure(one.file_id, FailureCode.SERVER_ERROR, "no") for one in claims]
                    tx.claims.fail(store, claims[0].token, failures, now=world.now)
            elif fate < 0.9:
                with catalog.transaction() as tx:
                    tx.claims.release(store, claims[0].token)

    def caller(number: int) -> None:
        chance = random.Random(seed - number)
        for _ in range(25):
            store, file = chance.choice([world.store, second]), chance.choice(files)
            some = chance.sample(files, 5)
            try:
                match chance.randrange(7):
                    case 0 | 1:
                        world.attach(file, store=store, attributes={"v": chance.random()})
                    case 2:
                        batch = world.batch(some)
                        if chance.random() < 0.5:
                            with catalog.transaction() as tx:
                                tx.batches.cancel(world.project, world.store, batch.id, world.now)
                    case 3:
                        with catalog.transaction() as tx:
                            tx.store_files.delete(world.project, store, file, world.now)
                    case 4:
                        with catalog.transaction() as tx:
                            tx.store_files.cancel(world.project, store, file, world.now)
                    case 5:
                        with catalog.transaction() as tx:
                            tx.files.delete(world.project, file, world.now)
                    case _:
                        with catalog.transaction() as tx:
                            tx.store_files.retry(world.project, store)
            except NotFound:
                pass

    together(
        *[lambda number=number: worker(number) for number in range(4)], *[lambda n=n: caller(n) for n in range(1, 5)]
    )
    assert world.untruths() == []
    world.now += 1000
    for store in (world.store, second):
        while claims := world.claim(store=store):
            world.publish(claims)
        row = world.row(store)
        assert row.counts.in_progress == 0
        living = [document for document in world.manifest(store=store).documents if document.living]
        assert len({document.file_id for document in living}) == len(living)
    assert world.untruths() == []


def test_of_many_workers_with_the_same_claim_one_publishes(catalog: Catalog) -> None:
    world = World(catalog)
    for _ in range(5):
        world.attach_new(3)
        claims = world.claim()
        outcomes: list[Sequence[FileId]] = []
        together(*[lambda mine=claims, told=outcomes: told.append(world.publish(mine).published)] * 4)
        assert sorted(len(outcome) for outcome in outcomes) == [0, 0, 0, 3]
    assert world.catalog.generation(world.store) == 5
    assert world.untruths() == []


def test_of_many_merges_of_the_same_segments_one_succeeds(catalog: Catalog) -> None:
    world = World(catalog)
    for _ in range(3):
        world.ingest(world.file())
    segments = [segment.id for segment in world.manifest().segments]
    outcomes: list[int | None] = []

    def merge() -> None:
        with catalog.transaction() as tx:
            outcomes.append(tx.replace_segments(world.store, segments, world.segment(9), dropped=[], now=world.now))

    together(*[merge] * 4)
    assert sorted(outcome is None for outcome in outcomes) == [False, True, True, True]
    assert len(world.manifest().segments) == 1


def test_files_deleted_and_attached_in_every_order_do_not_block_each_other(catalog: Catalog) -> None:
    world = World(catalog)
    stores = [world.store, *(world.new_store() for _ in range(3))]
    files = world.many_files(24)
    for store in stores:
        for file in files:
            world.attach(file, store=store)

    def delete(mine: Sequence[FileId]) -> None:
        for file in mine:
            with catalog.transaction() as tx:
                tx.files.delete(world.project, file, world.now)

    def attach() -> None:
        for file in reversed(files):
            for store in reversed(stores):
                try:
                    world.attach(file, store=store)
                except NotFound:
                    break

    def publish() -> None:
        for store in stores:
            while claims := world.claim(5, store=store):
                world.publish(claims)

    together(lambda: delete(files[::2]), lambda: delete(files[::-1][::2]), attach, attach, publish)
    for store in stores:
        assert world.row(store).counts.total == 0
    assert world.untruths() == []


def test_equal_bytes_uploaded_and_deleted_at_once_keep_one_blob(catalog: Catalog) -> None:
    world = World(catalog)

    def come_and_go() -> None:
        for _ in range(10):
            file = world.file(sha256="same")
            with catalog.transaction() as tx:
                tx.files.delete(world.project, file, world.now)
                for blob in tx.files.orphaned_blobs(world.now, 10):
                    tx.files.forget_blob(blob)

    together(*[come_and_go] * 4)
    last = [world.file(sha256="same") for _ in range(2)]
    assert len({world.file_row(file).blob for file in last}) == 1
    assert world.untruths() == []


WORKER = """
import sys
from retrieval.catalog.rows import Ingested, SegmentRow
from retrieval.catalog.transaction import Catalog
from retrieval.ids import StoreId, new_lease_token, new_segment_id
url, store = sys.argv[1], StoreId(sys.argv[2])
with Catalog.open(url, busy_seconds=60) as catalog:
    while True:
        token = new_lease_token()
        with catalog.transaction() as tx:
            claims = tx.claims.claim(store, most=5, most_bytes=10**9, token=token, now=1000, lease_seconds=60)
        if not claims:
            break
        done = [Ingested(one.file_id, token, one.document, 1, 1) for one in claims]
        segment = SegmentRow(new_segment_id(), store, len(done), 8, 1, 1, 1000)
        with catalog.transaction() as tx:
            assert tx.publish(store, done, segment, 1000).segment_live
"""


@pytest.mark.slow
def test_processes_share_the_work_of_one_store(catalog: Catalog, catalog_url: str) -> None:
    world = World(catalog, now=1000)
    files = world.many_files(150)
    world.batch(files)
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, catalog_url, world.store]) for _ in range(3)]
    assert [worker.wait(120) for worker in workers] == [0, 0, 0]
    assert world.counts().completed == 150
    assert world.found() == set(files)
    assert world.catalog.generation(world.store) == 30
    assert world.untruths() == []


def test_a_claim_and_its_publish_survive_a_cancel_between_them(catalog: Catalog) -> None:
    """Every interleaving of one worker and one caller on one file ends in a state that is true."""
    for moment in range(3):
        world = World(catalog)
        (file,) = world.attach_new(1)
        token = new_lease_token()
        if moment == 0:
            with catalog.transaction() as tx:
                tx.store_files.cancel(world.project, world.store, file, world.now)
        claims = world.claim(token=token)
        assert len(claims) == (moment > 0)
        if moment == 1:
            with catalog.transaction() as tx:
                tx.store_files.cancel(world.project, world.store, file, world.now)
        done = [Ingested(one.file_id, token, one.document, 1, 1) for one in claims]
        with catalog.transaction() as tx:
            outcome = tx.publish(world.store, done, world.segment(), world.now)
        assert outcome.segment_live == (moment == 2)
        if moment == 2:
            with catalog.transaction() as tx:
                tx.store_files.cancel(world.project, world.store, file, world.now)
        assert (world.counts().completed, world.counts().cancelled) == ((1, 0) if moment == 2 else (0, 1))
        assert world.untruths() == []
