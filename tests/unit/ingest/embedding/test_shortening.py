"""Fewer dimensions: only where the model allows it, and still one long."""

import numpy as np
import pytest

from ingest.embedding import HashedEmbedder, ShortenedEmbedder, shortened
from ingest.embedding.cache import VectorCache
from ingest.embedding.frugal import FrugalEmbedder
from tests.support.engines import CountingEngine


def test_the_first_dimensions_are_kept_and_made_one_long() -> None:
    whole = HashedEmbedder(width=64)
    short = ShortenedEmbedder(whole, 16)
    assert short.spec.width == 16
    rows = short.embed(["some words to be kept by the shelf", "other words of the same shelf"]).vectors
    expected = whole.embed(["some words to be kept by the shelf", "other words of the same shelf"]).vectors[:, :16]
    np.testing.assert_allclose(rows, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-6)


def test_a_row_with_nothing_left_still_points_somewhere() -> None:
    assert shortened(np.array([[0, 0, 1]], dtype=np.float32), 2).tolist() == [[1, 0]]


def test_shortening_leaves_the_given_rows_alone() -> None:
    rows = np.array([[3, 4, 0]], dtype=np.float32)
    shortened(rows, 2)
    assert rows.tolist() == [[3, 4, 0]]


def test_a_model_not_trained_for_it_is_refused() -> None:
    embedder = FrugalEmbedder(CountingEngine(), VectorCache(memory_bytes=0))
    with pytest.raises(ValueError, match="not trained to be shortened"):
        ShortenedEmbedder(embedder, 4)


@pytest.mark.parametrize("dimensions", [0, -1, 65])
def test_impossible_widths_are_refused(dimensions: int) -> None:
    with pytest.raises(ValueError, match="64 dimensions"):
        ShortenedEmbedder(HashedEmbedder(width=64), dimensions)
