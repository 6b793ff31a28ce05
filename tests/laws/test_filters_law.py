"""Filters over columns decide as a plain reading of the grammar does, whatever the history of the columns."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from retrieval.catalog.rows import DocumentRow
from retrieval.ids import FileId
from retrieval.index.documents import Documents
from retrieval.search.filters import parse_filter
from tests.support.filters import ATTRIBUTES, FILTERS, reading

STEPS = st.lists(st.tuples(st.integers(0, 12), ATTRIBUTES, st.booleans()), max_size=30)


@settings(deadline=None, max_examples=300)
@given(steps=STEPS, filters=st.lists(FILTERS, min_size=1, max_size=3), cuts=st.lists(st.integers(1, 6), max_size=8))
def test_a_filter_decides_as_its_plain_reading(steps: list, filters: list, cuts: list[int]) -> None:  # type: ignore[type-arg]
    table, versions = Documents.none(), []
    model: dict[int, Any] = {}
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
