"""Upkeep at work on real stores: what merges and codes do to files, rows and answers, and what sweeps leave."""

import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks._vectors import mixture
from retrieval.catalog.account_rows import NewFile
from retrieval.catalog.rows import Manifest
from retrieval.catalog.uploads import NewUpload
from retrieval.catalog.vector_stores import NewStore
from retrieval.errors import SegmentDamaged, StorageFull
from retrieval.ids import FileId, StoreId, new_file_id, new_part_id, new_store_id, new_upload_id
from retrieval.index.files import codebook_name, codes_name
from retrieval.search.query import Query
from retrieval.segments.layout import segment_name
from retrieval.segments.merging import MergeLimits
from retrieval.storage.blobs import Blobs
from retrieval.storage.directory import Directory
from retrieval.storage.objects import put
from tests.support.disks import FaultyDisk
from tests.support.shelf import Book, Shelf
from workers import merging
from workers.indexing import IndexLimits, index_segments
from workers.sweeping import Grace, expire, sweep_removed, sweep_unknown
from workers.upkeep import Upkeep, UpkeepLimits

WIDTH = 32
ROWS = 4_500
VECTORS = mixture(10 * ROWS, WIDTH, 3)
LIMITS = IndexLimits(code_from_rows=4_000)
NO_GRACE = Grace(0, 0, 0)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with Shelf.open(tmp_path, width=WIDTH) as opened:
        yield opened


def fill(shelf: Shelf, store: StoreId, rows: int = ROWS, *, parts: int = 1, start: int = 0) -> list[FileId]:
    files = []
    for part in np.split(np.arange(start, start + rows), parts):
        vectors = np.ascontiguousarray(VECTORS[part])
        files += shelf.add(store, [Book([f"row {row}" for row in part], vectors)])
    return files


def manifest(shelf: Shelf, store: StoreId) -> Manifest:
    with shelf.catalog.reading() as tx:
        return tx.manifests.read(store)


def index(shelf: Shelf, store: StoreId, limits: IndexLimits = LIMITS) -> object:
    return index_segments(store, shelf.catalog, shelf.storage, limits)


def best(shelf: Shelf, store: StoreId, row: int = 7) -> list[str]:
    snapshot = shelf.snapshots.at(store, shelf.catalog.generation(store))
    query = Query(("x",), limit=10, ranker="vectors")
    return [hit.chunk.text for hit in shelf.searcher.answer(snapshot, query, [VECTORS[row]]).hits]


def damage(shelf: Shelf, name: str, at: int = -5) -> None:
    with shelf.storage.local(name) as path:
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(bytes(content))


def later(shelf: Shelf) -> int:
    return shelf.catalog.now() + 1


def test_many_small_segments_become_one_and_searches_see_no_difference(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store, 1_200, parts=12)
    before = best(shelf, store)
    done = merging.merge_store(store, shelf.catalog, shelf.storage)
    assert (done.refused, done.damaged) == (0, frozenset())
    assert done.segments >= 8
    assert len(manifest(shelf, store).segments) == 12 - done.segments + done.made
    assert best(shelf, store) == before
    assert merging.merge_store(store, shelf.catalog, shelf.storage) == merging.Merged()


def test_the_rows_of_the_dead_go_and_then_their_documents(shelf: Shelf) -> None:
    store = shelf.new_store()
    files = fill(shelf, store, 900, parts=9)
    for file in files[:5]:
        shelf.detach(store, file)
    done = merging.merge_store(store, shelf.catalog, shelf.storage)
    assert done.rows_dropped == 500
    assert sum(row.rows for row in manifest(shelf, store).segments) == 400
    assert expire(shelf.catalog, shelf.now).documents == 5
    found = best(shelf, store, row=450)
    assert len(found) == 10
    assert all(int(text.removeprefix("row ")) >= 500 for text in found)
    reader = Shelf(shelf.catalog, shelf.storage, shelf.embedder)
    assert best(reader, store, row=450) == found


def test_a_store_whose_files_are_all_deleted_keeps_no_segment(shelf: Shelf) -> None:
    store = shelf.new_store()
    for file in fill(shelf, store, 30, parts=3):
        shelf.detach(store, file)
    merging.merge_store(store, shelf.catalog, shelf.storage)
    assert manifest(shelf, store).segments == ()
    sweep_removed(shelf.catalog, shelf.storage, later(shelf), NO_GRACE)
    assert list(shelf.storage.list()) == []
    assert best(shelf, store) == []


