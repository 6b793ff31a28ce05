"""The documents of one store at one generation: who lives, what each is called, and its attributes.

Positions are this table's own; a document's number is the catalog's. A version never changes, and the next one
shares all that stayed the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, cast

import numpy as np
from numpy.typing import NDArray

from retrieval.catalog.rows import AttributeValue, DocumentRow
from retrieval.ids import FileId
from retrieval.index.columns import Column, Mask
from retrieval.index.growing import Growing, Texts

Positions = NDArray[np.integer]

UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Documents:
    numbers: Growing[np.int64]
    living: Growing[np.bool_]
    file_ids: Texts
    filenames: Texts
    columns: Mapping[str, Column]
    _position_of: Growing[np.int32]  # by document number

    @classmethod
    def none(cls) -> Self:
        return cls(
            Growing.of(np.empty(0, np.int64)),
            Growing.of(np.empty(0, np.bool_)),
            Texts.none(),
            Texts.none(),
            {},
            Growing.of(np.empty(0, np.int32)),
        )

    def __len__(self) -> int:
        return len(self.numbers)

    def positions(self, numbers: NDArray[np.int64]) -> NDArray[np.int32]:
        """Where each document stands in this table, or UNKNOWN."""
        table = self._position_of.values
        result = np.full(len(numbers), UNKNOWN, np.int32)
        inside = (numbers >= 0) & (numbers < len(table))
        result[inside] = table[numbers[inside]]
        return result

    def living_at(self, numbers: NDArray[np.int64], allowed: Mask | None = None) -> Mask:
        """For each document number, whether it lives (and is allowed)."""
        if not len(self):
            return np.zeros(len(numbers), np.bool_)
        places = self.positions(numbers)
        mask = self.living.values if allowed is None else self.living.values & allowed
        result: Mask = mask[places] & (places != UNKNOWN)
        return result

    def file_id(self, position: int) -> FileId:
        return FileId(self.file_ids[position])

    def filename(self, position: int) -> str:
        return self.filenames[position]

    def attributes(self, position: int) -> dict[str, AttributeValue]:
        return self.attributes_of(np.array([position]))[0]

    # Of many documents at once, in the order given.

    def file_ids_of(self, positions: Positions) -> list[FileId]:
        return cast("list[FileId]", self.file_ids.at(positions))

    def filenames_of(self, positions: Positions) -> list[str]:
        return self.filenames.at(positions)

    def attributes_of(self, positions: Positions) -> list[dict[str, AttributeValue]]:
        found: list[dict[str, AttributeValue]] = [{} for _ in range(len(positions))]
        for key, column in self.columns.items():
            for attributes, value in zip(found, column.values(positions), strict=True):
                if value is not None:
                    attributes[key] = value
        return found

    def updated(self, rows: Sequence[DocumentRow]) -> Self:
        """The next version: unknown documents are added, known ones take their new attributes and life."""
        if not rows:
            return self
        if not len(self):
            return self._added(rows)
        places = self.positions(np.array([row.number for row in rows], np.int64))
        known = [(int(place), row) for place, row in zip(places, rows, strict=True) if place != UNKNOWN]
        fresh = [row for place, row in zip(places, rows, strict=True) if place == UNKNOWN]
        table = self._changed(sorted(known, key=lambda pair: pair[0])) if known else self
        return table._added(fresh) if fresh else table

    def _changed(self, known: list[tuple[int, DocumentRow]]) -> Self:
        places = np.array([place for place, _ in known], np.int64)
        living = np.array([row.living for _, row in known], np.bool_)
        flips = self.living.values[places] != living
        # A dead document is never seen again, so its attributes need not be brought up to date.
        alive = [(place, row) for place, row in known if row.living]
        return replace(
            self,
            living=self.living.replaced(places[flips], living[flips]),
            columns=_with_values(self.columns, [place for place, _ in alive], [row.attributes for _, row in alive]),
        )

    def _added(self, fresh: Sequence[DocumentRow]) -> Self:
        first = len(self)
        numbers = np.array([row.number for row in fresh], np.int64)
        places = range(first, first + len(fresh))
        position_of = self._position_of.grown(int(numbers.max()) + 1, UNKNOWN)
        old = numbers < len(self._position_of)
        if old.any():
            position_of = position_of.replaced(numbers, np.array(places, np.int32))
        else:  # the usual case: numbers only rise, and the new places lie behind every older version's end
            position_of = self._position_of.appended(_scattered(numbers, len(self._position_of), first))
        return replace(
            self,
            numbers=self.numbers.appended(numbers),
            living=self.living.appended(np.array([row.living for row in fresh], np.bool_)),
            file_ids=self.file_ids.appended([row.file_id for row in fresh]),
            filenames=self.filenames.appended([row.filename for row in fresh]),
            columns=_with_values(self.columns, list(places), [row.attributes for row in fresh]),
            _position_of=position_of,
        )


def _scattered(numbers: NDArray[np.int64], start: int, first: int) -> NDArray[np.int32]:
    """The piece of the number table from `start` on, in which `numbers` stand for positions from `first`."""
    piece = np.full(int(numbers.max()) + 1 - start, UNKNOWN, np.int32)
    piece[numbers - start] = np.arange(first, first + len(numbers), dtype=np.int32)
    return piece


def _with_values(
    columns: Mapping[str, Column], places: list[int], attributes: Sequence[Mapping[str, AttributeValue]]
) -> Mapping[str, Column]:
    """The columns with these documents' attributes; a key that a document lacks is removed from it."""
    if not places:
        return columns
    keys = set().union(*attributes)
    changed = dict(columns)
    for key in sorted(keys | set(columns)):
        column = columns.get(key)
        values = [mapping.get(key) for mapping in attributes]
        if key not in keys and column is not None and len(column.kinds) <= places[0]:
            continue  # absent before, absent now
        changed[key] = (column or Column.empty()).updated(places, values)
    return changed
