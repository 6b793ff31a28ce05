"""Values come back from columns as they went in, or are refused by name."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.catalog.rows import Attributes, StaticChunking
from retrieval.catalog.values import (
    attributes_from_json,
    attributes_to_json,
    chunking_columns,
    chunking_from_columns,
    legible,
    many_attributes_from_json,
    storable,
    within_range,
)
from retrieval.errors import InvalidInput

VALUES = st.text() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)


@given(attributes=st.none() | st.dictionaries(st.text(max_size=64), VALUES, max_size=16))
def test_attributes_come_back_with_their_types(attributes: Attributes | None) -> None:
    text = attributes_to_json(attributes)
    back = attributes_from_json(text)
    assert back == attributes
    if attributes is not None and back is not None:
        assert {key: type(value) for key, value in back.items()} == {
            key: type(value) for key, value in attributes.items()
        }
        assert text is not None
        assert text.isascii()
        assert "\x00" not in text


@given(
    many=st.lists(st.dictionaries(st.text(st.characters(), max_size=8), VALUES | st.text(st.characters()), max_size=4))
)
def test_many_read_at_once_are_as_read_one_by_one(many: list[Attributes]) -> None:
    """Lone surrogates among them too: the quick reader of many refuses those."""
    texts = [attributes_to_json(attributes) or "" for attributes in [*many, {"half": "\ud83d"}]]
    for some in (texts, texts[:-1]):
        assert list(map(repr, many_attributes_from_json(some))) == list(map(repr, map(attributes_from_json, some)))


def test_equal_attributes_are_equal_text_and_others_are_not() -> None:
    assert attributes_to_json({"a": 1, "b": 2}) == attributes_to_json({"b": 2, "a": 1})
    assert len({attributes_to_json({"a": value}) for value in (1, 1.0, True, "1")}) == 4


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_refused(value: float) -> None:
    with pytest.raises(InvalidInput):
        attributes_to_json({"a": value})


@given(text=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"])))
def test_ordinary_text_is_stored_as_it_is(text: str) -> None:
    assert storable(text, "name") == text
    assert legible(text) == text


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "a\udfffb"])
def test_text_that_cannot_be_stored_is_refused_by_name_or_made_legible(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        storable(text, "name")
    assert refusal.value.param == "name"
    storable(legible(text), "name")


def test_numbers_beyond_a_column_are_refused() -> None:
    assert within_range(2**63 - 1, "bytes") == 2**63 - 1
    for value in (-1, 2**63):
        with pytest.raises(InvalidInput):
            within_range(value, "bytes")


@pytest.mark.parametrize("chunking", [None, StaticChunking(100, 0), StaticChunking(4096, 2048)])
def test_chunking_comes_back(chunking: StaticChunking | None) -> None:
    columns = chunking_columns(chunking)
    assert chunking_from_columns(columns["chunk_max_tokens"], columns["chunk_overlap_tokens"]) == chunking
