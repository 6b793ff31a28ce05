"""Attribute filters: strategies for all of them, and a plain Python reading of the grammar to compare with."""

from typing import Any

from hypothesis import strategies as st

from retrieval.catalog.rows import AttributeValue

Mapping = dict[str, AttributeValue]

KEYS = st.sampled_from(["a", "b", "ключ"])
VALUES = st.one_of(
    st.sampled_from([0, 1, 5, 5.0, -0.0, 2**53, 2**53 + 1, 1e300, True, False, "", "5", "a", "B", "é", "\U0001f600"]),
    st.integers(-(2**60), 2**60),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.text(max_size=3),
)
SCALARS = VALUES
ATTRIBUTES = st.dictionaries(KEYS, VALUES, max_size=3)
COMPARISONS = st.one_of(
    st.builds(
        lambda kind, key, value: {"type": kind, "key": key, "value": value},
        st.sampled_from(["eq", "ne", "gt", "gte", "lt", "lte"]),
        KEYS,
        VALUES,
    ),
    st.builds(
        lambda kind, key, value: {"type": kind, "key": key, "value": value},
        st.sampled_from(["in", "nin"]),
        KEYS,
        st.lists(VALUES.filter(lambda value: not isinstance(value, bool)), max_size=4),
    ),
)
FILTERS = st.recursive(
    COMPARISONS,
    lambda inner: st.builds(
        lambda kind, filters: {"type": kind, "filters": filters},
        st.sampled_from(["and", "or"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=8,
)


def sort_of(value: AttributeValue) -> str:
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def same(one: AttributeValue, other: AttributeValue) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return sort_of(one) == sort_of(other) and one == other
    return sort_of(one) == sort_of(other) and float(one) == float(other)


def order(one: AttributeValue, other: AttributeValue) -> int | None:
    """-1, 0 or 1; None if the two are not ordered."""
    if sort_of(one) != sort_of(other):
        return None
    if isinstance(one, str) and isinstance(other, str):
        return (one > other) - (one < other)
    return (float(one) > float(other)) - (float(one) < float(other))


def reading(node: dict[str, Any], attributes: Mapping) -> bool:
    """The grammar, word for word."""
    if node["type"] == "and":
        return all(reading(inner, attributes) for inner in node["filters"])
    if node["type"] == "or":
        return any(reading(inner, attributes) for inner in node["filters"])
    kind, value = str(node["type"]), node["value"]
    if node["key"] not in attributes:
        return kind in {"ne", "nin"}
    mine = attributes[node["key"]]
    if kind in {"eq", "ne"}:
        return same(mine, value) == (kind == "eq")
    if kind in {"in", "nin"}:
        return any(same(mine, item) for item in value) == (kind == "in")
    return order(mine, value) in {"gt": {1}, "gte": {0, 1}, "lt": {-1}, "lte": {-1, 0}}[kind]
