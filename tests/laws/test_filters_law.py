"""Filters over columns decide as a plain reading of the grammar does, whatever the history of the columns."""

from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.catalog.rows import AttributeValue, DocumentRow
from retrieval.ids import FileId
from retrieval.index.documents import Documents
from retrieval.search.filters import parse_filter

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
STEPS = st.lists(st.tuples(st.integers(0, 12), ATTRIBUTES, st.booleans()), max_size=30)


def sort_of(value: AttributeValue) -> str:
    return "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"


def same(one: AttributeValue, other: AttributeValue) -> bool:
    if sort_of(one) != sort_of(other):
        return False
    return one == other if isinstance(one, str) else float(one) == float(other)


def reading(node: dict, attributes: Mapping) -> bool:  # type: ignore[type-arg]  # the wire's own shape
    """The grammar, word for word."""
    if node["type"] == "and":
        return all(reading(inner, attributes) for inner in node["filters"])
    if node["type"] == "or":
        return any(reading(inner, attributes) for inner in node["filters"])
    kind, value = node["type"], node["value"]
    if node["key"] not in attributes:
        return kind in {"ne", "nin"}
    mine = attributes[node["key"]]
    if kind in {"eq", "ne"}:
        return same(mine, value) == (kind == "eq")
    if kind in {"in", "nin"}:
        return any(same(mine, item) for item in value) == (kind == "in")
    if sort_of(mine) != sort_of(value):
        return False
    left, right = (mine, value) if isinstance(mine, str) else (float(mine), float(value))
    return {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[kind]


@settings(deadline=None, max_examples=300)
@given(steps=STEPS, filters=st.lists(FILTERS, min_size=1, max_size=3), cuts=st.lists(st.integers(1, 6), max_size=8))
def test_a_filter_decides_as_its_plain_reading(steps: list, filters: list, cuts: list[int]) -> None:  # type: ignore[type-arg]
    table, model, versions = Documents.none(), {}, []
    waiting = list(steps)
    while waiting:
        size = cuts.pop() if cuts else 3
        batch = {
            number: DocumentRow(number, FileId(f"file-{number}"), str(number), attributes, living, 1)
            for number, attributes, living in waiting[:size]
        }
        del waiting[:size]
        table = table.updated(list(batch.values()))
        for number, row in batch.items():
            # Attributes of the dead are of no interest and stay as they were.
            kept = model[number].attributes if number in model and not row.living else row.attributes
            model = model | {number: DocumentRow(number, row.file_id, row.filename, kept, row.living, 1)}
        versions.append((table, model))
    for version, expected in versions:  # older versions must not have been touched by newer ones
        assert len(version) == len(expected)
        for node in filters:
            mask = parse_filter(node).decide(version)
            for place, number in enumerate(version.numbers.values):
                row = expected[int(number)]
                assert mask[place] == reading(node, dict(row.attributes)), (node, row)
                assert version.living.values[place] == row.living
                assert version.file_id(place) == row.file_id
                assert version.attributes(place) == row.attributes
                types = {key: type(value) for key, value in version.attributes(place).items()}
                assert types == {key: type(value) for key, value in row.attributes.items()}
