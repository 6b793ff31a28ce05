"""Files and uploads: bytes kept once per project and hash, and rows that go before the bytes they name."""

import pytest

from retrieval.catalog.account_rows import NewFile, UploadStatus
from retrieval.catalog.paging import PageQuery
from retrieval.catalog.rows import FileCounts
from retrieval.catalog.transaction import Catalog
from retrieval.catalog.uploads import LIFETIME_SECONDS, NewUpload
from retrieval.errors import InvalidInput, NotAllowedNow, NotFound
from retrieval.ids import FileId, ProjectId, UploadId, new_blob_name, new_file_id, new_part_id, new_upload_id
from tests.support.catalogs import World


@pytest.fixture
def world(shared_catalog: Catalog) -> World:
    return World(shared_catalog)


def new_file(name: str = "a.txt", sha256: str = "same", *, size: int = 10, expires_at: int | None = None) -> NewFile:
    return NewFile(new_file_id(), name, "assistants", size, sha256, new_blob_name(), "text/plain", expires_at)


def stored_bytes(world: World) -> int:
    with world.catalog.reading() as tx:
        return tx.projects.get(world.project).bytes_stored


def orphans(world: World) -> set[str]:
    with world.catalog.reading() as tx:
        return {blob.name for blob in tx.files.orphaned_blobs(world.now, 10_000)}


def test_a_file_is_kept_as_it_was_given(world: World) -> None:
    given = new_file("Grüße / ☃ ..txt", "abc", size=2**40, expires_at=world.now + 5)
    with world.catalog.transaction() as tx:
        row = tx.files.add(world.project, given, world.now)
    assert row == world.file_row(given.id)
    assert (row.filename, row.purpose, row.bytes, row.sha256) == (given.filename, "assistants", 2**40, "abc")
    assert (row.blob, row.media_type, row.expires_at) == (given.blob, "text/plain", world.now + 5)
    assert stored_bytes(world) == 2**40


@pytest.mark.parametrize("name", ["a\x00b", "\ud800.txt"])
def test_a_name_that_no_database_can_hold_is_refused(world: World, name: str) -> None:
    with pytest.raises(InvalidInput) as refusal, world.catalog.transaction() as tx:
        tx.files.add(world.project, new_file(name), world.now)
    assert refusal.value.param == "filename"
    assert stored_bytes(world) == 0


def test_a_size_beyond_all_bounds_is_refused(world: World) -> None:
    for size in (-1, 2**63):
        with pytest.raises(InvalidInput), world.catalog.transaction() as tx:
            tx.files.add(world.project, new_file(size=size), world.now)


def test_equal_bytes_of_a_project_are_kept_once(world: World) -> None:
    with world.catalog.transaction() as tx:
        first = tx.files.add(world.project, new_file("a"), world.now)
        second = tx.files.add(world.project, new_file("b"), world.now)
    assert second.blob == first.blob
    assert stored_bytes(world) == 20
    other = World(world.catalog)
    with world.catalog.transaction() as tx:
        assert tx.files.add(other.project, new_file("c"), world.now).blob != first.blob


def test_deleting_one_of_two_equal_files_keeps_the_bytes(world: World) -> None:
    with world.catalog.transaction() as tx:
        first = tx.files.add(world.project, new_file("a"), world.now)
        second = tx.files.add(world.project, new_file("b"), world.now)
    with world.catalog.transaction() as tx:
        tx.files.delete(world.project, first.id, world.now)
    assert first.blob not in orphans(world)
    with world.catalog.transaction() as tx:
        tx.files.delete(world.project, second.id, world.now)
    assert first.blob in orphans(world)
    assert stored_bytes(world) == 0


def test_a_blob_is_forgotten_only_while_nobody_names_it(world: World) -> None:
    with world.catalog.transaction() as tx:
        first = tx.files.add(world.project, new_file(), world.now)
    with world.catalog.transaction() as tx:
        tx.files.delete(world.project, first.id, world.now)
        (orphan,) = [blob for blob in tx.files.orphaned_blobs(world.now, 10_000) if blob.name == first.blob]
    with world.catalog.transaction() as tx:  # the same bytes come back before the sweep gets there
        second = tx.files.add(world.project, new_file(), world.now)
    assert second.blob == first.blob
    with world.catalog.transaction() as tx:
        assert tx.files.forget_blob(orphan) is False
    with world.catalog.transaction() as tx:
        tx.files.delete(world.project, second.id, world.now)
        assert tx.files.forget_blob(orphan) is True
        assert tx.files.forget_blob(orphan) is False
        assert tx.files.unknown_blobs([first.blob]) == {first.blob}
    with world.catalog.transaction() as tx:
        third = tx.files.add(world.project, new_file(), world.now)
    assert third.blob != first.blob  # a forgotten name is never used again


