"""What a segment gives back is what was written; folding is concatenation without the dead; postings are counts."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.ids import new_segment_id
from retrieval.segments.folding import fold_segments
from retrieval.segments.postings import unpacked
from retrieval.segments.reader import Segment
from retrieval.segments.rows import NewRows, StoredChunk
from retrieval.segments.words import hash_term, terms
from retrieval.storage.directory import Directory
from tests.support.rows import STORE, open_row, unit_vectors, write_rows

WORDS = ["river", "Rivers", "the", "max_rows", "v3.11", "東京都", "naïve", "AB-12", "🙂", "don't", ""]
TEXTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=12).map(" ".join), st.text(st.characters(exclude_categories=["Cs"]))
)
NAMES = st.one_of(st.just(""), st.sampled_from(["Title", "Kapitel 1", "第一章"]))
U32 = st.integers(0, 2**32 - 1)


@st.composite
def new_rows(draw: st.DrawFn, width: int = 3) -> NewRows:
    numbers = draw(st.lists(st.integers(0, 2**53), min_size=1, max_size=4, unique=True))
    chunks = [
        StoredChunk(
            document,
            ordinal,
            draw(U32),
            draw(U32),
            draw(TEXTS),
            draw(U32),
            draw(st.one_of(st.none(), st.integers(1, 2**32 - 1))),
            draw(NAMES),
            tuple(draw(st.lists(NAMES, max_size=3))),
            draw(NAMES),
        )
        for document in numbers
        for ordinal in range(draw(st.integers(1, 4)))
    ]
    words = [f"{chunk.title} {chunk.text}" for chunk in chunks]
    return NewRows(chunks, words, unit_vectors(len(chunks), width, draw(st.integers(0, 99))))


@contextmanager
def directory() -> Iterator[Directory]:
    with tempfile.TemporaryDirectory() as folder:
        yield Directory(Path(folder))


def assert_holds(segment: Segment, chunks: Sequence[StoredChunk], words: Sequence[str], vectors: np.ndarray) -> None:
    assert [segment.chunk(row) for row in range(len(segment))] == list(chunks)
    assert np.array_equal(segment.verified_vectors(), vectors)
    assert segment.document_of(np.arange(len(segment))).tolist() == [chunk.document for chunk in chunks]
    counts = [Counter(map(hash_term, terms(text))) for text in words]
    assert segment.postings.lengths.tolist() == [sum(count.values()) for count in counts]
    assert segment.postings.total_length == sum(sum(count.values()) for count in counts)
    vocabulary = {term for text in words for term in terms(text)} | {"absent"}
    assert len(segment.postings.terms) == len({number for count in counts for number in count})
    for term in vocabulary:
        rows, often = unpacked(segment.postings.packed(term))
        held = [(row, min(count[hash_term(term)], 255)) for row, count in enumerate(counts) if hash_term(term) in count]
        assert list(zip(rows.tolist(), often.tolist(), strict=True)) == held


@settings(deadline=None, max_examples=40)
@given(new_rows())
def test_what_was_written_is_read(new: NewRows) -> None:
    with directory() as storage, open_row(storage, write_rows(storage, new)) as segment:
        segment.verify_all()
        assert_holds(segment, new.chunks, new.words, new.vectors)


@settings(deadline=None, max_examples=40)
@given(st.lists(new_rows(), min_size=1, max_size=4), st.data())
def test_folding_is_concatenation_without_the_dead(parts: list[NewRows], data: st.DataObject) -> None:
    everyone = sorted({chunk.document for part in parts for chunk in part.chunks})
    alive = np.array(sorted(data.draw(st.sets(st.sampled_from(everyone)))), np.int64)
    kept = [
        (chunk, words, vector)
        for part in parts
        for chunk, words, vector in zip(part.chunks, part.words, part.vectors, strict=True)
        if chunk.document in alive
    ]
    with directory() as storage:
        segments = [open_row(storage, write_rows(storage, part)) for part in parts]
        row = fold_segments(
            storage,
            segments,
            lambda numbers: np.isin(numbers, alive),
            store=STORE,
            segment=new_segment_id(),
            created_at=2,
        )
        if not kept:
            assert row is None
            return
        assert row is not None
        with open_row(storage, row) as folded:
            folded.verify_all()
            assert row.rows == len(kept)
            chunks, words, vectors = zip(*kept, strict=True)
            assert_holds(folded, chunks, words, np.stack(vectors))


@settings(deadline=None, max_examples=15)
@given(st.lists(new_rows(), min_size=2, max_size=3))
def test_folding_twice_is_folding_once(parts: list[NewRows]) -> None:
    """Byte for byte, but for the ids in the head."""
    with directory() as storage:
        rows = [write_rows(storage, part) for part in parts]

        def fold(chosen: Sequence[Segment]) -> Segment:
            row = fold_segments(
                storage, chosen, lambda numbers: numbers >= 0, store=STORE, segment=new_segment_id(), created_at=2
            )
            assert row is not None
            return open_row(storage, row)

        opened = [open_row(storage, row) for row in rows]
        at_once, in_steps = fold(opened), fold([fold(opened[:1]), fold(opened[1:])])
        assert [at_once.chunk(row) for row in range(len(at_once))] == [
            in_steps.chunk(row) for row in range(len(in_steps))
        ]
        assert np.array_equal(at_once.postings.terms, in_steps.postings.terms)
