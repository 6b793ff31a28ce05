"""Which codes a query looks at: all of the small segments', and of a large one the lists nearest to it.

A group is what one call can search: all unsplit segments together, and each split one. The fewer rows are
selected, the more lists are visited, until they hold as many selected rows as are wanted; so a filter whose rows
all stand far from the query is still answered from the best of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from retrieval.index.vectors.bundles import Bundle
from retrieval.index.vectors.codebook import Codebook
from retrieval.index.vectors.codes import SegmentCodes
from retrieval.index.vectors.kernels import CodeStack, Matrix, Rows, score_rows
from retrieval.index.vectors.placed import Placed
from retrieval.index.vectors.selection import Mask, Selection

_WIDENED: Final = 0.15  # measured at a million rows: .996 and more from half of the rows down to one in forty
_MOST_WIDENED: Final = 3.0
_THIN: Final = 0.8  # of the selected rows that lists would hold if the filter had nothing to do with the vectors


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    stack: CodeStack
    segments: tuple[int, ...]
    split: SegmentCodes | None
    every_list: Rows
    no_nearness: Matrix

    def count(self, selection: Selection) -> int:
        return sum(selection.by_segment[segment] for segment in self.segments)

    def selected_in_lists(self, masks: Sequence[Mask | None]) -> Rows | None:
        """Selected rows of each list, where a search chooses lists."""
        if self.split is None or self.split.lists.rows is None:
            return None
        sizes, mask = self.split.lists.sizes, masks[self.segments[0]]
        if mask is None:
            return sizes
        running = np.concatenate([[0], np.cumsum(mask[self.split.lists.rows])])
        ends = np.cumsum(sizes)
        return np.asarray(running[ends] - running[ends - sizes], np.int64)

    def search(
        self, query: Matrix, wanted: int, selection: Selection, in_lists: Rows | None, probes: int
    ) -> tuple[Rows, Matrix]:
        """Ids and approximate scores of the `wanted` selected rows that look best by their codes, best first.

        `probes` in a thousand lists are visited, or more. `wanted` is at most the rows selected.
        """
        split = None if self.split is None else self.split.split
        if split is None or in_lists is None:
            return self.stack.search(query, wanted, self.every_list, self.no_nearness, selection.ids)
        nearness = score_rows(split.centres, query, self.every_list)
        visited = self._visited(nearness, wanted, selection, in_lists, probes)
        return self.stack.search(query, wanted, visited, nearness[visited], selection.ids)

    def _visited(self, nearness: Matrix, wanted: int, selection: Selection, in_lists: Rows, probes: int) -> Rows:
        count = min(-(-probes * len(nearness) // 1_000), len(nearness))
        nearest = np.argsort(-nearness)
        met = np.cumsum(in_lists[nearest])
        if selection.share < 1 and self.split is not None:
            count = min(round(count * min(selection.share**-_WIDENED, _MOST_WIDENED)), len(nearness))
            expected = float(self.split.lists.sizes[nearest[:count]].sum()) * selection.share
            if met[count - 1] < _THIN * expected:  # the rows selected stand elsewhere: nearness says little about them
                return nearest[in_lists[nearest] > 0]
        enough = int(np.searchsorted(met, wanted)) + 1
        return nearest[: max(count, enough)]


def groups_of(codebook: Codebook, placed: Sequence[Placed], bundles: Sequence[Bundle]) -> tuple[Group, ...]:
    whole, alone, groups = [], [], []
    for segment, one in enumerate(placed):
        codes = one.segment.codes
        if one.lists is not None and codes is not None and codes.split is not None:
            stack = CodeStack(codes.split.centroids, [one.lists], residual=True)
            groups.append(_group(stack, [segment], codes))
        elif one.coded:
            whole.append(segment)
            alone += [] if one.lists is None else [one.lists]
    if whole:
        stack = CodeStack(codebook.centroids, [*alone, *(bundle.lists for bundle in bundles)], residual=False)
        groups.append(_group(stack, whole, None))
    return tuple(groups)


def _group(stack: CodeStack, segments: Sequence[int], codes: SegmentCodes | None) -> Group:
    return Group(stack, tuple(segments), codes, np.arange(stack.count), np.zeros(stack.count, np.float32))
