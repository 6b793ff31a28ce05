"""Which part of a list a page is: the windows of every combination of order and cursors."""

from hypothesis import given
from hypothesis import strategies as st

from retrieval.catalog.paging import Order, Position, Window, shown, window

POSITIONS = st.tuples(st.integers(0, 3), st.integers(0, 30))


def read(elements: list[Position], view: Window, limit: int) -> list[Position]:
    """What a database answers to a window: at most one more than the limit."""
    inside = [
        place
        for place in sorted(elements)
        if (view.above is None or place > view.above) and (view.below is None or place < view.below)
    ]
    return (inside if view.from_low_end else inside[::-1])[: limit + 1]


@given(
    elements=st.lists(POSITIONS, unique=True),
    limit=st.integers(1, 5),
    order=st.sampled_from(["asc", "desc"]),
    after=st.none() | POSITIONS,
    before=st.none() | POSITIONS,
)
def test_a_page_is_the_slice_that_the_contract_describes(
    elements: list[Position], limit: int, order: Order, after: Position | None, before: Position | None
) -> None:
    in_order = sorted(elements, reverse=order == "desc")

    def follows(place: Position, other: Position) -> bool:
        return place > other if order == "asc" else place < other

    between = [
        place
        for place in in_order
        if (after is None or follows(place, after)) and (before is None or follows(before, place))
    ]
    expected = between[-limit:] if before is not None and after is None else between[:limit]
    view = window(order, after, before)
    page = shown(read(elements, view, limit), limit, view)
    assert list(page.items) == expected
    assert page.has_more == (len(between) > limit)
