"""Publishing, merging, indexes, and what a reader is told of them."""

from dataclasses import replace

import pytest

from retrieval.catalog.rows import CodebookRow, FileCounts, IndexRow, Ingested
from retrieval.catalog.transaction import Catalog
from retrieval.errors import NotAllowedNow, NotFound
from retrieval.ids import SegmentId, StoreId
from tests.support.catalogs import CHUNKS, USAGE_BYTES, World


@pytest.fixture
def world(shared_catalog: Catalog) -> World:
    return World(shared_catalog)


def publish_one(world: World) -> SegmentId:
    """One more file in a segment of its own."""
    segment = world.segment()
    world.attach_new(1)
    assert world.publish(world.claim(), segment).segment_live
    return segment.id


def codebook(world: World, version: int = 1) -> CodebookRow:
    return CodebookRow(world.store, version, 20_000, 20_000, 600, 32, 0.9951, 4096, 77)


def test_an_empty_store_has_an_empty_manifest(world: World) -> None:
    manifest = world.manifest()
    assert (manifest.generation, manifest.segments, manifest.documents, manifest.codebook) == (0, (), (), None)
    assert (manifest.model, manifest.width) == ("hashed", 8)
    assert world.catalog.generation(world.store) == 0


def test_publishing_shows_segment_documents_counts_and_generation_at_once(world: World) -> None:
    files = world.attach_new(3)
    claims = world.claim()
    segment = world.segment(9)
    world.now += 7
    outcome = world.publish(claims, segment)
    assert (outcome.generation, outcome.published, outcome.skipped, outcome.segment_live) == (1, tuple(files), (), True)
    manifest = world.manifest()
    assert manifest.segments == (segment,)
    assert [(row.number, row.file_id, row.living, row.changed) for row in manifest.documents] == [
        (claim.document, claim.file_id, True, 1) for claim in claims
    ]
    row = world.row()
    assert (row.counts, row.usage_bytes, row.generation) == (FileCounts(completed=3), 3 * USAGE_BYTES, 1)
    assert world.untruths() == []


def test_claims_that_no_longer_hold_are_passed_over_and_the_others_published(world: World) -> None:
    kept, cancelled, deleted = world.attach_new(3)
    claims = world.claim()
    with world.catalog.transaction() as tx:
        tx.store_files.cancel(world.project, world.store, cancelled, world.now)
        tx.files.delete(world.project, deleted, world.now)
    outcome = world.publish(claims)
    assert (outcome.published, outcome.skipped) == ((kept,), (cancelled, deleted))
    assert outcome.segment_live
    assert world.found() == {kept}
    assert world.counts() == FileCounts(completed=1, cancelled=1)
    assert world.untruths() == []


def test_a_claim_for_another_file_or_number_is_not_a_claim(world: World) -> None:
    first, second = world.attach_new(2)
    claims = world.claim()
    mixed = [replace(claims[0], file_id=second), replace(claims[1], document=claims[1].document + 100)]
    outcome = world.publish(mixed)
    assert outcome.published == ()
    assert outcome.generation == 0
    assert world.publish(claims).published == (first, second)


def test_publishing_into_a_store_that_is_gone_or_expired_changes_nothing(world: World) -> None:
    store = world.new_store(expires_days=1)
    world.attach(world.file(), store=store)
    world.attach_new(1)
    claims, late = world.claim(), world.claim(store=store)
    with world.catalog.transaction() as tx:
        tx.stores.delete(world.project, world.store, world.now)
    assert world.publish(claims).segment_live is False
    world.now += 86_400
    outcome = world.publish(late)
    assert (outcome.published, outcome.skipped, outcome.segment_live) == ((), (late[0].file_id,), False)


def test_publishing_the_same_again_tells_what_is_true(world: World) -> None:
    """The commit succeeded, but the answer was lost on its way."""
    kept, cancelled = world.attach_new(2)
    claims = world.claim()
    with world.catalog.transaction() as tx:
        tx.store_files.cancel(world.project, world.store, cancelled, world.now)
    segment = world.segment()
    first = world.publish(claims, segment)
    assert world.publish(claims, segment) == first
    assert first.published == (kept,)
    assert world.untruths() == []


def test_a_document_without_chunks_needs_no_segment(world: World) -> None:
    (file,) = world.attach_new(1)
    (claim,) = world.claim()
    with world.catalog.transaction() as tx:
        outcome = tx.publish(world.store, [Ingested(file, claim.token, claim.document, 0, 0)], None, world.now)
    assert (outcome.published, outcome.segment_live) == ((file,), False)
    assert world.manifest().segments == ()
    assert world.found() == {file}


def test_a_reader_is_told_only_what_changed(world: World) -> None:
    publish_one(world)
    publish_one(world)
    second = world.manifest(1)
    assert (second.since, second.generation, len(second.segments)) == (1, 2, 2)
    assert [document.changed for document in second.documents] == [2]
    assert world.manifest(2).documents == ()
    assert len(world.manifest(0).documents) == 2


def test_a_reader_from_the_future_is_given_everything(world: World) -> None:
    """The catalog was restored from a backup under a running reader."""
    publish_one(world)
    manifest = world.manifest(99)
    assert (manifest.since, len(manifest.documents)) == (0, 1)


