"""Chunk ids, which are also the cursors of their lists."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.api.schemas.chunks import parse_token, token_of
from retrieval.errors import InvalidInput
from retrieval.search.passages import BEGINNING, Place

numbers = st.integers(0, 10**17)


@given(numbers, numbers)
def test_a_chunks_id_is_its_place(document: int, ordinal: int) -> None:
    assert parse_token(token_of(Place(document, ordinal))) == Place(document, ordinal)


@pytest.mark.parametrize("absent", [None, ""])
def test_no_cursor_is_the_beginning(absent: str | None) -> None:
    assert parse_token(absent) == BEGINNING
    assert Place(0, 0) > BEGINNING


@given(st.text().filter(bool))
def test_anything_else_is_refused_or_a_place(text: str) -> None:
    if re.fullmatch(r"chunk_[0-9]{1,18}_[0-9]{1,18}", text):
        assert parse_token(text).document >= 0
        return
    with pytest.raises(InvalidInput) as refusal:
        parse_token(text)
    assert refusal.value.param == "after"
