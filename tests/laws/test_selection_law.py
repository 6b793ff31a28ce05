"""Rows allowed by the life and the filter of their documents, as a loop over rows would find them."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from retrieval.catalog.rows import DocumentRow
from retrieval.ids import FileId
from retrieval.index.documents import Documents
from retrieval.index.selection import allow


@dataclass(frozen=True)
class Layout:
    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]


@given(
    life=st.lists(st.sampled_from(["lives", "died", "never known"]), min_size=1, max_size=12),
    lengths=st.lists(st.lists(st.integers(1, 5), max_size=6), min_size=1, max_size=4),
    filtered=st.one_of(st.none(), st.lists(st.booleans(), min_size=12, max_size=12)),
    chance=st.randoms(use_true_random=False),
)
def test_exactly_the_rows_of_living_and_passing_documents_are_allowed(
    life: list[str], lengths: list[list[int]], filtered: list[bool] | None, chance: object
) -> None:
    rows = [
        DocumentRow(number, FileId(f"file-{number}"), "", {}, state == "lives", 1)
        for number, state in enumerate(life)
        if state != "never known"
    ]
    documents = Documents.none().updated(rows)
    mask = None if filtered is None else np.array(filtered[: len(documents)], np.bool_)
    segments, expected = [], []
    for sizes in lengths:
        numbers = [chance.randrange(len(life) + 2) for _ in sizes]  # type: ignore[attr-defined]
        starts = np.cumsum([0, *sizes]).astype(np.int64)
        segments.append((Layout(np.array(numbers, np.int64), starts), sum(sizes)))
        fine = []
        for number, size in zip(numbers, sizes, strict=True):
            lives = number < len(life) and life[number] == "lives"
            place = next((place for place, row in enumerate(rows) if row.number == number), None)
            passes = mask is None or (place is not None and bool(mask[place]))
            fine += [lives and passes] * size
        expected.append(fine)
    for (layout, size), fine in zip(segments, expected, strict=True):
        allowed = allow(documents, layout, size, mask)
        assert allowed.rows == sum(fine)
        got = np.ones(size, np.bool_) if allowed.mask is None else allowed.mask
        assert list(got) == fine
