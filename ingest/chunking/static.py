"""`static`: windows of a fixed number of tokens, each repeating the end of the one before.

What holds: a window is `max_tokens` tokens of the document, and the next begins `overlap_tokens` before its
end. Within those limits edges move only for three reasons: an end back and a start forward where they would
split a character, and an end back where the window, taken by itself, would count more than `max_tokens`.
Windows are exact: neither snapped to sentences nor trimmed, since whoever asked for numbers wants the numbers.
"""

from collections.abc import Iterator

from ingest.chunking.characters import splits_a_character
from ingest.chunking.chunk import ChunkLimits
from ingest.chunking.tokens import Tokens


def windows(tokens: Tokens, limits: ChunkLimits) -> Iterator[tuple[int, int, int]]:
    """(start, end, token count) in characters. Windows of nothing but white space are left out."""
    first, stop = 0, 0
    while stop < len(tokens):
        reached = stop
        stop, count = _end_of_window(tokens, first, limits.max_tokens)
        if stop <= reached:  # the limits leave no room for both the overlap and one more character
            first = reached
            stop, count = _end_of_window(tokens, first, limits.max_tokens)
        if count:
            yield int(tokens.starts[first]), int(tokens.starts[stop]), count
        first = _edge_after(tokens, max(first + 1, stop - limits.overlap_tokens), stop)


def _end_of_window(tokens: Tokens, first: int, most: int) -> tuple[int, int]:
    """The last token at which the window from `first` may end, and what that window counts: 0 if it is blank."""
    start = int(tokens.starts[first])
    stop = min(first + most, len(tokens))
    while True:
        stop = edge_before(tokens, stop, first + 1)
        end = int(tokens.starts[stop])
        blank = start == end or tokens.text[start:end].isspace()
        count = 0 if blank else tokens.count(start, end)
        if count <= most or stop <= first + 1:
            return stop, count
        stop = max(first + 1, stop - (count - most))


def edge_before(tokens: Tokens, index: int, least: int) -> int:
    """The token nearest before `index` that begins a character; one that a reader would call so, if it is near."""
    nearest = None
    for place in range(index, max(least, index - 16) - 1, -1):
        if tokens.whole[place]:
            nearest = place if nearest is None else nearest
            if not splits_a_character(tokens.text, int(tokens.starts[place])):
                return place
    return index if nearest is None else nearest


def _edge_after(tokens: Tokens, index: int, most: int) -> int:
    """The same, forwards; at the latest `most`, which is an edge."""
    nearest = most
    for place in range(index, min(most, index + 16)):
        if tokens.whole[place]:
            nearest = min(nearest, place)
            if not splits_a_character(tokens.text, int(tokens.starts[place])):
                return place
    return nearest
