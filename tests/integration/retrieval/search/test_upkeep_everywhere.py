"""Merging, coding and sweeping over both databases and both kinds of storage: searches see no difference."""

import numpy as np

from benchmarks._vectors import mixture
from retrieval.catalog.rows import Manifest
from retrieval.ids import StoreId
from retrieval.index.files import codes_name
from retrieval.search.query import Query
from retrieval.storage.directory import Directory
from tests.support.shelf import Book, Shelf
from workers.indexing import IndexLimits
from workers.sweeping import Grace, sweep_removed, sweep_unknown
from workers.upkeep import Upkeep, UpkeepLimits

ROWS, PARTS, WIDTH = 4_400, 11, 64
NO_GRACE = Grace(0, 0, 0)


def found(shelf: Shelf, store: StoreId) -> list[tuple[str, float]]:
    query = Query(("row 77 of the rows",), limit=20)
    snapshot = shelf.snapshots.at(store, shelf.catalog.generation(store))
    vector = mixture(ROWS, WIDTH, 5)[77]
    return [
        (hit.chunk.text, round(hit.stages.vector, 5)) for hit in shelf.searcher.answer(snapshot, query, [vector]).hits
    ]


def manifest(shelf: Shelf, store: StoreId) -> Manifest:
    with shelf.catalog.reading() as tx:
        return tx.manifests.read(store)


def test_a_store_is_merged_coded_and_swept(shelf: Shelf) -> None:
    store = shelf.new_store()
    for part in np.split(np.arange(ROWS), PARTS):
        vectors = np.ascontiguousarray(mixture(ROWS, WIDTH, 5)[part])
        shelf.add(store, [Book([f"row {row} of the rows" for row in part], vectors)])
    before = found(shelf, store)
    upkeep = Upkeep(shelf.catalog, shelf.storage, UpkeepLimits(index=IndexLimits(code_from_rows=4_000)))
    tended = upkeep.tend()
    assert (tended.troubled, tended.merged.segments, tended.merged.made, tended.trained) == (0, PARTS, 1, 1)
    assert found(shelf, store) == before
    later = shelf.catalog.now() + 10
    assert sweep_removed(shelf.catalog, shelf.storage, later, NO_GRACE).segments == PARTS
    assert sweep_unknown(shelf.catalog, shelf.storage, later, NO_GRACE) == 0
    upkeep.sweep()
    shelf.snapshots.forget(store)
    assert found(shelf, store) == before
    snapshot = shelf.snapshots.at(store, shelf.catalog.generation(store))
    assert snapshot.side.coded_rows == ROWS
    assert len(list(shelf.storage.list())) == 3


def test_a_damaged_copy_of_codes_is_fetched_anew_and_damaged_codes_are_dropped(shelf: Shelf) -> None:
    store = shelf.new_store()
    vectors = np.ascontiguousarray(mixture(ROWS, WIDTH, 5))
    shelf.add(store, [Book([f"row {row} of the rows" for row in range(ROWS)], vectors)])
    upkeep = Upkeep(shelf.catalog, shelf.storage, UpkeepLimits(index=IndexLimits(code_from_rows=4_000)))
    upkeep.tend()
    before = found(shelf, store)
    [index] = manifest(shelf, store).indexes
    with shelf.storage.local(codes_name(store, index.segment_id, index.codebook)) as path:
        content = bytearray(path.read_bytes())
        content[-7] ^= 16
        path.write_bytes(bytes(content))
    shelf.snapshots.forget(store)
    assert found(shelf, store) == before
    assert len(manifest(shelf, store).indexes) == (0 if isinstance(shelf.storage, Directory) else 1)
    upkeep.tend()
    assert len(manifest(shelf, store).indexes) == 1
    assert found(shelf, store) == before
