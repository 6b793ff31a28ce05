"""FrugalEmbedder: each text embedded once, in the order asked, and never believed unchecked."""

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from ingest.embedding.cache import VectorCache
from ingest.embedding.embedder import Purpose, Vectors
from ingest.embedding.engine import Portion
from ingest.embedding.frugal import FrugalEmbedder
from ingest.embedding.windows import pool
from ingest.errors import EmbedderMisbehaved
from tests.support.engines import CountingEngine


def frugal(engine: CountingEngine, *, memory_bytes: int = 1 << 20, **prefixes: str) -> FrugalEmbedder:
    return FrugalEmbedder(engine, VectorCache(memory_bytes=memory_bytes), **prefixes)


def unit(vector: Vectors) -> Vectors:
    return vector / np.linalg.norm(vector)


def test_rows_come_in_the_order_of_the_texts_each_one_long() -> None:
    engine = CountingEngine()
    texts = [f"text {number}" for number in range(10)]
    embedded = frugal(engine).embed(texts)
    for row, text in zip(embedded.vectors, texts, strict=True):
        np.testing.assert_allclose(row, unit(engine.vector(text)), atol=1e-6)
    assert embedded.tokens == 20


def test_equal_texts_are_embedded_once_and_charged_each_time() -> None:
    engine = CountingEngine()
    embedded = frugal(engine).embed(["a b", "c", "a b", "a b"])
    assert sorted(engine.seen) == ["a b", "c"]
    assert embedded.tokens == 7
    np.testing.assert_array_equal(embedded.vectors[0], embedded.vectors[3])


def test_texts_seen_before_come_from_the_cache_with_the_same_vector_and_charge() -> None:
    engine = CountingEngine()
    embedder = frugal(engine)
    first = embedder.embed(["a b c", "long text of more than four words"])
    asked = len(engine.seen)
    second = embedder.embed(["long text of more than four words", "a b c"])
    assert len(engine.seen) == asked
    assert second.tokens == first.tokens
    np.testing.assert_array_equal(second.vectors, first.vectors[::-1])


def test_a_cache_without_room_costs_time_not_results() -> None:
    engine = CountingEngine()
    embedder = frugal(engine, memory_bytes=0)
    texts = [f"text {number} is long enough for windows" for number in range(20)]
    np.testing.assert_array_equal(embedder.embed(texts).vectors, embedder.embed(texts).vectors)


def test_long_texts_are_the_mean_of_their_windows_and_share_them() -> None:
    engine = CountingEngine(window=2)
    embedded = frugal(engine).embed(["a b c d", "c d e f", "c d"])
    assert sorted(engine.seen) == ["a b", "c d", "e f"]
    parts = np.stack([unit(engine.vector(part)) for part in ("a b", "c d")])
    np.testing.assert_allclose(embedded.vectors[0], pool(parts, [2, 2]), atol=1e-6)
    assert embedded.tokens == 4 + 4 + 2


def test_what_was_computed_before_a_failure_is_not_computed_again() -> None:
    engine = CountingEngine(portion=2)
    embedder = frugal(engine)
    texts = [f"text {number}" for number in range(6)]
    engine.fail_after = 2
    with pytest.raises(ConnectionError):
        embedder.embed(texts)
    engine.fail_after = None
    embedder.embed(texts)
    assert sorted(engine.seen) == sorted(texts)


def test_prefixes_reach_the_model_and_keep_questions_apart_from_documents() -> None:
    engine = CountingEngine()
    embedder = frugal(engine, query_prefix="query: ", document_prefix="passage: ")
    embedder.embed(["a"])
    embedder.embed(["a"], purpose="query")
    assert engine.seen == ["passage: a", "query: a"]


def test_the_same_text_under_another_model_is_another_text() -> None:
    cache = VectorCache(memory_bytes=1 << 20)
    one, other = CountingEngine(identity="one"), CountingEngine(identity="other")
    FrugalEmbedder(one, cache).embed(["a"])
    FrugalEmbedder(other, cache).embed(["a"])
    assert other.seen == ["a"]


def test_half_characters_become_question_marks() -> None:
    engine = CountingEngine()
    frugal(engine).embed(["a\ud800b"])
    assert engine.seen == ["a?b"]


def test_no_texts_give_no_rows_and_ask_nobody() -> None:
    engine = CountingEngine(width=8)
    assert frugal(engine).embed([]).vectors.shape == (0, 8)
    assert engine.seen == []


class OddEngine(CountingEngine):
    def __init__(self, rows: Vectors, indices: Sequence[int] = (0, 1)) -> None:
        super().__init__(width=2)
        self._rows, self._indices = rows, indices

    def encode(self, texts: Sequence[str], purpose: Purpose) -> Iterator[Portion]:
        yield Portion(self._indices, self._rows, [1] * len(self._indices))


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([[1, 0, 0], [1, 0, 0]], "shape"),
        ([[1, 0]], "shape"),
        ([[1, float("nan")], [1, 0]], "finite"),
        ([[1, float("inf")], [1, 0]], "finite"),
        ([[0, 0], [1, 0]], "length zero"),
    ],
)
def test_rows_that_are_no_directions_are_refused(rows: list[list[float]], sentence: str) -> None:
    with pytest.raises(EmbedderMisbehaved, match=sentence):
        frugal(OddEngine(np.array(rows, dtype=np.float32))).embed(["a", "b"])


def test_an_engine_that_leaves_a_text_out_is_refused() -> None:
    engine = OddEngine(np.ones((1, 2), dtype=np.float32), indices=[0])
    with pytest.raises(EmbedderMisbehaved, match="1 of 2"):
        frugal(engine).embed(["a", "b"])


def test_closing_the_embedder_closes_the_engine() -> None:
    engine = CountingEngine()
    frugal(engine).close()
    assert engine.closed
