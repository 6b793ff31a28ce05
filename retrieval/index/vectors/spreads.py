"""How far the rows of a list stand from its centre, and so how likely one of them is among the best. Pure numpy.

A row's score is the score of its list's centre plus that of what differs from it. Over the rows of a list the
latter is spread about evenly around zero: how widely for one query, the centroids say; how widely in one list
beside others, the codes of its first rows. So it can be said how many rows of the lists not visited are to be
expected above a bar, whatever the query and whatever rows a filter leaves.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from retrieval.index.vectors.kernels import BLOCK_ROWS, Matrix, PackedLists, Rows, block_bytes_of

MISSED_ROWS: Final = 0.05  # of ten, expected at most in all lists that are not visited
_ROW_OF_BYTE: Final = np.array([0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15])  # low four bits; docs/formats


@dataclass(frozen=True, slots=True, eq=False)
class Spreads:
    of_groups: Matrix  # (groups, dimensions, dimensions): how the centroids of each group are spread
    of_lists: Matrix  # how far each list's rows stand from its centre, beside the rows of all lists

    @classmethod
    def of(cls, lists: PackedLists, centroids: Matrix) -> Self:
        around = centroids - centroids.mean(axis=1, keepdims=True)
        of_groups = np.einsum("gcs,gct->gst", around, around) / centroids.shape[1]
        return cls(of_groups.astype(np.float32), _of_lists(lists, centroids))

    def doubtful(self, query: Matrix, nearness: Matrix, bar: float, rows: Rows) -> Rows:
        """Lists to visit so that few of the `rows` in each of the others are to be expected above `bar`.

        `nearness` is the query's score with each centre.
        """
        parts = query.reshape(len(self.of_groups), 1, -1)
        width = float(np.sqrt(max(float(((parts @ self.of_groups) * parts).sum()), 1e-12)))
        above = np.maximum((bar - nearness) / (width * self.of_lists), 0)
        expected = rows * (0.5 * np.exp(-0.5 * above * above))  # never less than the tail of a normal distribution
        order = np.argsort(expected)
        doubted = order[np.cumsum(expected[order]) > MISSED_ROWS]
        return np.asarray(doubted[rows[doubted] > 0], np.int64)


def _of_lists(lists: PackedLists, centroids: Matrix) -> Matrix:
    """By the codes of up to 16 rows of each list."""
    groups = len(centroids)
    squares = (centroids.astype(np.float64) ** 2).sum(axis=2)
    usual = float(squares.mean(axis=1).sum())
    spreads = np.ones(len(lists.sizes), np.float32)
    held = np.flatnonzero(lists.sizes)
    if not len(held) or not usual:
        return spreads
    block_bytes = block_bytes_of(groups)
    blocks = (lists.sizes + BLOCK_ROWS - 1) // BLOCK_ROWS
    starts = (np.cumsum(blocks) - blocks)[held] * block_bytes
    first: NDArray[np.uint8] = lists.packed[starts[:, None] + np.arange(block_bytes)]
    codes = first.reshape(len(held), block_bytes // BLOCK_ROWS * 2, BLOCK_ROWS // 2)[:, :groups] & 15
    of_rows = np.zeros((len(held), BLOCK_ROWS // 2))
    for group in range(groups):
        of_rows += squares[group][codes[:, group]]
    real = lists.sizes[held, None] > _ROW_OF_BYTE
    spreads[held] = np.sqrt((of_rows * real).sum(axis=1) / real.sum(axis=1) / usual)
    return np.maximum(spreads, 0.25)
