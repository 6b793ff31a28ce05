"""Which rows of which segment a search may return: the living documents, and of these the ones a filter allows.

Decided for documents, widened to rows by the segments' runs (a document's rows lie together). A mask of None
means every row, so that an unfiltered search over a store without dead rows never builds one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.index.columns import Mask
from retrieval.index.documents import UNKNOWN, Documents


class Runs(Protocol):
    """How one segment's rows belong to documents: run i is rows starts[i] .. starts[i + 1] of numbers[i]."""

    @property
    def numbers(self) -> NDArray[np.int64]: ...

    @property
    def starts(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rows of one segment that may be returned; `runs` are the allowed runs' (start, end) rows, ascending."""

    rows: int
    mask: Mask | None
    runs: NDArray[np.int64] | None  # None with mask None: all rows

    @property
    def nbytes(self) -> int:
        return 64 + (0 if self.mask is None else self.mask.nbytes) + (0 if self.runs is None else self.runs.nbytes)


@dataclass(frozen=True, slots=True)
class Selection:
    """One filter (or none), decided for a whole snapshot."""

    segments: tuple[Allowed, ...]
    rows: int

    @property
    def masks(self) -> tuple[Mask | None, ...]:
        return tuple(allowed.mask for allowed in self.segments)

    @property
    def nbytes(self) -> int:
        return sum(allowed.nbytes for allowed in self.segments)


def allow(documents: Documents, runs: Runs, size: int, filtered: Mask | None) -> Allowed:
    """One segment's rows whose document lives and passes; `filtered` is by position in `documents`."""
    places = documents.positions(np.asarray(runs.numbers))
    inside = documents.living_at(np.asarray(runs.numbers), filtered)
    assert len(places) == 0 or places.min() >= UNKNOWN
    if inside.all():
        return Allowed(size, None, None)
    starts = np.asarray(runs.starts, np.int64)
    ends = np.append(starts[1:], size) if len(starts) == len(inside) else starts[1:]
    starts = starts[: len(inside)]
    lengths = ends - starts
    mask = np.repeat(inside, lengths)
    chosen = np.stack([starts[inside], ends[inside]], axis=1)
    return Allowed(int(lengths[inside].sum()), mask, chosen)


def select(documents: Documents, segments: Sequence[tuple[Runs, int]], filtered: Mask | None) -> Selection:
    allowed = tuple(allow(documents, runs, size, filtered) for runs, size in segments)
    return Selection(allowed, sum(part.rows for part in allowed))