def test_of_two_mergers_one_is_refused_and_takes_its_file_back(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store, 900, parts=9)
    chosen = merging._choose(store, shelf.catalog, MergeLimits(), (), None)[0]
    groups = [merging._read(store, chosen, shelf.catalog, None) for _ in range(2)]
    outcomes = [merging._merge(group, shelf.catalog, shelf.storage) for group in groups]
    assert [outcome.refused for outcome in outcomes] == [0, 1]
    sweep_removed(shelf.catalog, shelf.storage, later(shelf), NO_GRACE)
    live = {segment_name(store, row.id) for row in manifest(shelf, store).segments}
    assert {stored.name for stored in shelf.storage.list("segments")} == live


def test_mergers_in_threads_lose_nothing_of_what_is_published_and_deleted_meanwhile(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store, 200, parts=20)
    failures: list[BaseException] = []
    over = threading.Event()

    def merge() -> None:
        try:
            while not over.is_set():
                merging.merge_store(store, shelf.catalog, shelf.storage, MergeLimits(fold=2))
        except BaseException as error:  # shown in the main thread
            failures.append(error)

    mergers = [threading.Thread(target=merge) for _ in range(3)]
    for merger in mergers:
        merger.start()
    kept = []
    for part in range(12):
        first, second = fill(shelf, store, 20, parts=2, start=200 + 20 * part)
        shelf.detach(store, first)
        kept.append(second)
    over.set()
    for merger in mergers:
        merger.join(60)
    assert not failures
    with shelf.catalog.reading() as tx:
        assert tx.untruths() == []
        living = {document.file_id for document in tx.manifests.read(store).documents if document.living}
    assert len(living) == 32
    assert set(kept) <= living
    snapshot = shelf.snapshots.at(store, shelf.catalog.generation(store))
    assert snapshot.rows_living == 200 + 120


def test_a_damaged_segment_is_left_alone_and_the_others_are_merged(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store, 900, parts=9)
    hurt = manifest(shelf, store).segments[3].id
    damage(shelf, segment_name(store, hurt), at=9_000)
    done = merging.merge_store(store, shelf.catalog, shelf.storage)
    assert done.damaged == {hurt}
    assert done.segments == 8
    assert manifest(shelf, store).segments[0].id == hurt


def test_a_full_disk_puts_a_merge_off(tmp_path: Path) -> None:
    with Shelf.open(tmp_path, width=WIDTH) as shelf:
        store = shelf.new_store()
        fill(shelf, store, 900, parts=9)
        before = best(shelf, store)
        full = Directory(tmp_path / "objects", disk=FaultyDisk(2))
        tended = Upkeep(shelf.catalog, full).tend()
        assert tended.troubled == 1
        with pytest.raises(StorageFull):
            merging.merge_store(store, shelf.catalog, Directory(tmp_path / "objects", disk=FaultyDisk(2)))
        assert len(manifest(shelf, store).segments) == 9
        assert Upkeep(shelf.catalog, shelf.storage).tend().merged.made == 1
        assert best(shelf, store) == before


def test_a_store_is_coded_once_it_is_large_enough_and_appends_are_coded_in_their_turn(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store, 500)
    assert index(shelf, store, IndexLimits()) == index(shelf, store) == index(shelf, new_store_id())
    assert manifest(shelf, store).codebook is None
    fill(shelf, store, start=500)
    index(shelf, store)
    found = manifest(shelf, store)
    assert found.codebook is not None
    assert found.codebook.recall >= 0.99
    assert (found.codebook.trained_rows, found.codebook.measured_rows, len(found.indexes)) == (5_000, 5_000, 1)
    fill(shelf, store, start=5_000)
    index(shelf, store)
    assert len(manifest(shelf, store).indexes) == 2
    snapshot = shelf.snapshots.at(store, shelf.catalog.generation(store))
    assert snapshot.side.coded_rows == 9_500
    assert best(shelf, store, row=5_100)[0] == "row 5100"


