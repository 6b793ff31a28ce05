"""Snapshot: one generation of one store, opened. A search holds it from first line to last.

A snapshot never changes, and the next one shares every segment, code and column that stayed the same. Opened
files stay readable although they are removed meanwhile: the system keeps what is mapped.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from retrieval.catalog.rows import SegmentRow
from retrieval.ids import StoreId
from retrieval.index.columns import Mask
from retrieval.index.documents import Documents
from retrieval.index.selection import Allowed, allow
from retrieval.index.vectors import SegmentVectors, Selection, VectorSide
from retrieval.segments.reader import Segment
from retrieval.segments.rows import StoredChunk

Read = TypeVar("Read")

REMEMBERED_SELECTIONS: Final = 16
REMEMBERED_BYTES: Final = 64 << 20  # of masks, for one snapshot


@dataclass(frozen=True, slots=True, eq=False)
class OpenSegment:
    row: SegmentRow
    segment: Segment
    vectors: SegmentVectors
    living: Allowed  # rows of living documents


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """One filter (or none), decided for every row of a snapshot."""

    masks: tuple[Mask | None, ...]  # by segment; None: every row
    vectors: Selection
    rows: int

    @property
    def nbytes(self) -> int:
        return 1024 + sum(2 * mask.nbytes for mask in self.masks if mask is not None)


class Snapshot:
    def __init__(
        self,
        store: StoreId,
        generation: int,
        model: str,
        documents: Documents,
        segments: tuple[OpenSegment, ...],
        side: VectorSide,
        edition: int = 0,
    ) -> None:
        self.store = store
        self.edition = edition
        self.generation = generation
        self.model = model
        self.documents = documents
        self.segments = segments
        self.side = side
        self._selected: OrderedDict[Hashable, Selected] = OrderedDict()
        self._selecting = threading.Lock()  # guards _selected, not the work of filling it

    @property
    def rows_living(self) -> int:
        return sum(one.living.rows for one in self.segments)

    def chunks(self, rows: Sequence[tuple[int, int]]) -> list[StoredChunk]:
        """The chunks of (segment, row) pairs, in their order; each segment is asked once."""
        return self._asked(rows, Segment.chunks)

    def texts(self, rows: Sequence[tuple[int, int]]) -> list[str]:
        """Their texts alone."""
        return self._asked(rows, Segment.texts)

    def _asked(
        self, rows: Sequence[tuple[int, int]], ask: Callable[[Segment, Sequence[int]], list[Read]]
    ) -> list[Read]:
        asked: dict[int, list[int]] = {}
        for segment, row in rows:
            asked.setdefault(segment, []).append(row)
        answers = {
            segment: iter(ask(self.segments[segment].segment, of_segment)) for segment, of_segment in asked.items()
        }
        return [next(answers[segment]) for segment, _ in rows]

    def select(self, key: Hashable = None, decide: Callable[[Documents], Mask] | None = None) -> Selected:
        """The rows that a filter allows, decided once for a `key`; without a filter, all that live."""
        with self._selecting:
            known = self._selected.get(key)
            if known is not None:
                self._selected.move_to_end(key)
                return known
        selected = self._decide(decide)
        with self._selecting:
            self._selected[key] = selected
            while len(self._selected) > REMEMBERED_SELECTIONS or (
                len(self._selected) > 1 and sum(one.nbytes for one in self._selected.values()) > REMEMBERED_BYTES
            ):
                self._selected.popitem(last=False)
        return selected

    def _decide(self, decide: Callable[[Documents], Mask] | None) -> Selected:
        if decide is None:
            allowed = [one.living for one in self.segments]
        else:
            passing = decide(self.documents)
            allowed = [allow(self.documents, one.segment.runs, one.row.rows, passing) for one in self.segments]
        masks = tuple(part.mask for part in allowed)
        return Selected(masks, self.side.select(masks), sum(part.rows for part in allowed))
