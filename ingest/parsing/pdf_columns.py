"""Lines that run across the gap between two columns, cut in two and put in the order of reading.

Most programs write one column after the other, and then there is nothing to do. Some write row by row; then each row
looks like one line. Only pages where nothing is drawn down the middle of their widest lines are looked at closely.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from ingest.parsing.pdf_shapes import Line

FEWEST_ROWS = 6
SAMPLED_LINES = 8
WIDE_SHARE = 0.55  # of the width of the page's text
GAP_POINTS = 8.0
LEAST_LETTERS = 20  # in a line of a column, on average
FILLED_SHARE = 0.75  # of the column's width, on average
LINE_END_HYPHENS = ("-", "\u2010")

Boxes = Callable[[int, int], list[tuple[float, float]]]  # left and right of the characters from first to last
Drawn = Callable[[float, float], bool]  # whether a character is drawn at this place


@dataclass(frozen=True, slots=True)
class Span:
    """Where a line stands among the characters of its page."""

    first: int
    last: int


def in_reading_order(lines: list[Line], spans: list[Span], drawn: Drawn, boxes: Boxes) -> list[Line]:
    if len(lines) < FEWEST_ROWS:
        return lines
    left, right = min(line.left for line in lines), max(line.right for line in lines)
    middle = (left + right) / 2
    wide = [line for line in lines if line.right - line.left > WIDE_SHARE * (right - left)]
    if len(wide) < FEWEST_ROWS:
        return lines
    step = max(1, len(wide) // SAMPLED_LINES)
    sample = wide[::step]
    if sum(drawn(middle, line.y + 0.2 * line.size) for line in sample) * 2 > len(sample):
        return lines
    cut = [_cut(line, span, middle, boxes) for line, span in zip(lines, spans, strict=True)]
    rows = [parts for parts in cut if len(parts) == 2]
    if len(rows) < max(FEWEST_ROWS, len(lines) // 2) or not all(map(_is_prose, zip(*rows, strict=True))):
        return lines
    return list(_ordered(cut, middle))


def _is_prose(column: Sequence[Line]) -> bool:
    """Most lines of a column of text are long and reach its edge; cells of a table do not."""
    left, right = min(part.left for part in column), max(part.right for part in column)
    filled = sum(part.right - part.left for part in column) >= FILLED_SHARE * (right - left) * len(column)
    return filled and sum(len(part.text) for part in column) >= LEAST_LETTERS * len(column)


def _cut(line: Line, span: Span, middle: float, boxes: Boxes) -> list[Line]:
    if not line.left < middle < line.right or span.last - span.first + 1 != len(line.text):
        return [line]
    places = boxes(span.first, span.last)
    edge = line.left
    for at, (left, right) in enumerate(places):
        if line.text[at].isspace():
            continue
        if left > middle:
            if edge < middle and left - edge >= GAP_POINTS:
                text = line.text[:at].rstrip()
                hyphenated = text.endswith(LINE_END_HYPHENS)
                before = replace(line, text=text[:-1] if hyphenated else text, right=edge, hyphenated=hyphenated)
                return [before, replace(line, text=line.text[at:], left=left)]
            return [line]
        edge = max(edge, right)
    return [line]


def _ordered(cut: list[list[Line]], middle: float) -> Iterator[Line]:
    """Columns one after the other, between the lines that cross both."""
    left: list[Line] = []
    right: list[Line] = []
    for parts in cut:
        if len(parts) == 1 and parts[0].left < middle < parts[0].right:
            yield from left
            yield from right
            yield parts[0]
            left, right = [], []
            continue
        for part in parts:
            (left if part.left < middle else right).append(part)
    yield from left
    yield from right