def test_codes_are_measured_anew_at_twice_and_trained_anew_at_ten_times_the_rows(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store)
    index(shelf, store)
    fill(shelf, store, start=ROWS)
    index(shelf, store)
    book = manifest(shelf, store).codebook
    assert book is not None
    assert (book.version, book.trained_rows, book.measured_rows) == (1, ROWS, 2 * ROWS)
    fill(shelf, store, 8 * ROWS, parts=2, start=2 * ROWS)
    index(shelf, store)
    book = manifest(shelf, store).codebook
    assert book is not None
    assert (book.version, book.trained_rows, book.measured_rows) == (2, 10 * ROWS, 10 * ROWS)
    assert len(manifest(shelf, store).indexes) == 4
    assert best(shelf, store, row=30_000)[0] == "row 30000"
    swept = sweep_removed(shelf.catalog, shelf.storage, later(shelf), NO_GRACE)
    assert (swept.codebooks, swept.indexes) == (1, 2)
    assert best(shelf, store, row=30_000)[0] == "row 30000"


def test_a_merged_segment_brings_its_codes(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store, 8 * 600, parts=8)
    index(shelf, store)
    merging.merge_store(store, shelf.catalog, shelf.storage)
    found = manifest(shelf, store)
    assert [index.segment_id for index in found.indexes] == [row.id for row in found.segments]


@pytest.mark.parametrize("what", ["codes", "codebook", "lost codes", "lost codebook"])
def test_damaged_codes_never_change_an_answer_and_are_made_anew(shelf: Shelf, what: str) -> None:
    store = shelf.new_store()
    fill(shelf, store)
    index(shelf, store)
    truth = best(shelf, store)
    segment = manifest(shelf, store).segments[0].id
    name = codes_name(store, segment, 1) if "codes" in what else codebook_name(store, 1)
    if "lost" in what:
        shelf.storage.delete(name)
    else:
        damage(shelf, name)
    shelf.snapshots.forget(store)
    assert best(shelf, store) == truth
    index(shelf, store)
    found = manifest(shelf, store)
    assert found.codebook is not None
    assert found.codebook.version == (2 if "codebook" in what else 1)
    assert len(found.indexes) == 1
    assert best(shelf, store) == truth
    shelf.snapshots.forget(store)
    assert best(shelf, store) == truth
    snapshot = shelf.snapshots.at(store, shelf.catalog.generation(store))
    assert snapshot.side.coded_rows == ROWS


def test_a_trainer_that_died_after_its_codebook_does_not_stop_the_next(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store)
    put(shelf.storage, codebook_name(store, 1), [b"half of a training"])
    index(shelf, store)
    book = manifest(shelf, store).codebook
    assert book is not None
    assert book.version == 2
    assert sweep_unknown(shelf.catalog, shelf.storage, later(shelf), NO_GRACE) == 1
    assert best(shelf, store)[0] == "row 7"


def test_a_store_that_no_codebook_serves_keeps_its_exact_scan_and_is_not_trained_at_every_turn(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store)
    unreachable = IndexLimits(code_from_rows=4_000, recall_target=1.01)
    assert index_segments(store, shelf.catalog, shelf.storage, unreachable).trained
    found = manifest(shelf, store)
    assert found.codebook is not None
    assert (found.codebook.candidates, found.indexes) == (0, ())
    assert not index_segments(store, shelf.catalog, shelf.storage, unreachable).trained
    assert best(shelf, store)[0] == "row 7"
    fill(shelf, store, start=ROWS)
    assert index_segments(store, shelf.catalog, shelf.storage, LIMITS).trained
    found = manifest(shelf, store)
    assert found.codebook is not None
    assert found.codebook.candidates > 0
    assert len(found.indexes) == 2


def test_a_damaged_segment_stops_training_and_is_named(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store)
    segment = manifest(shelf, store).segments[0].id
    damage(shelf, segment_name(store, segment), at=9_000)
    assert index_segments(store, shelf.catalog, shelf.storage, LIMITS).damaged == segment
    with pytest.raises(SegmentDamaged):
        best(shelf, store)


