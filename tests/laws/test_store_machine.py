"""A store, whatever is done to it in whatever order, answers like a dict: model-based, with two readers.

The model is a dict from files to what was published of them last. Searches through two processes' worth of snapshots
are compared with brute force over it: vectors to the last row, filters by a plain reading of the grammar, words by
looking. Merges stop half-way while others publish, delete and merge; readers stay open or are opened anew.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ingest.embedding import HashedEmbedder
from retrieval.catalog.rows import Attachment, AttributeValue, Claim, SegmentRow, StaticChunking
from retrieval.ids import FileId
from retrieval.index.snapshots import Snapshots
from retrieval.search.filters import parse_filter
from retrieval.search.query import Answer, Query
from retrieval.search.searcher import Searcher
from retrieval.segments.merging import MergeLimits
from tests.support.filters import ATTRIBUTES, FILTERS, reading
from tests.support.shelf import Book, Shelf
from workers import merging
from workers.indexing import IndexLimits, index_segments
from workers.sweeping import Grace, expire, sweep_removed, sweep_unknown

WIDTH = 6
CHANCE = np.random.default_rng(11)
# Few directions, so that ties and copies are common; all in one quarter, so that no cosine is cut off at zero.
DIRECTIONS = np.abs(CHANCE.standard_normal((12, WIDTH))).astype(np.float32) + np.float32(0.05)
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)
WORDS = ("river", "house", "東京", "max_rows", "ümlaut")
SMALL_MERGES = MergeLimits(
    fold=3, smallest_tier_rows=4, small_rows=6, most_small=2, most_live=4, least_dead=2, dead_share=0.3
)
EVERYTHING = 10_000
MEMORY = Path("/dev/shm")  # what a crash leaves is tested elsewhere; here a disk would only make the story slow
CHUNKS = st.lists(st.tuples(st.sampled_from(WORDS), st.integers(0, len(DIRECTIONS) - 1)), min_size=1, max_size=4)
CLOSE = 1e-5


@dataclass(frozen=True)
class Known:
    """What a search may show of one file."""

    book: Book
    attributes: Mapping[str, AttributeValue]

    def rows(self) -> list[tuple[str, np.ndarray]]:
        assert self.book.vectors is not None
        return list(zip(self.book.texts, self.book.vectors, strict=True))


@dataclass(frozen=True)
class Work:
    """Claimed and written, not yet published."""

    claims: Sequence[Claim]
    books: Mapping[FileId, Book]
    segment: SegmentRow


def book_of(chunks: Sequence[tuple[str, int]], attributes: Mapping[str, AttributeValue] | None = None) -> Book:
    texts = [f"{word} and so on, number {direction}" for word, direction in chunks]
    return Book(texts, np.ascontiguousarray(DIRECTIONS[[direction for _, direction in chunks]]), attributes=attributes)


class StoreMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="carrel-machine-", dir=MEMORY if MEMORY.is_dir() else None)
        self.shelf = Shelf.open(Path(self.folder.name), embedder=HashedEmbedder(width=WIDTH))
        self.store = self.shelf.new_store()
        self.published: dict[FileId, Known] = {}
        self.attributes: dict[FileId, Mapping[str, AttributeValue]] = {}  # of every file attached
        self.waiting: dict[FileId, Book] = {}
        self.work: list[Work] = []
        self.merges: list[merging._Group] = []
        self.chunkings = 0
        self.readers = [self.new_reader(), self.new_reader()]

    def new_reader(self) -> Searcher:
        shelf = self.shelf
        snapshots = Snapshots(shelf.catalog, shelf.storage)
        return Searcher(shelf.catalog, snapshots, lambda _model: shelf.embedder, clock=lambda: float(shelf.now))

    def teardown(self) -> None:
        with self.shelf.catalog.reading() as tx:
            assert tx.untruths() == []
        self.shelf.close()
        self.folder.cleanup()

    # What people do

    @initialize(chunks=CHUNKS)
    def begin(self, chunks: list[tuple[str, int]]) -> None:
        self.attach(chunks, {})
        self.claim_and_write()
        self.publish(0)

    @rule(chunks=CHUNKS, attributes=ATTRIBUTES)
    def attach(self, chunks: list[tuple[str, int]], attributes: dict[str, AttributeValue]) -> None:
        book = book_of(chunks, attributes)
        [file] = self.shelf.attach(self.store, [book])
        self.waiting[file], self.attributes[file] = book, attributes

    @precondition(lambda self: self.published)
    @rule(chunks=CHUNKS, which=st.integers(0, 99))
    def attach_what_supersedes(self, chunks: list[tuple[str, int]], which: int) -> None:
        old = self.chosen(self.published, which)
        book = replace(book_of(chunks), supersedes=old)
        [file] = self.shelf.attach(self.store, [book])
        self.waiting[file], self.attributes[file] = book, {}

    @precondition(lambda self: self.published)
    @rule(chunks=CHUNKS, which=st.integers(0, 99))
    def attach_anew(self, chunks: list[tuple[str, int]], which: int) -> None:
        """Another chunking of a file that is there: the old one is found until the new one is published."""
        file = self.chosen(self.published, which)
        self.chunkings += 1
        attributes = self.attributes[file]
        wish = Attachment(file, attributes, StaticChunking(100 + self.chunkings, 0))
        with self.shelf.catalog.transaction() as tx:
            tx.store_files.attach(self.shelf.project, self.store, wish, self.shelf.now)
        self.waiting[file] = book_of(chunks, attributes)

    @precondition(lambda self: self.attributes)
    @rule(which=st.integers(0, 99), attributes=ATTRIBUTES)
    def change_attributes(self, which: int, attributes: dict[str, AttributeValue]) -> None:
        file = self.chosen(self.attributes, which)
        with self.shelf.catalog.transaction() as tx:
            tx.store_files.set_attributes(self.shelf.project, self.store, file, attributes)
        self.attributes[file] = attributes
        if file in self.published:
            self.published[file] = replace(self.published[file], attributes=attributes)

    @precondition(lambda self: self.attributes)
    @rule(which=st.integers(0, 99))
    def delete(self, which: int) -> None:
        self.forget(self.chosen(self.attributes, which), from_store=True)

    def forget(self, file: FileId, *, from_store: bool) -> None:
        if from_store:
            self.shelf.detach(self.store, file)
        del self.attributes[file]
        self.published.pop(file, None)
        self.waiting.pop(file, None)

    # What workers do

    @precondition(lambda self: self.waiting)
    @rule(most=st.integers(1, 4))
    def claim_and_write(self, most: int = 4) -> None:
        claims = self.shelf.claim(self.store, most)
        if claims:
            books = {claim.file_id: self.waiting[claim.file_id] for claim in claims}
            self.work.append(Work(claims, books, self.shelf.write(self.store, claims, books)))

    @precondition(lambda self: self.work)
    @rule(which=st.integers(0, 99))
    def publish(self, which: int) -> None:
        work = self.work.pop(which % len(self.work))
        publication = self.shelf.publish(self.store, work.claims, work.books, work.segment)
        for file in publication.published:
            book = work.books[file]
            assert self.waiting.pop(file) is book, "published what was no longer wanted"
            self.published[file] = Known(book, self.attributes[file])
        for file in publication.published:
            replaced = work.books[file].supersedes
            if replaced in self.attributes and replaced not in publication.published:
                self.forget(replaced, from_store=False)

    @rule()
    def leases_end(self) -> None:
        self.shelf.now += 61

    # What upkeep does

    @rule()
    def merge(self) -> None:
        assert not merging.merge_store(self.store, self.shelf.catalog, self.shelf.storage, SMALL_MERGES).damaged

    @rule()
    def begin_to_merge(self) -> None:
        catalog = self.shelf.catalog
        for chosen in merging._choose(self.store, catalog, SMALL_MERGES, (), None):
            group = merging._read(self.store, chosen, catalog, None)
            assert group is not None
            self.merges.append(group)

    @precondition(lambda self: self.merges)
    @rule(which=st.integers(0, 99))
    def end_a_merge(self, which: int) -> None:
        group = self.merges.pop(which % len(self.merges))
        assert not merging._merge(group, self.shelf.catalog, self.shelf.storage).damaged

    @rule()
    def index(self) -> None:
        limits = IndexLimits(code_from_rows=16, recall_target=0.9)
        assert index_segments(self.store, self.shelf.catalog, self.shelf.storage, limits).damaged is None

    @rule()
    def sweep(self) -> None:
        """As if all graces were over. A merge under way must end before, as it would."""
        self.merges.clear()
        catalog, storage, later = self.shelf.catalog, self.shelf.storage, self.shelf.catalog.now() + 10**6
        unpublished = {work.segment.id for work in self.work}
        expire(catalog, self.shelf.now)
        sweep_removed(catalog, storage, later, Grace(0, 0, 0))
        if not unpublished:
            sweep_unknown(catalog, storage, later, Grace(0, 0, 0))
        with catalog.reading() as tx:
            manifest = tx.manifests.read(self.store)
        kept = {stored.name.split("/")[-1].split(".")[0] for stored in storage.list("segments")}
        assert {row.id for row in manifest.segments} <= kept
        if not unpublished:
            assert {row.id for row in manifest.segments} == kept

    # What readers see

    @rule(which=st.integers(0, 1))
    def reopen(self, which: int) -> None:
        self.readers[which] = self.new_reader()

    @rule()
    def restart(self) -> None:
        """Everything is closed, and opened again from the disk."""
        project = self.shelf.project
        now = self.shelf.now
        self.shelf.close()
        self.shelf = Shelf.open(Path(self.folder.name), embedder=self.shelf.embedder)
        assert self.shelf.project == project
        self.shelf.now = now
        self.readers = [self.new_reader(), self.new_reader()]

    @rule(
        which=st.integers(0, 1),
        wanted=FILTERS,
        limit=st.sampled_from([1, 3, EVERYTHING]),
        direction=st.integers(0, len(DIRECTIONS) - 1),
        exact=st.booleans(),
    )
    def search_with_a_filter(self, which: int, wanted: dict[str, Any], limit: int, direction: int, exact: bool) -> None:
        passing = {file: known for file, known in self.published.items() if reading(wanted, dict(known.attributes))}
        query = Query(("x",), limit=limit, filter=parse_filter(wanted), ranker="vectors", exact=exact)
        self.compare(self.ask(which, query, DIRECTIONS[direction]), passing, limit, DIRECTIONS[direction])

    @rule(which=st.integers(0, 1), word=st.sampled_from(WORDS))
    def search_for_a_word(self, which: int, word: str) -> None:
        query = Query((word,), limit=EVERYTHING, vector_weight=0.5)
        answer = self.ask(which, query, DIRECTIONS[0])
        found = sorted((hit.file_id, hit.chunk.ordinal) for hit in answer.hits if hit.stages.keyword > 0)
        assert found == sorted(
            (file, ordinal)
            for file, known in self.published.items()
            for ordinal, (text, _) in enumerate(known.rows())
            if text.startswith(word)
        )

    @invariant()
    def every_reader_sees_what_was_published_last(self) -> None:
        query = Query(("x",), limit=EVERYTHING, ranker="vectors")
        for which in range(2):
            self.compare(self.ask(which, query, DIRECTIONS[3]), self.published, EVERYTHING, DIRECTIONS[3])

    def ask(self, which: int, query: Query, vector: np.ndarray) -> Answer:
        reader = self.readers[which]
        snapshot = reader._snapshots.at(self.store, self.shelf.catalog.generation(self.store))
        return reader.answer(snapshot, query, [vector])

    def compare(self, answer: Answer, expected: Mapping[FileId, Known], limit: int, vector: np.ndarray) -> None:
        truth = {
            (file, ordinal): (float(row @ vector), text)
            for file, known in expected.items()
            for ordinal, (text, row) in enumerate(known.rows())
        }
        hits = answer.hits
        assert len({(hit.file_id, hit.chunk.ordinal) for hit in hits}) == len(hits) == min(limit, len(truth))
        assert answer.rows_living == sum(len(known.rows()) for known in self.published.values())
        assert answer.rows_allowed == len(truth)
        best = sorted((score for score, _ in truth.values()), reverse=True)[: len(hits)]
        assert [hit.score for hit in hits] == pytest.approx(best, abs=CLOSE)
        for hit in hits:
            score, text = truth[hit.file_id, hit.chunk.ordinal]
            assert hit.score == pytest.approx(score, abs=CLOSE)
            assert hit.chunk.text == text
            assert hit.attributes == expected[hit.file_id].attributes
            assert hit.filename == expected[hit.file_id].book.filename

    @staticmethod
    def chosen(files: Mapping[FileId, object], which: int) -> FileId:
        return list(files)[which % len(files)]


StoreMachine.TestCase.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
test_a_store_answers_like_a_dict_whatever_is_done_to_it = StoreMachine.TestCase
