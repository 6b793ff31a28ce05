"""Attaching, attaching again, changing, cancelling, retrying and taking out the files of a store."""

import pytest

from retrieval.catalog.rows import (
    Attachment,
    AttributeValue,
    Failure,
    FailureCode,
    FileCounts,
    FileStatus,
    StaticChunking,
)
from retrieval.catalog.transaction import Catalog
from retrieval.errors import InvalidInput, NotFound
from retrieval.ids import FileId, StoreId
from tests.support.catalogs import CHUNKS, USAGE_BYTES, World


@pytest.fixture
def world(shared_catalog: Catalog) -> World:
    return World(shared_catalog)


def fail(world: World, message: str = "cannot be read") -> None:
    claims = world.claim()
    failures = [Failure(one.file_id, FailureCode.INVALID_FILE, message) for one in claims]
    with world.catalog.transaction() as tx:
        assert len(tx.claims.fail(world.store, claims[0].token, failures, now=world.now)) == len(claims)


def test_an_attached_file_is_in_progress_and_counted_at_once(world: World) -> None:
    file = world.file("ä \N{GREEK SMALL LETTER ALPHA}.txt", size=77)
    entry = world.attach(file, attributes={"n": 5, "x": 5.0, "b": True, "s": "ü"}, chunking=StaticChunking(200, 50))
    assert entry.status is FileStatus.IN_PROGRESS
    assert (entry.filename, entry.bytes, entry.usage_bytes) == ("ä \N{GREEK SMALL LETTER ALPHA}.txt", 77, 0)
    assert entry.chunking == StaticChunking(200, 50)
    assert entry.last_error is None
    assert world.counts() == FileCounts(in_progress=1)
    assert world.untruths() == []


def test_attributes_keep_their_types(world: World) -> None:
    given: dict[str, AttributeValue] = {
        "integer": 5,
        "float": 5.0,
        "yes": True,
        "no": False,
        "text": "5",
        "odd": "\x00\ud800",
        "big": 2**60,
    }
    entry = world.attach(world.file(), attributes=given)
    assert entry.attributes is not None
    assert {key: (type(value), value) for key, value in entry.attributes.items()} == {
        key: (type(value), value) for key, value in given.items()
    }
    world.publish(world.claim())
    (document,) = world.manifest().documents
    assert {key: (type(value), value) for key, value in document.attributes.items()} == {
        key: (type(value), value) for key, value in given.items()
    }


def test_no_attributes_and_empty_attributes_are_told_apart(world: World) -> None:
    assert world.attach(world.file(), attributes=None).attributes is None
    assert world.attach(world.file(), attributes={}).attributes == {}


def test_a_number_that_is_not_finite_is_refused(world: World) -> None:
    file = world.file()
    with pytest.raises(InvalidInput) as refusal:
        world.attach(file, attributes={"x": float("nan")})
    assert refusal.value.param == "attributes"
    assert world.counts().total == 0


def test_an_unknown_file_is_refused_and_nothing_of_the_call_remains(world: World) -> None:
    good = world.file()
    for bad in ("file-" + "0" * 24, "file-\x00", "", "x" * 300, "\ud800"):
        with (
            pytest.raises(NotFound) as refusal,
            world.catalog.transaction() as tx,
        ):
            tx.store_files.attach_all(
                world.project, world.store, [Attachment(good), Attachment(FileId(bad))], world.now, param="file_ids"
            )
        assert refusal.value.param == "file_ids"
    assert world.counts().total == 0


def test_a_store_that_is_not_there_or_another_projects_is_not_found(world: World) -> None:
    file = world.file()
    other = World(world.catalog)
    for store in (StoreId("vs_nowhere"), StoreId("\x00"), other.store):
        with pytest.raises(NotFound) as refusal:
            world.attach(file, store=store)
        assert refusal.value.param == "vector_store_id"
    with pytest.raises(NotFound):
        other.attach(file)


def test_attaching_a_waiting_file_again_changes_its_wish_and_makes_no_second_entry(world: World) -> None:
    file = world.file()
    world.attach(file, attributes={"v": 1})
    entry = world.attach(file, attributes={"v": 2}, chunking=StaticChunking(300, 0))
    assert (entry.attributes, entry.chunking) == ({"v": 2}, StaticChunking(300, 0))
    assert world.counts() == FileCounts(in_progress=1)
    world.publish(world.claim())
    assert [document.attributes for document in world.manifest().documents] == [{"v": 2}]


def test_attaching_a_completed_file_again_unchanged_leaves_it_completed(world: World) -> None:
    file = world.file()
    world.ingest(file, attributes={"v": 1})
    before = world.row().generation
    entry = world.attach(file, attributes={"v": 1})
    assert entry.status is FileStatus.COMPLETED
    assert world.row().generation == before
    assert world.claim() == []