def test_files_go_only_after_their_grace_and_those_nobody_knows_much_later(shelf: Shelf) -> None:
    store = shelf.new_store()
    fill(shelf, store, 900, parts=9)
    old = [segment_name(store, row.id) for row in manifest(shelf, store).segments]
    merging.merge_store(store, shelf.catalog, shelf.storage)
    now = shelf.catalog.now()
    orphan = segment_name(store, manifest(shelf, store).segments[0].id).replace("seg_", "seg_0")
    put(shelf.storage, orphan, [b"nobody's"])
    put(shelf.storage, "segments/README.txt", [b"a person's"])
    grace = Grace(600, 6_000, 6_000)
    assert sweep_removed(shelf.catalog, shelf.storage, now + 590, grace).segments == 0
    assert sweep_removed(shelf.catalog, shelf.storage, now + 610, grace).segments == len(old)
    assert sweep_unknown(shelf.catalog, shelf.storage, now + 5_000, grace) == 0
    assert sweep_unknown(shelf.catalog, shelf.storage, now + 7_000, grace) == 1
    assert shelf.storage.exists("segments/README.txt")
    assert best(shelf, store)[0] == "row 7"


def test_expired_files_stores_and_uploads_go_with_all_that_is_theirs(shelf: Shelf) -> None:
    blobs, spec = Blobs(shelf.storage), shelf.embedder.spec
    facts = blobs.receive(shelf.project, [b"bytes"], most_bytes=100)
    file, upload, part, expiring = new_file_id(), new_upload_id(), new_part_id(), new_store_id()
    with blobs.incoming_part(shelf.project, upload, part, most_bytes=100) as incoming:
        incoming.write(b"part")
        part_facts = incoming.finish()
    with shelf.catalog.transaction() as tx:
        new = NewFile(file, "a.txt", "assistants", 5, facts.sha256, facts.name, expires_at=shelf.now + 100)
        tx.files.add(shelf.project, new, shelf.now)
        tx.uploads.add(
            shelf.project,
            NewUpload(upload, "b.txt", "assistants", 4, "text/plain", shelf.now + 100),
            shelf.now,
        )
        tx.uploads.add_part(shelf.project, upload, part, 4, part_facts.name, shelf.now)
        tx.stores.add(shelf.project, NewStore(expiring, spec.name, spec.width, expires_days=1), shelf.now)
    fill(shelf, expiring, 20)
    deleted = shelf.new_store()
    fill(shelf, deleted, 20)
    with shelf.catalog.transaction() as tx:
        tx.stores.delete(shelf.project, deleted, shelf.now)
    assert expire(shelf.catalog, shelf.now + 99).files == 0
    done = expire(shelf.catalog, shelf.now + 2 * 86_400)
    assert (done.files, done.stores, done.uploads) == (1, 1, 1)
    sweep_removed(shelf.catalog, shelf.storage, max(later(shelf), shelf.now + 3 * 86_400), NO_GRACE)
    expire(shelf.catalog, shelf.now + 3 * 86_400, NO_GRACE)
    assert list(shelf.storage.list()) == []
    with shelf.catalog.reading() as tx:
        assert tx.untruths() == []
        assert tx.stores.purgeable(10) == ()


def test_unknown_uploads_go_and_known_ones_stay(shelf: Shelf) -> None:
    blobs = Blobs(shelf.storage)
    kept = blobs.receive(shelf.project, [b"kept"], most_bytes=100)
    lost = blobs.receive(shelf.project, [b"lost"], most_bytes=100)
    with shelf.catalog.transaction() as tx:
        tx.files.add(
            shelf.project, NewFile(new_file_id(), "a", "assistants", 4, kept.sha256, kept.name), shelf.catalog.now()
        )
    assert sweep_unknown(shelf.catalog, shelf.storage, shelf.catalog.now() + 100) == 0
    assert sweep_unknown(shelf.catalog, shelf.storage, later(shelf), NO_GRACE) == 1
    assert shelf.storage.exists(kept.name)
    assert not shelf.storage.exists(lost.name)


def test_upkeep_looks_only_at_stores_that_have_changed(shelf: Shelf) -> None:
    stores = [shelf.new_store() for _ in range(3)]
    for store in stores:
        fill(shelf, store, 90, parts=9)
    upkeep = Upkeep(shelf.catalog, shelf.storage, UpkeepLimits(index=LIMITS))
    first = upkeep.tend()
    assert (first.stores, first.merged.segments, first.merged.made) == (3, 27, 3)
    assert upkeep.tend().stores == 3  # their merges changed them
    assert upkeep.tend().stores == 0
    fill(shelf, stores[1], 10)
    assert upkeep.tend().stores == 1
