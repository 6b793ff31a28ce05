"""Which codes a query looks at: all of the small segments', and of a large one the lists nearest to it.

A group is what one call can search: all unsplit segments together, and each split one. Which lists are visited
first is a matter of speed alone: lists that are not are doubted by what was found, and visited if in doubt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retrieval.index.vectors.bundles import Bundle
from retrieval.index.vectors.codebook import Codebook
from retrieval.index.vectors.codes import SegmentCodes
from retrieval.index.vectors.kernels import CodeStack, Matrix, RowFilter, Rows, score_rows
from retrieval.index.vectors.placed import Placed
from retrieval.index.vectors.selection import Mask, Selection
from retrieval.index.vectors.spreads import Spreads


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    stack: CodeStack
    segments: tuple[int, ...]
    split: SegmentCodes | None
    spreads: Spreads | None  # of a split one
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

    def visit(self, query: Matrix, selected: Rows | None) -> "Visit":
        """One query's way through the lists; `query` as it is coded."""
        split = None if self.split is None else self.split.split
        if split is None or selected is None:
            return Visit(self, query, self.no_nearness, None)
        return Visit(self, query, score_rows(split.centres, query, self.every_list), selected)


class Visit:
    """Which lists of a group one query has been to."""

    def __init__(self, group: Group, query: Matrix, nearness: Matrix, selected: Rows | None) -> None:
        self._group = group
        self._query = query
        self._nearness = nearness
        self._left = selected  # rows selected in each list not visited; None: there is nothing to choose

    def nearest(self, probes: int, wanted: int) -> Rows:
        """The nearest lists with selected rows: `probes` in a thousand, or more until they hold the rows wanted."""
        if self._left is None:
            return self._group.every_list
        order = np.argsort(-self._nearness)
        order = order[self._left[order] > 0]
        count = -(-probes * len(self._nearness) // 1_000)
        enough = int(np.searchsorted(np.cumsum(self._left[order]), wanted)) + 1
        return order[: max(count, enough)]

    def doubtful(self, bar: float) -> Rows:
        """Lists not visited in which rows above `bar` are to be expected."""
        if self._left is None or self._group.spreads is None:
            return np.empty(0, np.int64)
        return self._group.spreads.doubtful(self._query, self._nearness, bar, self._left)

    def leave(self, lists: Rows) -> None:
        """Count these lists as visited."""
        if self._left is not None:
            self._left = self._left.copy()
            self._left[lists] = 0

    def search(self, lists: Rows, wanted: int, allowed: RowFilter | None) -> tuple[Rows, Matrix]:
        """Ids and approximate scores of the `wanted` allowed rows that look best by their codes, best first."""
        return self._group.stack.search(self._query, wanted, lists, self._nearness[lists], allowed)


def groups_of(codebook: Codebook, placed: Sequence[Placed], bundles: Sequence[Bundle]) -> tuple[Group, ...]:
    whole, alone, groups = [], [], []
    for segment, one in enumerate(placed):
        codes = one.segment.codes
        if one.lists is not None and codes is not None and codes.split is not None:
            stack = CodeStack(codes.split.centroids, [one.lists], residual=True)
            groups.append(_group(stack, [segment], codes, one.spreads))
        elif one.coded:
            whole.append(segment)
            alone += [] if one.lists is None else [one.lists]
    if whole:
        stack = CodeStack(codebook.centroids, [*alone, *(bundle.lists for bundle in bundles)], residual=False)
        groups.append(_group(stack, whole, None, None))
    return tuple(groups)


def _group(stack: CodeStack, segments: Sequence[int], codes: SegmentCodes | None, spreads: Spreads | None) -> Group:
    return Group(stack, tuple(segments), codes, spreads, np.arange(stack.count), np.zeros(stack.count, np.float32))