def test_objects_that_no_row_names_are_found(world: World) -> None:
    file = world.file_row(world.file())
    upload, part = new_upload(), new_part_id()
    with world.catalog.transaction() as tx:
        tx.uploads.add(world.project, upload, world.now)
        tx.uploads.add_part(world.project, upload.id, part, 5, f"blob_of_{part}", world.now)
    stray = new_blob_name()
    with world.catalog.reading() as tx:
        assert tx.files.unknown_blobs([file.blob, stray, f"blob_of_{part}"]) == {stray}
        assert tx.files.unknown_blobs([]) == set()


def test_missing_files_are_named_in_order(world: World) -> None:
    here = world.file()
    odd = [FileId("file-b"), here, FileId("\x00"), FileId("file-a")]
    with world.catalog.reading() as tx:
        assert tx.files.missing(world.project, odd) == [odd[0], odd[2], odd[3]]


def test_deleting_a_file_takes_it_out_of_every_store(world: World) -> None:
    stores = [world.store, world.new_store(), world.new_store()]
    file, other = world.files(2)
    for store in stores[:2]:
        world.attach(file, store=store)
        world.publish(world.claim(store=store))
    world.attach(other, store=stores[2])
    with world.catalog.transaction() as tx:
        assert set(tx.files.stores_of(file)) == set(stores[:2])
        assert tx.files.delete(world.project, file, world.now) == tuple(stores[:2])
    for store in stores[:2]:
        assert world.row(store).counts == FileCounts()
        assert world.row(store).usage_bytes == 0
        assert not any(row.living for row in world.manifest(store=store).documents)
    assert world.row(stores[2]).counts == FileCounts(in_progress=1)
    with pytest.raises(NotFound) as refusal, world.catalog.transaction() as tx:
        tx.files.delete(world.project, file, world.now)
    assert refusal.value.param == "id"
    assert world.untruths() == []


def test_a_file_can_be_deleted_though_its_store_was(world: World) -> None:
    file = world.file()
    world.ingest(file)
    with world.catalog.transaction() as tx:
        tx.stores.delete(world.project, world.store, world.now)
    with world.catalog.transaction() as tx:
        tx.files.delete(world.project, file, world.now)
    assert world.untruths() == []


def test_of_many_files_those_in_no_store_are_deleted(world: World) -> None:
    other = World(world.catalog)
    with world.catalog.transaction() as tx:
        used = tx.files.add(world.project, new_file("a"), world.now)
        equal = tx.files.add(world.project, new_file("a"), world.now)
        alone = tx.files.add(world.project, new_file("b", sha256="b" * 64), world.now)
        foreign = tx.files.add(other.project, new_file("c"), world.now)
    world.attach(used.id)
    some = [one.id for one in (used, equal, alone, foreign)]
    with world.catalog.transaction() as tx:
        assert tx.files.delete_unused(world.project, some, world.now) == 2
        assert tx.files.delete_unused(world.project, some, world.now) == 0
        assert [row.id for row in tx.files.page(world.project, PageQuery(after=equal.id, order="asc")).items] == []
    assert (used.blob in orphans(world), alone.blob in orphans(world)) == (False, True)
    assert stored_bytes(world) == used.bytes
    with other.catalog.reading() as tx:
        assert tx.files.get(other.project, foreign.id) == foreign
    assert world.untruths() == []


def test_another_projects_file_is_not_found(world: World) -> None:
    file = world.file()
    other = World(world.catalog)
    for project in (other.project, ProjectId("proj_nowhere")):
        with pytest.raises(NotFound), world.catalog.reading() as tx:
            tx.files.get(project, file)
        with pytest.raises(NotFound), world.catalog.transaction() as tx:
            tx.files.delete(project, file, world.now)
    assert world.file_row(file).id == file


def test_files_whose_time_is_over_are_named(world: World) -> None:
    with world.catalog.transaction() as tx:
        soon = tx.files.add(world.project, new_file("a", "1", expires_at=world.now + 5), world.now)
        tx.files.add(world.project, new_file("b", "2", expires_at=world.now + 50), world.now)
        tx.files.add(world.project, new_file("c", "3"), world.now)

    def due(now: int) -> list[FileId]:
        with world.catalog.reading() as tx:
            return [row.id for row in tx.files.expired(now, 10_000) if row.project_id == world.project]

    assert due(world.now + 4) == []
    assert due(world.now + 5) == [soon.id]


# Uploads


def new_upload(size: int = 10) -> NewUpload:
    return NewUpload(new_upload_id(), "big.pdf", "assistants", size, "application/pdf", 3600)


def pending(world: World) -> NewUpload:
    upload = new_upload()
    with world.catalog.transaction() as tx:
        tx.uploads.add(world.project, upload, world.now)
    return upload


def status(world: World, upload: NewUpload) -> UploadStatus:
    with world.catalog.reading() as tx:
        return tx.uploads.get(world.project, upload.id, world.now).status


