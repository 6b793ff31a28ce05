"""Running headers and footers of PDF pages: found by their repetition, and taken out of the lines.

Only the outermost lines of a page are ever taken, and never all of a page.
"""

import re
from collections import Counter
from itertools import takewhile

from ingest.parsing.pdf_shapes import Line, Page

OUTERMOST_LINES = 3
MARGIN_SHARE = 0.14  # of the page's height, above and below
REPETITIONS = 3
SHORT_PAGES = 8
HEIGHT_STEP = 4.0  # points; headers wobble by less
NUMBER = re.compile(r"\d+")
ROMAN_PAGE = re.compile(r"[ivxlc]{1,7}", re.IGNORECASE)

Signature = tuple[str, int]


def drop_running_lines(pages: list[Page]) -> None:
    """Takes out what stands at the same height with the same words, but for numbers, on several pages."""
    edges = [_edges(page) for page in pages]
    counts = Counter(signature for page in edges for signature in {_signature(line) for edge in page for line in edge})
    # Left and right pages may have headers of their own: in a short document two must do.
    enough = REPETITIONS if len(pages) > SHORT_PAGES else 2
    for page, (above, below) in zip(pages, edges, strict=True):
        running = [_running(edge, counts, enough) for edge in (above, below)]
        if sum(map(len, running)) >= len(page.lines):
            running = [edge[:1] for edge in running]  # a body that repeats, too: only the outermost lines are sure
        taken = {id(line) for edge in running for line in edge}
        if len(taken) < len(page.lines):
            page.lines = [line for line in page.lines if id(line) not in taken]


def _edges(page: Page) -> tuple[list[Line], list[Line]]:
    """The outermost lines above and below, each from the outside inwards."""
    if len(page.lines) < 2:
        return [], []
    margin = page.height * MARGIN_SHARE
    ordered = sorted(page.lines, key=lambda line: line.y)
    below = [line for line in ordered[:OUTERMOST_LINES] if line.y < margin]
    above = [line for line in ordered[: -OUTERMOST_LINES - 1 : -1] if line.y > page.height - margin]
    return above, below


def _running(edge: list[Line], counts: Counter[Signature], enough: int) -> list[Line]:
    return list(takewhile(lambda line: _repetitions(counts, _signature(line)) >= enough, edge))


def _signature(line: Line) -> Signature:
    text = NUMBER.sub("#", line.text.casefold())
    return ("#" if ROMAN_PAGE.fullmatch(text) else text, round(line.y / HEIGHT_STEP))


def _repetitions(counts: Counter[Signature], signature: Signature) -> int:
    text, height = signature
    return max(counts[signature], counts[text, height - 1], counts[text, height + 1])
