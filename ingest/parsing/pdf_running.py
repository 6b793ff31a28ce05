"""Running headers and footers of PDF pages: found by their repetition, and taken out of the lines.

Only the outermost lines of a page are ever taken, and never all of a page.
"""

import re
from collections import Counter

from ingest.parsing.pdf_lines import Line, Page

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
    edges = [_edge_lines(page) for page in pages]
    counts = Counter(signature for page in edges for signature in {_signature(line) for line in page})
    # Left and right pages may have headers of their own: in a short document two must do.
    enough = REPETITIONS if len(pages) > SHORT_PAGES else 2
    for page, edge in zip(pages, edges, strict=True):
        running = [line for line in edge if _repetitions(counts, _signature(line)) >= enough]
        if running and len(running) < len(page.lines):
            taken = {id(line) for line in running}
            page.lines = [line for line in page.lines if id(line) not in taken]


def _edge_lines(page: Page) -> list[Line]:
    margin = page.height * MARGIN_SHARE
    ordered = sorted(page.lines, key=lambda line: line.y)
    below = [line for line in ordered[:OUTERMOST_LINES] if line.y < margin]
    above = [line for line in ordered[-OUTERMOST_LINES:] if line.y > page.height - margin]
    return below + above if len(ordered) > 1 else []


def _signature(line: Line) -> Signature:
    text = NUMBER.sub("#", line.text.casefold())
    return ("#" if ROMAN_PAGE.fullmatch(text) else text, round(line.y / HEIGHT_STEP))


def _repetitions(counts: Counter[Signature], signature: Signature) -> int:
    text, height = signature
    return max(counts[signature], counts[text, height - 1], counts[text, height + 1])
