"""The model-free embedder: same words, same direction, on every machine."""

import numpy as np
import pytest

from ingest.embedding import HashedEmbedder, Vectors


def rows(*texts: str, width: int = 384) -> Vectors:
    return HashedEmbedder(width=width).embed(texts).vectors


@pytest.mark.parametrize("width", [1, 2, 7, 384, 3072])
def test_every_row_is_one_long_whatever_the_text_and_width(width: int) -> None:
    texts = ["", " ", "!!!", "a", "word " * 500, "日本語の文章", "\x00", "\ud800", "😀", "İstanbul"]
    vectors = rows(*texts, width=width)
    assert vectors.shape == (len(texts), width)
    assert vectors.dtype == np.float32
    assert vectors.flags.c_contiguous
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)


def test_texts_that_share_words_are_nearer_than_texts_that_do_not() -> None:
    query, near, far = rows(
        "how do I renew the boiler warranty?",
        "The warranty of the boiler is renewed each year.",
        "Quarterly revenue rose sharply in the north.",
    )
    assert query @ near > query @ far + 0.2


def test_plurals_and_upper_case_count_as_nearly_the_same_word() -> None:
    cat, cats, shouted, dog = rows("cat", "cats", "CAT", "dog")
    assert cat @ cats > 0.3
    assert cat @ shouted == pytest.approx(1.0)
    assert abs(cat @ dog) < 0.2


def test_scripts_without_spaces_share_pairs_of_characters() -> None:
    one, near, far = rows("東京都の人口統計", "東京都の人口は増加", "機械学習の基礎知識")
    assert one @ near > one @ far + 0.2


def test_a_text_has_one_vector_whatever_its_company() -> None:
    texts = [f"text number {number} ends in 文" for number in range(50)]
    together = rows(*texts)
    for row, text in zip(together, texts, strict=True):
        np.testing.assert_array_equal(row, rows(text)[0])


def test_vectors_do_not_change_between_releases() -> None:
    vector = rows("Carrel keeps what it is given.", width=8)[0]
    expected = [-0.3791698, 0.480311, 0.0, 0.0337137, -0.0210743, 0.0179944, -0.5923259, -0.5222806]
    np.testing.assert_allclose(vector, expected, atol=1e-6)


def test_tokens_are_words_and_no_texts_cost_nothing() -> None:
    embedder = HashedEmbedder()
    assert embedder.embed(["three small words", "one"]).tokens == 4
    empty = embedder.embed([])
    assert empty.vectors.shape == (0, 384)
    assert empty.tokens == 0


def test_a_width_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one dimension"):
        HashedEmbedder(width=0)
