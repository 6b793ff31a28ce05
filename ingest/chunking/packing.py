"""Which edges to cut at: one dynamic program over the whole document.

It minimises, over all ways to cut, the sum of ((tokens - wanted) / wanted)² for each chunk, the price of each
cut, and HEADING_INSIDE for each section that begins within a chunk. Two rules stand above the sum: no chunk is
longer than `usual` while an edge is offered inside it, and none crosses a heading where what is on either side,
in the two sections or in the chunk, could stand alone.
"""

import numpy as np
from numpy.typing import NDArray

from ingest.chunking.edges import AFTER_HEADING, SECTION, Edges, Sizes

HEADING_INSIDE = 0.15
ALONE = 0.5  # of the size wanted: enough to stand alone


def pack(edges: Edges, sizes: Sizes) -> list[int]:
    """Indices of the edges to cut at, from the first edge to the last."""
    tokens, price = edges.tokens.tolist(), edges.price.tolist()
    earliest = _earliest_starts(edges, sizes).tolist()
    per_token = 1 / sizes.wanted
    sections = ((edges.price == SECTION).cumsum() * HEADING_INSIDE).tolist()
    best = [-sections[0]]  # cheapest way to cut before each edge, less what sections up to it would cost inside
    previous = [0]
    for end in range(1, len(tokens)):
        size_from_start = tokens[end] * per_token - 1
        cheapest, chosen = float("inf"), end - 1
        for start in range(earliest[end], end):
            excess = size_from_start - tokens[start] * per_token
            cost = best[start] + excess * excess
            if cost < cheapest:
                cheapest, chosen = cost, start
        best.append(cheapest + price[end] + sections[end - 1] - sections[end])
        previous.append(chosen)
    cuts = [len(tokens) - 1]
    while cuts[-1]:
        cuts.append(previous[cuts[-1]])
    return cuts[::-1]


def _earliest_starts(edges: Edges, sizes: Sizes) -> NDArray[np.int64]:
    """For each edge as a chunk's end, the earliest edge that the chunk may start at."""
    tokens = edges.tokens
    alone = sizes.wanted * ALONE
    sections = (edges.price == SECTION).nonzero()[0]
    begins = tokens[sections]
    long_enough = begins[1:] - begins[:-1] >= alone
    walls = sections[1:-1][long_enough[:-1] & long_enough[1:]]
    latest = begins.searchsorted(tokens - alone, side="right") - 1  # the last section that is alone in the chunk
    first = tokens.searchsorted(begins[latest] - alone, side="right")
    earliest = tokens.searchsorted(tokens - sizes.usual)
    earliest = np.maximum(earliest, np.where(latest >= 0, first, 0))
    if len(walls):
        wall = walls.searchsorted(np.arange(len(tokens)), side="left") - 1
        earliest = np.maximum(earliest, np.where(wall >= 0, walls[wall], 0))
    earliest[1:] = np.minimum(earliest[1:], np.arange(len(tokens) - 1))
    for end in ((edges.price[:-1] == AFTER_HEADING).nonzero()[0] + 1).tolist():
        earliest[end] = min(earliest[end], _with_headings(edges, end, sizes.most))
    return earliest


def _with_headings(edges: Edges, end: int, most: int) -> int:
    """A heading goes with the row or code after it even when both are more than a chunk usually holds."""
    start = end - 1
    while start > 0 and edges.price[start] == AFTER_HEADING and edges.tokens[end] - edges.tokens[start - 1] <= most:
        start -= 1
    return start
