"""Running headers and footers of PDF pages: found by their repetition, and taken out of the lines.

Only the outermost lines of a page are ever taken, and never all of a page. Numbers may differ from page to page where
they count pages or chapters; a number of another kind, as on invoices, makes a line its own.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from itertools import takewhile

from ingest.parsing.pdf_shapes import Line, Page

OUTERMOST_LINES = 3
MARGIN_SHARE = 0.14  # of the page's height, above and below
NEIGHBOURS = (-2, -1, 1, 2)  # pages on which a header shows again: left and right pages have their own
HEIGHT_STEP = 4.0  # points; headers wobble by less
NUMBER = re.compile(r"\d+")
ROMAN_PAGE = re.compile(r"[ivxlc]{1,7}", re.IGNORECASE)

Skeleton = tuple[str, int]  # the words without their numbers, and the height
Seen = defaultdict[Skeleton, dict[int, tuple[int, ...]]]  # the numbers, by page


def drop_running_lines(pages: Sequence[Page]) -> None:
    """Takes out what stands at the same height with the same words on a page close by."""
    edges = [_edges(page) for page in pages]
    seen: Seen = defaultdict(dict)
    for page, edge in zip(pages, edges, strict=True):
        for line in (*edge[0], *edge[1]):
            words, height, numbers = _parts(line)
            seen[words, height][page.number] = numbers
    for page, (above, below) in zip(pages, edges, strict=True):
        running = [_running(edge, seen, len(pages)) for edge in (above, below)]
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


def _running(edge: list[Line], seen: Seen, page_count: int) -> list[Line]:
    def shows_again(line: Line) -> bool:
        words, step, numbers = _parts(line)
        for height in (step - 1, step, step + 1):  # heights on both sides of a step's edge are one height
            pages = seen.get((words, height), {})
            for distance in NEIGHBOURS:
                others = pages.get(line.page + distance)
                if others is not None and _may_differ(numbers, others, distance, page_count):
                    return True
        return False

    return list(takewhile(shows_again, edge))


def _may_differ(numbers: tuple[int, ...], others: tuple[int, ...], distance: int, page_count: int) -> bool:
    """Numbers that stay, that count the pages, or that are small enough to count pages and chapters."""
    small = page_count + 20
    return all(
        other in (number, number + distance) or max(number, other) <= small
        for number, other in zip(numbers, others, strict=True)
    )


def _parts(line: Line) -> tuple[str, int, tuple[int, ...]]:
    numbers = tuple(int(digits[:15]) for digits in NUMBER.findall(line.text))
    words = NUMBER.sub("#", line.text.casefold())
    if ROMAN_PAGE.fullmatch(words):
        words, numbers = "#", (0,)
    return words, round(line.y / HEIGHT_STEP), numbers
