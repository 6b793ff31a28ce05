"""A thousand flipped bits in a store's segment, codes and codebook: an error, a lost index, never a wrong answer."""

import random
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks._vectors import mixture
from retrieval.catalog.rows import IndexRow, SegmentRow
from retrieval.errors import SegmentDamaged
from retrieval.ids import StoreId
from retrieval.index.files import codebook_name, codes_name
from retrieval.index.snapshots import Snapshots
from retrieval.search.query import Hit, Query
from retrieval.search.searcher import Searcher
from retrieval.segments.layout import segment_name
from tests.support.shelf import Book, Shelf
from workers.indexing import IndexLimits, index_segments

ROWS, WIDTH = 4_100, 8
MEMORY = Path("/dev/shm")
QUERIES = [
    Query(("row 17 of word3",), limit=5),
    Query(("word5",), limit=5, vector_weight=0),
    Query(("anything",), limit=5, ranker="vectors"),
]


@pytest.fixture(scope="module")
def coded() -> Iterator[tuple[Shelf, StoreId, SegmentRow, IndexRow]]:
    with (
        tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder,
        Shelf.open(Path(folder), width=WIDTH) as shelf,
    ):
        store = shelf.new_store()
        texts = [f"row {row} of word{row % 9}" for row in range(ROWS)]
        shelf.add(store, [Book(texts, np.ascontiguousarray(mixture(ROWS, WIDTH, 1)))])
        index_segments(store, shelf.catalog, shelf.storage, IndexLimits(4_000))
        with shelf.catalog.reading() as tx:
            manifest = tx.manifests.read(store)
        yield shelf, store, manifest.segments[0], manifest.indexes[0]


def opened_anew(shelf: Shelf) -> Searcher:
    snapshots = Snapshots(shelf.catalog, shelf.storage)
    return Searcher(shelf.catalog, snapshots, lambda _model: shelf.embedder, clock=lambda: float(shelf.now))


def ask(shelf: Shelf, store: StoreId, query: Query) -> tuple[Hit, ...]:
    return opened_anew(shelf).search(shelf.project, store, query).hits


def flip(shelf: Shelf, name: str, chance: random.Random) -> tuple[int, int]:
    with shelf.storage.local(name) as path:
        at, bit = chance.randrange(path.stat().st_size), 1 << chance.randrange(8)
        turn(path, at, bit)
    return at, bit


def turn(path: Path, at: int, bit: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ bit]))


def test_bits_flipped_in_the_segment(coded: tuple[Shelf, StoreId, SegmentRow, IndexRow]) -> None:
    shelf, store, segment, _ = coded
    truth = [ask(shelf, store, query) for query in QUERIES]
    chance, name, refused = random.Random(3), segment_name(store, segment.id), 0
    for number in range(600):
        at, bit = flip(shelf, name, chance)
        which = number % len(QUERIES)
        try:
            assert ask(shelf, store, QUERIES[which]) == truth[which], f"byte {at}, bit {bit}"
        except SegmentDamaged as damage:
            refused += damage.segment == segment.id
        with shelf.storage.local(name) as path:
            turn(path, at, bit)
    assert refused > 200  # the others lie where this search did not look
    assert [ask(shelf, store, query) for query in QUERIES] == truth


def test_bits_flipped_in_codes(coded: tuple[Shelf, StoreId, SegmentRow, IndexRow]) -> None:
    shelf, store, segment, index = coded
    truth = [ask(shelf, store, query) for query in QUERIES]
    chance, name = random.Random(4), codes_name(store, segment.id, index.codebook)
    for number in range(300):
        at, bit = flip(shelf, name, chance)
        which = number % len(QUERIES)
        assert ask(shelf, store, QUERIES[which]) == truth[which], f"byte {at}, bit {bit}"
        with shelf.storage.local(name) as path:
            turn(path, at, bit)
        with shelf.catalog.transaction() as tx:
            assert tx.manifests.read(store).indexes == (), f"byte {at}, bit {bit}: not detected"
            tx.manifests.add_index(store, index)


def test_bits_flipped_in_the_codebook(coded: tuple[Shelf, StoreId, SegmentRow, IndexRow]) -> None:
    shelf, store, _, index = coded
    truth = [ask(shelf, store, query) for query in QUERIES]
    chance, name = random.Random(5), codebook_name(store, index.codebook)
    for number in range(100):
        at, bit = flip(shelf, name, chance)
        which = number % len(QUERIES)
        searcher = opened_anew(shelf)
        assert searcher.search(shelf.project, store, QUERIES[which]).hits == truth[which]
        snapshot = searcher._snapshots.at(store, shelf.catalog.generation(store))
        assert snapshot.side.codebook is None, f"byte {at}, bit {bit}: not detected"
        with shelf.storage.local(name) as path:
            turn(path, at, bit)
