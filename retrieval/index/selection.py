"""Which rows of which segment a search may return: the living documents, and of these the ones a filter allows.

Decided for documents, widened to rows by the segments' runs (a document's rows lie together). A mask of None
means every row, so that an unfiltered search over a store without dead rows never builds one.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from retrieval.index.columns import Mask
from retrieval.index.documents import Documents


class Runs(Protocol):
    """How one segment's rows belong to documents: rows starts[i] .. starts[i + 1] are of numbers[i]."""

    @property
    def numbers(self) -> NDArray[np.int64]: ...

    @property
    def starts(self) -> NDArray[np.int64]: ...


@dataclass(frozen=True, slots=True)
class Allowed:
    """The rows of one segment that may be returned, and how many they are."""

    rows: int
    mask: Mask | None


def allow(documents: Documents, runs: Runs, size: int, filtered: Mask | None = None) -> Allowed:
    """One segment's rows whose document lives and passes; `filtered` is by position in `documents`."""
    inside = documents.living_at(runs.numbers, filtered)
    if inside.all():
        return Allowed(size, None)
    mask = np.repeat(inside, np.diff(runs.starts))
    return Allowed(int(np.count_nonzero(mask)), mask)