def test_a_manifest_of_nothing_is_not_found(world: World) -> None:
    for store in (StoreId("vs_nowhere"), StoreId("\x00"), StoreId("x" * 300)):
        with pytest.raises(NotFound):
            world.manifest(store=store)
        with pytest.raises(NotFound):
            world.catalog.generation(store)
        assert world.catalog.glance(store) is None
    with world.catalog.transaction() as tx:
        tx.stores.delete(world.project, world.store, world.now)
    assert world.catalog.glance(world.store) is None


def test_merging_puts_one_segment_in_the_place_of_others(world: World) -> None:
    removed = [publish_one(world) for _ in range(3)]
    kept = publish_one(world)
    merged = world.segment(9)
    with world.catalog.transaction() as tx:
        generation = tx.replace_segments(world.store, removed, merged, dropped=[], now=world.now)
    manifest = world.manifest(4)
    assert generation == manifest.generation == 5
    assert [segment.id for segment in manifest.segments] == [kept, merged.id]
    assert manifest.documents == ()
    with world.catalog.reading() as tx:
        loads = tx.manifests.loads(world.store)
    assert [(load.id, load.rows, load.living_documents, load.living_chunks) for load in loads] == [
        (kept, CHUNKS, 1, CHUNKS),
        (merged.id, 9, 3, 3 * CHUNKS),
    ]


def test_a_merge_of_what_is_no_longer_live_is_refused_whole(world: World) -> None:
    first, second, third = (publish_one(world) for _ in range(3))
    with world.catalog.transaction() as tx:
        assert tx.replace_segments(world.store, [first, second], world.segment(6), dropped=[], now=world.now)
    late = world.segment(6)
    with world.catalog.transaction() as tx:
        assert tx.replace_segments(world.store, [second, third], late, dropped=[], now=world.now) is None
        unknown = SegmentId("seg_unknown")
        assert tx.replace_segments(world.store, [unknown], late, dropped=[], now=world.now) is None
        assert tx.replace_segments(StoreId("vs_nowhere"), [third], late, dropped=[], now=world.now) is None
    live = [segment.id for segment in world.manifest().segments]
    assert third in live
    assert late.id not in live


def test_a_merge_never_loses_a_living_document(world: World) -> None:
    segment = publish_one(world)
    number = world.manifest().documents[0].number
    for added, dropped in ((world.segment(), [number]), (None, [])):
        with pytest.raises(NotAllowedNow), world.catalog.transaction() as tx:
            tx.replace_segments(world.store, [segment], added, dropped=dropped, now=world.now)
    assert [row.id for row in world.manifest().segments] == [segment]


def test_a_document_that_dies_while_its_segment_is_merged_is_carried_along_dead(world: World) -> None:
    first, second = world.files(2)
    world.ingest(first)
    world.ingest(second)
    before = world.manifest()
    with world.catalog.transaction() as tx:  # after the merge has read its segments
        tx.store_files.delete(world.project, world.store, first, world.now)
    merged = world.segment(6)
    with world.catalog.transaction() as tx:
        removed = [segment.id for segment in before.segments]
        assert tx.replace_segments(world.store, removed, merged, dropped=[], now=world.now)
        assert tx.sweeps.purge_documents(world.store, 100) == 0
    assert world.found() == {second}
    with world.catalog.transaction() as tx:
        dead = [document.number for document in before.documents if document.file_id == first]
        assert tx.replace_segments(world.store, [merged.id], world.segment(3), dropped=dead, now=world.now)
        assert tx.sweeps.stores_with_dead_documents(10_000).count(world.store) == 1
        assert tx.sweeps.purge_documents(world.store, 100) == 1
        assert tx.sweeps.purge_documents(world.store, 100) == 0
    assert world.found() == {second}


def test_a_segment_of_the_dead_only_goes_without_successor(world: World) -> None:
    file = world.file()
    world.ingest(file)
    (segment,) = world.manifest().segments
    with world.catalog.transaction() as tx:
        tx.files.delete(world.project, file, world.now)
    with world.catalog.transaction() as tx:
        assert tx.replace_segments(world.store, [segment.id], None, dropped=[], now=world.now)
        assert tx.sweeps.purge_documents(world.store, 100) == 1
    assert world.manifest().segments == ()


def test_a_reader_that_missed_a_purged_death_is_given_everything(world: World) -> None:
    dead, alive = world.files(2)
    world.ingest(dead)
    old = world.ingest(alive).generation
    segments = [segment.id for segment in world.manifest().segments]
    number = next(document.number for document in world.manifest().documents if document.file_id == dead)
    with world.catalog.transaction() as tx:
        tx.files.delete(world.project, dead, world.now)
    heard = world.manifest(old)
    assert [(row.file_id, row.living) for row in heard.documents] == [(dead, False)]
    with world.catalog.transaction() as tx:
        tx.replace_segments(world.store, segments, world.segment(), dropped=[number], now=world.now)
        assert tx.sweeps.purge_documents(world.store, 100) == 1
    missed = world.manifest(old)
    assert (missed.since, [row.file_id for row in missed.documents]) == (0, [alive])
    assert world.manifest(heard.generation).since == heard.generation


