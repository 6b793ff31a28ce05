"""Attributes as columns: one typed array a key, so that a filter is decided for all documents at once.

The rules are the contract's: 5 equals 5.0, a boolean is no number, values of different types are unequal and
never ordered, numbers compare as floats, strings by code point, an absent attribute matches nothing.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.rows import AttributeValue
from retrieval.index.growing import Growing

Mask = NDArray[np.bool_]
Ordering = Literal["gt", "gte", "lt", "lte"]

ABSENT, STRING, WHOLE, FRACTION, BOOLEAN = range(5)
# Numbers are compared as JSON has them, as floats; beyond this one no longer holds every whole number, and the
# number that was given is kept beside it, to be given back.
EXACT_AS_FLOAT = 1 << 53

_KIND_OF: dict[type, int] = {str: STRING, int: WHOLE, float: FRACTION, bool: BOOLEAN}
_COMPARE: dict[str, Callable[[NDArray[np.float64], float], Mask]] = {
    "gt": np.greater,
    "gte": np.greater_equal,
    "lt": np.less,
    "lte": np.less_equal,
}


class Dictionary:
    """The distinct strings of one key, numbered in order of arrival. Shared by all versions; only ever grows."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._code_of: dict[str, int] = {}

    def code(self, text: str) -> int:
        """The text's number, given to it now if it has none. Called under the store's lock only."""
        code = self._code_of.setdefault(text, len(self.texts))
        if code == len(self.texts):
            self.texts.append(text)
        return code

    def codes(self, texts: Sequence[str]) -> list[int]:
        """`code` of each."""
        for text in dict.fromkeys(texts):
            self.code(text)
        return list(map(self._code_of.__getitem__, texts))

    def find(self, text: str) -> int:
        return self._code_of.get(text, -1)