def test_attaching_a_completed_file_again_with_other_attributes_changes_only_those(world: World) -> None:
    file = world.file()
    before = world.ingest(file, attributes={"v": 1}).generation
    entry = world.attach(file, attributes={"v": 1.0})
    assert entry.status is FileStatus.COMPLETED
    assert world.claim() == []
    (document,) = world.manifest(before).documents
    assert document.changed == before + 1
    assert type(document.attributes["v"]) is float


def test_attaching_a_completed_file_with_another_chunking_keeps_the_old_until_the_new_is_found(world: World) -> None:
    file = world.file()
    world.ingest(file, attributes={"v": 1})
    (old,) = world.manifest().documents
    entry = world.attach(file, attributes={"v": 2}, chunking=StaticChunking(100, 0))
    assert entry.status is FileStatus.IN_PROGRESS
    assert entry.usage_bytes == USAGE_BYTES
    assert world.manifest().documents == (old,)  # with the attributes it had
    claims = world.claim()
    assert claims[0].chunking == StaticChunking(100, 0)
    published = world.publish(claims)
    documents = {document.number: document for document in world.manifest(old.changed).documents}
    assert not documents[old.number].living
    assert documents[claims[0].document].attributes == {"v": 2}
    assert {document.changed for document in documents.values()} == {published.generation}
    assert world.row().usage_bytes == USAGE_BYTES
    assert world.counts() == FileCounts(completed=1)
    assert world.untruths() == []


@pytest.mark.parametrize("end", ["fail", "cancel"])
def test_a_replacement_that_does_not_succeed_leaves_the_old_found(world: World, end: str) -> None:
    file = world.file()
    world.ingest(file)
    world.attach(file, chunking=StaticChunking(100, 0))
    if end == "fail":
        fail(world)
    else:
        with world.catalog.transaction() as tx:
            tx.store_files.cancel(world.project, world.store, file, world.now)
    assert world.found() == {file}
    assert world.entry(file).usage_bytes == USAGE_BYTES
    assert world.untruths() == []
    with world.catalog.transaction() as tx:
        tx.store_files.delete(world.project, world.store, file, world.now)
    assert world.found() == set()
    assert world.untruths() == []


def test_a_changed_chunking_takes_the_lease_from_work_with_the_old_one(world: World) -> None:
    file = world.file()
    world.attach(file)
    old = world.claim()
    world.attach(file, chunking=StaticChunking(100, 0))
    assert world.publish(old).skipped == (file,)
    assert world.entry(file).status is FileStatus.IN_PROGRESS
    assert world.publish(world.claim()).published == (file,)


def test_changed_attributes_leave_work_in_progress_alone(world: World) -> None:
    file = world.file()
    world.attach(file, attributes={"v": 1})
    claims = world.claim()
    world.attach(file, attributes={"v": 2})
    assert world.publish(claims).published == (file,)
    assert world.manifest().documents[0].attributes == {"v": 2}


def test_a_failed_file_says_why_and_can_be_attached_again(world: World) -> None:
    file = world.file()
    world.attach(file)
    fail(world, "page 3 \x00 \ud800 is broken")
    entry = world.entry(file)
    assert entry.status is FileStatus.FAILED
    assert entry.last_error is not None
    assert entry.last_error.code is FailureCode.INVALID_FILE
    assert entry.last_error.message.startswith("page 3 \ufffd ")
    assert world.counts() == FileCounts(failed=1)
    again = world.attach(file)
    assert (again.status, again.last_error, again.attempt) == (FileStatus.IN_PROGRESS, None, 0)
    assert again.created_at == entry.created_at
    assert world.counts() == FileCounts(in_progress=1)
    assert world.publish(world.claim()).published == (file,)


def test_a_cancelled_file_can_be_attached_again(world: World) -> None:
    file = world.file()
    world.attach(file)
    claims = world.claim()
    with world.catalog.transaction() as tx:
        assert tx.store_files.cancel(world.project, world.store, file, world.now).status is FileStatus.CANCELLED
    assert world.publish(claims).skipped == (file,)
    assert world.counts() == FileCounts(cancelled=1)
    world.attach(file)
    assert world.publish(claims).skipped == (file,)  # the old claim stays worthless
    assert world.publish(world.claim()).published == (file,)


def test_cancelling_a_settled_file_changes_nothing(world: World) -> None:
    file = world.file()
    world.ingest(file)
    with world.catalog.transaction() as tx:
        assert tx.store_files.cancel(world.project, world.store, file, world.now).status is FileStatus.COMPLETED
    assert world.counts() == FileCounts(completed=1)


def test_attributes_that_are_set_are_seen_by_the_next_reader(world: World) -> None:
    file = world.file()
    before = world.ingest(file, attributes={"v": 1, "w": 2}).generation
    with world.catalog.transaction() as tx:
        entry = tx.store_files.set_attributes(world.project, world.store, file, {"v": "x"})
    assert entry.attributes == {"v": "x"}
    assert world.catalog.generation(world.store) == before + 1
    assert [document.attributes for document in world.manifest(before).documents] == [{"v": "x"}]
    with world.catalog.transaction() as tx:
        assert tx.store_files.set_attributes(world.project, world.store, file, None).attributes is None
    assert [document.attributes for document in world.manifest().documents] == [{}]