def test_an_index_is_seen_with_the_codebook_it_was_made_for(world: World) -> None:
    first, second = publish_one(world), publish_one(world)
    assert world.manifest().indexes == ()
    with world.catalog.transaction() as tx:
        assert tx.manifests.next_codebook(world.store) == 1
        assert tx.manifests.add_index(world.store, IndexRow(first, 1, 10, 11)) is False  # there is no codebook yet
        assert tx.manifests.set_codebook(codebook(world), [IndexRow(first, 1, 10, 11)], world.now)
        assert tx.manifests.next_codebook(world.store) == 2
    manifest = world.manifest(2)
    assert manifest.codebook == codebook(world)
    assert manifest.indexes == (IndexRow(first, 1, 10, 11),)
    assert manifest.generation == 3
    with world.catalog.transaction() as tx:
        assert tx.manifests.add_index(world.store, IndexRow(second, 1, 20, 21))
        assert tx.manifests.add_index(world.store, IndexRow(second, 2, 20, 21)) is False
        assert tx.manifests.add_index(world.store, IndexRow(SegmentId("seg_unknown"), 1, 20, 21)) is False
    assert {index.segment_id for index in world.manifest().indexes} == {first, second}
    assert world.catalog.generation(world.store) == 4


def test_a_new_codebook_takes_the_old_codes_with_it(world: World) -> None:
    first, second = publish_one(world), publish_one(world)
    with world.catalog.transaction() as tx:
        tx.manifests.set_codebook(codebook(world), [IndexRow(first, 1, 1, 1), IndexRow(second, 1, 1, 1)], world.now)
        assert tx.manifests.set_codebook(codebook(world), [], world.now) is False  # somebody else was quicker
        gone = SegmentId("seg_gone")
        new = [IndexRow(first, 2, 2, 2), IndexRow(gone, 2, 2, 2)]
        assert tx.manifests.set_codebook(codebook(world, 2), new, world.now)
    manifest = world.manifest()
    assert manifest.indexes == (IndexRow(first, 2, 2, 2),)
    assert manifest.codebook == codebook(world, 2)
    with world.catalog.reading() as tx:
        assert {(row.segment_id, row.codebook) for row in tx.sweeps.removed_indexes(world.now, 10_000)} >= {
            (first, 1),
            (second, 1),
        }
        assert (world.store, 1) in {
            (row.store_id, row.version) for row in tx.sweeps.removed_codebooks(world.now, 10_000)
        }


def test_a_dropped_index_can_be_built_again(world: World) -> None:
    segment = publish_one(world)
    with world.catalog.transaction() as tx:
        tx.manifests.set_codebook(codebook(world), [IndexRow(segment, 1, 1, 1)], world.now)
        assert tx.manifests.drop_index(world.store, segment, 1, world.now)
        assert tx.manifests.drop_index(world.store, segment, 1, world.now) is False
    assert world.manifest().indexes == ()
    with world.catalog.transaction() as tx:
        assert tx.manifests.add_index(world.store, IndexRow(segment, 1, 5, 6))
    assert world.manifest().indexes == (IndexRow(segment, 1, 5, 6),)
    with world.catalog.reading() as tx:
        assert segment not in {row.segment_id for row in tx.sweeps.removed_indexes(world.now, 10_000)}


def test_the_index_of_a_merged_segment_goes_with_it(world: World) -> None:
    segment = publish_one(world)
    with world.catalog.transaction() as tx:
        tx.manifests.set_codebook(codebook(world), [IndexRow(segment, 1, 1, 1)], world.now)
    merged = world.segment()
    with world.catalog.transaction() as tx:
        tx.replace_segments(world.store, [segment], merged, dropped=[], now=world.now)
        assert tx.manifests.add_index(world.store, IndexRow(segment, 1, 1, 1)) is False
    manifest = world.manifest()
    assert manifest.indexes == ()
    assert manifest.codebook is not None


def test_calibration_is_kept_for_the_present_codebook_only(world: World) -> None:
    publish_one(world)
    with world.catalog.transaction() as tx:
        assert tx.manifests.calibrate(world.store, 1, rows=40_000, candidates=1000, probes=8, recall=0.99) is False
        tx.manifests.set_codebook(codebook(world), [], world.now)
        assert tx.manifests.calibrate(world.store, 1, rows=40_000, candidates=1000, probes=8, recall=0.993)
    found = world.manifest().codebook
    assert found is not None
    assert (found.candidates, found.probes, found.recall) == (1000, 8, 0.993)


def test_a_glance_tells_what_a_search_must_know(world: World) -> None:
    publish_one(world)
    store = world.new_store(expires_days=2)
    glance = world.catalog.glance(store)
    assert glance is not None
    assert (glance.project_id, glance.generation, glance.last_active_at) == (world.project, 0, world.now)
    assert glance.expires_at == world.now + 2 * 86_400
    assert not glance.expired(world.now)
    assert glance.expired(world.now + 2 * 86_400)
    assert world.catalog.generation(world.store) == 1
