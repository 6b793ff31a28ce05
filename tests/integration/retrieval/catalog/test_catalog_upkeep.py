"""What upkeep asks of the catalog, on both databases."""

import pytest

from retrieval.catalog.rows import CodebookRow
from retrieval.catalog.transaction import Catalog
from retrieval.ids import new_segment_id
from tests.support.catalogs import CHUNKS, World


@pytest.fixture
def world(shared_catalog: Catalog) -> World:
    return World(shared_catalog)


def test_who_lives_in_a_segment_and_who_is_dead(world: World) -> None:
    kept, gone = world.attach_new(2)
    segment = world.segment(2 * CHUNKS)
    world.publish(world.claim(), segment)
    numbers = {document.file_id: document.number for document in world.manifest().documents}
    with world.catalog.transaction() as tx:
        tx.store_files.delete(world.project, world.store, gone, world.now)
    with world.catalog.reading() as tx:
        assert tx.manifests.lives(world.store, [segment.id]) == ([numbers[kept]], [numbers[gone]])
        assert tx.manifests.lives(world.store, []) == ([], [])
        assert tx.manifests.lives(world.store, [new_segment_id()]) == ([], [])


def test_the_present_codebook_is_the_newest_shown(world: World) -> None:
    with world.catalog.reading() as tx:
        assert tx.manifests.codebook(world.store) is None
    world.attach_new(1)
    world.publish(world.claim())
    books = [CodebookRow(world.store, version, 10, 10, 300, 1000, 0.99, 1, 1) for version in (1, 2)]
    for book in books:
        with world.catalog.transaction() as tx:
            assert tx.manifests.set_codebook(book, [], world.now)
    with world.catalog.transaction() as tx:
        assert tx.manifests.codebook(world.store) == books[1]
        tx.manifests.calibrate(world.store, 2, rows=25, candidates=600, probes=40, recall=0.992)
        found = tx.manifests.codebook(world.store)
    assert found is not None
    assert (found.trained_rows, found.measured_rows, found.candidates) == (10, 25, 600)


def test_stores_in_use_are_paged_and_deleted_and_empty_ones_left_out(world: World) -> None:
    stores = [world.new_store() for _ in range(5)]
    for store in stores[:4]:
        world.attach(world.file(), store=store)
        world.publish(world.claim(store=store), world.segment(store=store))
    with world.catalog.transaction() as tx:
        tx.stores.delete(world.project, stores[3], world.now)
    found: dict[str, int] = {}
    after = ""
    while True:
        with world.catalog.reading() as tx:
            page = tx.sweeps.stores_in_use(after, 2)
        if not page:
            break
        found |= dict(page)
        after = page[-1][0]
    assert {store for store in stores if store in found} == set(stores[:3])
    assert all(found[store] == world.manifest(store=store).generation for store in stores[:3])