def test_an_upload_collects_parts_and_becomes_a_file_once(world: World) -> None:
    upload = pending(world)
    parts = [new_part_id(), new_part_id()]
    with world.catalog.transaction() as tx:
        for part in parts:
            tx.uploads.add_part(world.project, upload.id, part, 5, f"blob_{part}", world.now)
        assert [part.id for part in tx.uploads.parts(world.project, upload.id)] == parts
        assert tx.uploads.part_bytes(world.project, upload.id) == 10
    mine, late = new_file(), new_file()
    with world.catalog.transaction() as tx:
        assert tx.uploads.complete(world.project, upload.id, mine, world.now).id == mine.id
    with world.catalog.transaction() as tx:
        assert tx.uploads.complete(world.project, upload.id, late, world.now).id == mine.id
        row = tx.uploads.get(world.project, upload.id, world.now)
    assert (row.status, row.file_id, row.file_expires_after_seconds) == (UploadStatus.COMPLETED, mine.id, 3600)
    assert stored_bytes(world) == 10
    assert world.untruths() == []
    with world.catalog.transaction() as tx:
        disposable = {part.id for part in tx.uploads.disposable_parts(10_000)}
        assert disposable >= set(parts)
        assert tx.uploads.forget_parts(parts) == 2
        assert tx.uploads.forget_parts(parts) == 0


def test_a_settled_upload_takes_nothing_more(world: World) -> None:
    cancelled, completed = pending(world), pending(world)
    with world.catalog.transaction() as tx:
        tx.uploads.cancel(world.project, cancelled.id, world.now)
        tx.uploads.complete(world.project, completed.id, new_file(), world.now)
    for upload in (cancelled, completed):
        with pytest.raises(NotAllowedNow), world.catalog.transaction() as tx:
            tx.uploads.add_part(world.project, upload.id, new_part_id(), 1, new_blob_name(), world.now)
    with pytest.raises(NotAllowedNow), world.catalog.transaction() as tx:
        tx.uploads.complete(world.project, cancelled.id, new_file(), world.now)
    with pytest.raises(NotAllowedNow), world.catalog.transaction() as tx:
        tx.uploads.cancel(world.project, completed.id, world.now)
    with world.catalog.transaction() as tx:
        again = tx.uploads.cancel(world.project, cancelled.id, world.now)
    assert again.status is UploadStatus.CANCELLED


def test_an_upload_is_over_after_an_hour_with_or_without_a_sweep(world: World) -> None:
    upload = pending(world)
    assert status(world, upload) is UploadStatus.PENDING
    with world.catalog.transaction() as tx:
        tx.uploads.add_part(world.project, upload.id, new_part_id(), 1, new_blob_name(), world.now)
    world.now += LIFETIME_SECONDS
    assert status(world, upload) is UploadStatus.EXPIRED
    with pytest.raises(NotAllowedNow, match="expired"), world.catalog.transaction() as tx:
        tx.uploads.complete(world.project, upload.id, new_file(), world.now)
    with pytest.raises(NotAllowedNow, match="expired"), world.catalog.transaction() as tx:
        tx.uploads.cancel(world.project, upload.id, world.now)
    with pytest.raises(NotAllowedNow, match="expired"), world.catalog.transaction() as tx:
        tx.uploads.add_part(world.project, upload.id, new_part_id(), 1, new_blob_name(), world.now)
    with world.catalog.transaction() as tx:
        assert tx.uploads.expire(world.now) >= 1
        assert upload.id in {part.upload_id for part in tx.uploads.disposable_parts(10_000)}
    world.now -= LIFETIME_SECONDS
    assert status(world, upload) is UploadStatus.EXPIRED  # settled: a clock set back does not bring it back


def test_another_projects_upload_is_not_found(world: World) -> None:
    upload = pending(world)
    other = World(world.catalog)
    for project, name in (
        (other.project, upload.id),
        (world.project, UploadId("upload_x")),
        (world.project, UploadId("\x00")),
    ):
        with pytest.raises(NotFound), world.catalog.reading() as tx:
            tx.uploads.get(project, name, world.now)
        with pytest.raises(NotFound), world.catalog.transaction() as tx:
            tx.uploads.complete(project, name, new_file(), world.now)
        with world.catalog.reading() as tx:
            assert tx.uploads.parts(project, name) == ()


def test_the_file_of_a_completed_upload_may_be_deleted(world: World) -> None:
    upload, file = pending(world), new_file()
    with world.catalog.transaction() as tx:
        tx.uploads.complete(world.project, upload.id, file, world.now)
    with world.catalog.transaction() as tx:
        tx.files.delete(world.project, file.id, world.now)
    with world.catalog.reading() as tx:
        assert tx.uploads.get(world.project, upload.id, world.now).file_id == file.id
    with pytest.raises(NotFound), world.catalog.transaction() as tx:
        tx.uploads.complete(world.project, upload.id, new_file(), world.now)