@dataclass(frozen=True, slots=True)
class Column:
    """One key's values by document position; positions behind the end are absent."""

    kinds: Growing[np.uint8]
    numbers: Growing[np.float64]  # numbers and booleans; a string's code otherwise
    dictionary: Dictionary
    large: dict[int, int]  # whole numbers that a float may have rounded, by position

    @classmethod
    def empty(cls) -> Self:
        return cls(Growing.of(np.empty(0, np.uint8)), Growing.of(np.empty(0, np.float64)), Dictionary(), {})

    def updated(self, positions: Sequence[int], values: Sequence[AttributeValue | None]) -> Self:
        """A version in which `values` stand at `positions` (ascending); None removes."""
        kinds, numbers = self._coded(values)
        places = np.asarray(positions, np.int64)
        large = self.large
        rounded = np.flatnonzero((kinds == WHOLE) & (np.abs(numbers) >= EXACT_AS_FLOAT)).tolist()
        if large or rounded:
            replaced = set(positions)
            large = {key: whole for key, whole in large.items() if key not in replaced}
            large |= {positions[index]: int(values[index] or 0) for index in rounded}
        old = places < len(self.kinds)
        new_kinds = self.kinds.replaced(places[old], kinds[old])
        new_numbers = self.numbers.replaced(places[old], numbers[old])
        if not old.all():
            first = len(self.kinds)
            tail_kinds = np.zeros(int(places[-1]) + 1 - first, np.uint8)
            tail_numbers = np.zeros(len(tail_kinds), np.float64)
            tail_kinds[places[~old] - first] = kinds[~old]
            tail_numbers[places[~old] - first] = numbers[~old]
            new_kinds, new_numbers = new_kinds.appended(tail_kinds), new_numbers.appended(tail_numbers)
        return type(self)(new_kinds, new_numbers, self.dictionary, large)

    def _coded(self, values: Sequence[AttributeValue | None]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """Kind and number of each; most columns hold values of one type, which need no look at each."""
        types = set(map(type, values))
        kind = _KIND_OF.get(types.pop()) if len(types) == 1 else None
        if kind is None:
            kinds = np.array([_kind(value) for value in values], np.uint8)
            return kinds, np.array([self._number(value) for value in values], np.float64)
        numbers = self.dictionary.codes(cast("Sequence[str]", values)) if kind == STRING else values
        return np.full(len(values), kind, np.uint8), np.array(numbers, np.float64)

    def _number(self, value: AttributeValue | None) -> float:
        if isinstance(value, str):
            return float(self.dictionary.code(value))
        return 0.0 if value is None else float(value)

    def values(self, positions: NDArray[np.integer]) -> list[AttributeValue | None]:
        """The values at many positions, None where there is none."""
        inside = positions < len(self.kinds)
        if np.count_nonzero(inside) < len(positions):
            found = iter(self.values(positions[inside]))
            return [next(found) if one else None for one in inside.tolist()]
        kinds, numbers = self.kinds.values[positions], self.numbers.values[positions]
        columns = zip(positions.tolist(), kinds.tolist(), numbers.tolist(), strict=True)
        return [self._value(position, kind, number) for position, kind, number in columns]

    def _value(self, position: int, kind: int, number: float) -> AttributeValue | None:
        if kind == STRING:
            return self.dictionary.texts[int(number)]
        if kind == WHOLE:
            return self.large.get(position, int(number))
        if kind == FRACTION:
            return number
        return bool(number) if kind == BOOLEAN else None

    def among(self, values: Sequence[AttributeValue]) -> Mask:
        """Positions whose value equals one of `values`."""
        kinds, numbers = self.kinds.values, self.numbers.values
        codes = [float(self.dictionary.find(value)) for value in values if isinstance(value, str)]
        flags = [float(value) for value in values if isinstance(value, bool)]
        wanted = [float(value) for value in values if not isinstance(value, bool | str)]
        result: Mask = (kinds == STRING) & _member(numbers, codes)
        result |= (kinds == BOOLEAN) & _member(numbers, flags)
        result |= self._is_number() & _member(numbers, wanted)
        return result

    def ordered(self, order: Ordering, bound: AttributeValue) -> Mask:
        """Positions whose value stands to `bound` as `order` says."""
        kinds, numbers = self.kinds.values, self.numbers.values
        if isinstance(bound, str):
            result = np.zeros(len(kinds), np.bool_)
            places = np.flatnonzero(kinds == STRING)
            result[places] = self._ordered_text(order, bound)[numbers[places].astype(np.int64)]
            return result
        comparable: Mask = kinds == BOOLEAN if isinstance(bound, bool) else self._is_number()
        return comparable & _COMPARE[order](numbers, float(bound))

    def _is_number(self) -> Mask:
        kinds = self.kinds.values
        result: Mask = (kinds == WHOLE) | (kinds == FRACTION)
        return result

    def _ordered_text(self, order: Ordering, bound: str) -> Mask:
        """For every code of the dictionary, whether its text stands to `bound` as asked."""
        texts = self.dictionary.texts
        count = len(texts)  # another version may be adding to the list meanwhile
        ranked = sorted(range(count), key=texts.__getitem__)
        cut = (bisect_right if order in {"gt", "lte"} else bisect_left)(ranked, bound, key=texts.__getitem__)
        below = np.zeros(count, np.bool_)
        below[ranked[:cut]] = True
        return below if order in {"lt", "lte"} else ~below

    @property
    def nbytes(self) -> int:
        return self.kinds.nbytes + self.numbers.nbytes


def _kind(value: AttributeValue | None) -> int:
    if isinstance(value, str):
        return STRING
    if value is None:
        return ABSENT
    if isinstance(value, bool):
        return BOOLEAN
    return WHOLE if isinstance(value, int) else FRACTION


def _member(numbers: NDArray[np.float64], members: Sequence[float]) -> Mask:
    match len(members):
        case 0:
            return np.zeros(len(numbers), np.bool_)
        case 1:
            return np.equal(numbers, members[0])
        case _:
            return np.isin(numbers, np.array(members))
