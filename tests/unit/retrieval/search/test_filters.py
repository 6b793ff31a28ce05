"""Attribute filters: what the grammar takes, what it refuses and where it points."""

import pytest

from retrieval.catalog.rows import DocumentRow
from retrieval.errors import InvalidInput
from retrieval.ids import FileId
from retrieval.index.documents import Documents
from retrieval.search.filters import Filter, parse_filter

ATTRIBUTES: list[dict[str, str | float | bool]] = [
    {"n": 5, "s": "b", "flag": True},
    {"n": 5.0, "s": "B"},
    {"n": 7.5, "flag": False},
    {"n": "5", "s": "é"},
    {},
    {"n": True, "s": "abc"},
]


def documents() -> Documents:
    rows = [
        DocumentRow(number, FileId(f"file-{number}"), f"{number}.txt", attributes, True, 1)
        for number, attributes in enumerate(ATTRIBUTES)
    ]
    return Documents.none().updated(rows)


def passing(given: object) -> list[int]:
    return [int(place) for place in parse_filter(given).decide(documents()).nonzero()[0]]


@pytest.mark.parametrize(
    ("kind", "key", "value", "expected"),
    [
        ("eq", "n", 5, [0, 1]),
        ("eq", "n", 5.0, [0, 1]),
        ("eq", "n", "5", [3]),
        ("eq", "n", True, [5]),
        ("eq", "n", 1, []),
        ("ne", "n", 5, [2, 3, 4, 5]),
        ("gt", "n", 5, [2]),
        ("gte", "n", 5, [0, 1, 2]),
        ("lt", "n", 7.5, [0, 1]),
        ("lte", "n", 7.5, [0, 1, 2]),
        ("gt", "s", "B", [0, 3, 5]),
        ("gte", "s", "b", [0, 3]),
        ("lt", "s", "b", [1, 5]),
        ("lte", "s", "b", [0, 1, 5]),
        ("lt", "flag", True, [2]),
        ("in", "n", [5, "5"], [0, 1, 3]),
        ("in", "n", [], []),
        ("nin", "n", [5, "5"], [2, 4, 5]),
        ("nin", "n", [], [0, 1, 2, 3, 4, 5]),
        ("eq", "absent", 1, []),
        ("ne", "absent", 1, [0, 1, 2, 3, 4, 5]),
        ("nin", "absent", [1], [0, 1, 2, 3, 4, 5]),
    ],
)
def test_a_comparison_follows_the_contract(kind: str, key: str, value: object, expected: list[int]) -> None:
    assert passing({"type": kind, "key": key, "value": value}) == expected


def test_compounds_nest() -> None:
    given = {
        "type": "or",
        "filters": [
            {
                "type": "and",
                "filters": [{"type": "eq", "key": "n", "value": 5}, {"type": "eq", "key": "s", "value": "b"}],
            },
            {"type": "eq", "key": "flag", "value": False},
        ],
    }
    assert passing(given) == [0, 2]


def test_an_empty_and_holds_for_all_and_an_empty_or_for_none() -> None:
    assert passing({"type": "and", "filters": []}) == [0, 1, 2, 3, 4, 5]
    assert passing({"type": "or", "filters": []}) == []


def test_a_filter_may_nest_thousands_deep() -> None:
    given: object = {"type": "eq", "key": "n", "value": 5}
    for _ in range(5000):
        given = {"type": "and", "filters": [given]}
    assert passing(given) == [0, 1]


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ([], "filters", "invalid_type"),
        ({}, "filters.type", "missing_required_parameter"),
        ({"type": "like", "key": "a", "value": 1}, "filters.type", "invalid_value"),
        ({"type": ["eq"], "key": "a", "value": 1}, "filters.type", "invalid_value"),
        ({"type": "eq", "value": 1}, "filters.key", "missing_required_parameter"),
        ({"type": "eq", "key": "a"}, "filters.value", "missing_required_parameter"),
        ({"type": "eq", "key": 1, "value": 1}, "filters.key", "invalid_type"),
        ({"type": "eq", "key": "a", "value": None}, "filters.value", "invalid_type"),
        ({"type": "eq", "key": "a", "value": [1]}, "filters.value", "invalid_type"),
        ({"type": "in", "key": "a", "value": 1}, "filters.value", "invalid_type"),
        ({"type": "in", "key": "a", "value": [1, None]}, "filters.value[1]", "invalid_type"),
        ({"type": "eq", "key": "a", "value": 10**400}, "filters.value", "invalid_value"),
        ({"type": "eq", "key": "a", "value": float("nan")}, "filters.value", "invalid_value"),
        ({"type": "eq", "key": "a", "value": 1, "extra": 1}, "filters.extra", "unknown_parameter"),
        ({"type": "and", "filters": {}}, "filters.filters", "invalid_type"),
        ({"type": "and", "filters": [], "key": "a"}, "filters.key", "unknown_parameter"),
        (
            {"type": "and", "filters": [{"type": "or", "filters": [{"type": "eq", "key": "a", "value": 1}, 3]}]},
            "filters.filters[0].filters[1]",
            "invalid_type",
        ),
    ],
)
def test_a_wrong_filter_is_refused_with_the_path_to_the_fault(given: object, param: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_filter(given)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert param in caught.value.message


def test_filters_that_differ_only_in_the_type_of_a_value_are_not_taken_for_each_other() -> None:
    def one(value: object) -> Filter:
        return parse_filter({"type": "eq", "key": "a", "value": value})

    assert one(1) != one(True)
    assert one(1) == one(1)
    assert len({one(1), one(True), one("1")}) == 3