def test_attributes_set_before_the_file_is_completed_come_with_it(world: World) -> None:
    file = world.file()
    world.attach(file)
    claims = world.claim()
    with world.catalog.transaction() as tx:
        tx.store_files.set_attributes(world.project, world.store, file, {"v": 9})
    world.publish(claims)
    assert world.manifest().documents[0].attributes == {"v": 9}


def test_a_file_taken_out_of_a_store_is_gone_from_lists_counts_and_searches(world: World) -> None:
    first, second = world.files(2)
    world.ingest(first)
    generation = world.ingest(second).generation
    with world.catalog.transaction() as tx:
        tx.store_files.delete(world.project, world.store, first, world.now)
    assert world.found() == {second}
    assert world.row().usage_bytes == USAGE_BYTES
    assert world.counts() == FileCounts(completed=1)
    assert [(document.living, document.file_id) for document in world.manifest(generation).documents] == [
        (False, first)
    ]
    with pytest.raises(NotFound):
        world.entry(first)
    with pytest.raises(NotFound), world.catalog.transaction() as tx:
        tx.store_files.delete(world.project, world.store, first, world.now)
    assert world.file_row(first).id == first
    assert world.untruths() == []


def test_a_file_taken_out_while_being_ingested_does_not_come_back(world: World) -> None:
    file = world.file()
    world.attach(file)
    claims = world.claim()
    with world.catalog.transaction() as tx:
        tx.store_files.delete(world.project, world.store, file, world.now)
    outcome = world.publish(claims)
    assert (outcome.published, outcome.skipped, outcome.segment_live) == ((), (file,), False)
    assert world.manifest().segments == ()
    world.attach(file)
    assert world.publish(claims).skipped == (file,)


def test_retry_begins_again_with_what_failed_and_nothing_else(world: World) -> None:
    done, cancelled = world.files(2)
    world.ingest(done)
    world.attach(cancelled)
    with world.catalog.transaction() as tx:
        tx.store_files.cancel(world.project, world.store, cancelled, world.now)
    failed = world.attach_new(3)
    fail(world)
    with world.catalog.transaction() as tx:
        assert tx.store_files.retry(world.project, world.store, failed[0]) == 1
        assert tx.store_files.retry(world.project, world.store, done) == 0
    assert world.counts() == FileCounts(in_progress=1, completed=1, failed=2, cancelled=1)
    with world.catalog.transaction() as tx:
        assert tx.store_files.retry(world.project, world.store) == 2
    assert world.counts() == FileCounts(in_progress=3, completed=1, cancelled=1)
    assert set(world.publish(world.claim()).published) == set(failed)
    assert world.untruths() == []


def test_what_a_file_supersedes_leaves_in_the_commit_that_publishes_it(world: World) -> None:
    old, new = world.files(2)
    generation = world.ingest(old).generation
    world.attach(new, supersedes=old)
    claims = world.claim()
    assert world.found() == {old}
    published = world.publish(claims)
    assert world.found() == {new}
    changed = world.manifest(generation)
    assert {(document.file_id, document.living, document.changed) for document in changed.documents} == {
        (old, False, published.generation),
        (new, True, published.generation),
    }
    assert changed.generation == published.generation
    assert world.counts() == FileCounts(completed=1)
    with pytest.raises(NotFound):
        world.entry(old)
    assert world.untruths() == []


def test_a_file_that_fails_leaves_what_it_would_have_superseded(world: World) -> None:
    old, new = world.files(2)
    world.ingest(old)
    world.attach(new, supersedes=old)
    fail(world)
    assert world.found() == {old}
    assert world.counts() == FileCounts(completed=1, failed=1)
    with world.catalog.transaction() as tx:
        tx.store_files.retry(world.project, world.store)
    world.publish(world.claim())
    assert world.found() == {new}


def test_a_completed_file_that_supersedes_another_does_so_at_once(world: World) -> None:
    old, new = world.files(2)
    world.ingest(old)
    world.ingest(new)
    world.attach(new, supersedes=old)
    assert world.found() == {new}
    assert world.counts() == FileCounts(completed=1)
    assert world.untruths() == []


def test_superseding_itself_or_what_is_not_there_is_nothing_special(world: World) -> None:
    file, other = world.files(2)
    world.attach(file, supersedes=file)
    world.publish(world.claim())
    world.attach(file, supersedes=file)
    assert world.found() == {file}
    world.ingest(other, supersedes=FileId("file-unknown"))
    assert world.found() == {file, other}


def test_what_was_ingested_is_told(world: World) -> None:
    file = world.file()
    world.now += 5
    world.ingest(file)
    entry = world.entry(file)
    assert (entry.chunks, entry.usage_bytes, entry.settled_at) == (CHUNKS, USAGE_BYTES, world.now)
    assert entry.live_document == world.manifest().documents[0].number


def test_an_overlap_as_large_as_the_chunk_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput, match="overlap"):
        world.attach(world.file(), chunking=StaticChunking(100, 100))
