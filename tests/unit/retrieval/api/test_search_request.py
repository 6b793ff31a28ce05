"""The wire's search, as a query of ours."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.api.schemas.search import SearchRequest
from retrieval.search.query import Query

weights = st.floats(0, allow_nan=False, allow_infinity=False)


def query(keyword_weight: float = 1.0, **body: Any) -> Query:
    return SearchRequest.model_validate({"query": "q", **body}).to_query(50, keyword_weight)


def test_what_is_not_said_is_as_the_contract_has_it() -> None:
    assert query() == Query(("q",), 10, None, "best", 1.0, 1.0, 0.0)


def test_the_weight_of_words_is_a_setting_until_the_caller_says_otherwise() -> None:
    assert query(0.25).keyword_weight == 0.25
    assert query(0.25, ranking_options={"ranker": "auto"}).keyword_weight == 0.25
    hybrid = {"embedding_weight": 1, "text_weight": 3}
    asked = query(0.25, ranking_options={"hybrid_search": hybrid})
    assert asked.keyword_weight / asked.vector_weight == pytest.approx(3)


@given(weights, weights)
def test_any_weights_make_a_query_whose_sum_is_finite(one: float, other: float) -> None:
    if not one + other:
        return
    asked = query(ranking_options={"hybrid_search": {"embedding_weight": one, "text_weight": other}})
    total = asked.vector_weight + asked.keyword_weight
    assert math.isfinite(total)
    assert 1 <= total <= 2


@pytest.mark.parametrize(
    ("name", "ranker"), [("none", "vectors"), ("auto", "best"), ("default", "best"), ("default_2024_08_21", "best")]
)
def test_only_none_leaves_words_out(name: str, ranker: str) -> None:
    assert query(ranking_options={"ranker": name}).ranker == ranker
