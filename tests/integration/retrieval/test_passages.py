"""Chunks listed without a question: in an order that lasts while segments are folded and files come and go."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retrieval.catalog.rows import Attachment, FileStatus, StaticChunking
from retrieval.errors import NotAllowedNow
from retrieval.ids import StoreId, new_segment_id
from retrieval.index.snapshot import Snapshot
from retrieval.search.filters import parse_filter
from retrieval.search.passages import BEGINNING, Passage, Place, chunks_of, documents_allowed, passages
from retrieval.search.reading import open_file, open_store
from retrieval.segments.folding import fold_segments
from tests.support.shelf import Book, Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    with Shelf.open(tmp_path) as shelf:
        yield shelf


def opened(shelf: Shelf, store: StoreId) -> Snapshot:
    return open_store(shelf.catalog, shelf.snapshots, shelf.project, store)


def walk(shelf: Shelf, store: StoreId, page: int, wanted: object = None) -> list[Passage]:
    """All pages, each from a snapshot of its own."""
    found: list[Passage] = []
    more = True
    while more:
        snapshot = opened(shelf, store)
        documents = documents_allowed(snapshot, None if wanted is None else parse_filter(wanted))
        some, more = passages(snapshot, documents, found[-1].place if found else BEGINNING, page)
        assert len(some) <= page
        found += some
    return found


def fold(shelf: Shelf, store: StoreId) -> None:
    snapshot = opened(shelf, store)
    living = set(documents_allowed(snapshot, None).tolist())
    held = {number for one in snapshot.segments for number in one.segment.runs.numbers.tolist()}
    row = fold_segments(
        shelf.storage,
        [one.segment for one in snapshot.segments],
        lambda numbers: np.isin(numbers, list(living)),
        store=store,
        segment=new_segment_id(),
        created_at=shelf.now,
    )
    with shelf.catalog.transaction() as tx:
        old = {one.row.id for one in snapshot.segments}
        assert tx.replace_segments(store, old, row, dropped=held - living, now=shelf.now)


def stocked(shelf: Shelf) -> StoreId:
    store = shelf.new_store()
    for segment in range(4):
        shelf.add(
            store,
            [
                Book([f"book {segment} {book} chunk {n}" for n in range(5)], attributes={"even": book % 2 == 0})
                for book in range(3)
            ],
        )
    return store


@pytest.mark.parametrize("page", [1, 4, 7, 100])
def test_pages_hold_every_chunk_once_in_order(shelf: Shelf, page: int) -> None:
    found = walk(shelf, stocked(shelf), page)
    assert len(found) == 4 * 3 * 5
    assert [one.place for one in found] == sorted({one.place for one in found})
    assert [one.chunk.text for one in found[:5]] == [f"book 0 0 chunk {n}" for n in range(5)]


def test_a_filter_chooses_files(shelf: Shelf) -> None:
    store = stocked(shelf)
    found = walk(shelf, store, 7, {"type": "eq", "key": "even", "value": True})
    assert len(found) == 4 * 2 * 5
    assert all(one.attributes == {"even": True} for one in found)


def test_folding_segments_moves_no_place(shelf: Shelf) -> None:
    store = stocked(shelf)
    before = walk(shelf, store, 7)
    shelf.detach(store, before[0].file_id)
    fold(shelf, store)
    assert len(opened(shelf, store).segments) == 1
    after = walk(shelf, store, 7)
    assert after == before[5:]
    snapshot = opened(shelf, store)
    rest, _ = passages(snapshot, documents_allowed(snapshot, None), before[2].place, 100)
    assert rest == after  # the place of a chunk that has gone still says where to go on


def test_a_file_is_read_as_searches_find_it(shelf: Shelf) -> None:
    store = shelf.new_store()
    file = shelf.add(store, [Book(["one", "two"])])[0]
    snapshot, document = open_file(shelf.catalog, shelf.snapshots, shelf.project, store, file)
    assert [chunk.text for chunk in chunks_of(snapshot, document)] == ["one", "two"]


def test_a_file_being_replaced_is_read_in_its_old_form_until_the_new_one_is_published(shelf: Shelf) -> None:
    store = shelf.new_store()
    book = Book(["old"])
    file = shelf.add(store, [book])[0]
    with shelf.catalog.transaction() as tx:
        again = Attachment(file, None, StaticChunking(200, 0))
        assert tx.store_files.attach(shelf.project, store, again, shelf.now).status is FileStatus.IN_PROGRESS
    snapshot, document = open_file(shelf.catalog, shelf.snapshots, shelf.project, store, file)
    assert [chunk.text for chunk in chunks_of(snapshot, document)] == ["old"]
    claims = shelf.claim(store)
    fresh = {file: Book(["new", "and longer"])}
    shelf.publish(store, claims, fresh, shelf.write(store, claims, fresh))
    snapshot, document = open_file(shelf.catalog, shelf.snapshots, shelf.project, store, file)
    assert [chunk.text for chunk in chunks_of(snapshot, document)] == ["new", "and longer"]


def test_a_file_that_was_never_ingested_is_refused_with_the_reason(shelf: Shelf) -> None:
    store = shelf.new_store()
    file = shelf.attach(store, [Book(["words"])])[0]
    with pytest.raises(NotAllowedNow, match="still being processed"):
        open_file(shelf.catalog, shelf.snapshots, shelf.project, store, file)


def test_a_document_that_is_not_there_has_no_chunks(shelf: Shelf) -> None:
    assert chunks_of(opened(shelf, stocked(shelf)), 10_000) == []


def test_an_empty_store_has_no_passages(shelf: Shelf) -> None:
    snapshot = opened(shelf, shelf.new_store())
    assert passages(snapshot, documents_allowed(snapshot, None), Place(5, 5), 10) == ([], False)
