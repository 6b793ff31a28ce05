"""Which lists of a large segment a query visits: the nearest, and more of them the fewer rows are selected.

Pure. Asks for enough selected rows behind the lists, so that a filter whose rows stand far from the query is
still answered from the best of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retrieval.index.vectors.kernels import Matrix, Rows, score_rows
from retrieval.index.vectors.selection import Mask, Selection


@dataclass(frozen=True, slots=True, eq=False)
class SplitCodes:
    """A segment's lists within the stack: numbers `first` and up, around `centres`."""

    segment: int
    first: int
    centres: Matrix
    sizes: Rows
    rows: NDArray[np.uint32]

    def selected(self, mask: Mask | None) -> Rows:
        """Selected rows of each list."""
        if mask is None:
            return self.sizes
        running = np.concatenate([[0], np.cumsum(mask[self.rows])])
        ends = np.cumsum(self.sizes)
        return np.asarray(running[ends] - running[ends - self.sizes], np.int64)


def choose_lists(
    split: Sequence[SplitCodes], whole: Rows, query: Matrix, selection: Selection, probes: int, wanted: int
) -> Rows:
    """`probes` in a thousand of each segment's lists, as many more as it takes to meet `wanted` selected rows."""
    if not split:
        return whole
    if selection.share < 1:
        probes = int(probes * min(selection.share**-0.5, 8))
    chosen = [whole]
    for one, selected in zip(split, selection.in_lists, strict=True):
        nearness = score_rows(one.centres, query, np.arange(len(one.centres)))
        count = min(max(-(-probes * len(one.centres) // 1000), 1), len(one.centres))
        if count == len(one.centres):
            chosen.append(np.arange(one.first, one.first + count))
            continue
        nearest = np.argsort(-nearness)
        if selection.share < 1:
            met = np.cumsum(selected[nearest])
            count = max(count, int(np.searchsorted(met, min(wanted, met[-1]))) + 1)
        chosen.append(nearest[:count] + one.first)
    return np.concatenate(chosen)
