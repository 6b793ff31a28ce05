"""Which lines of a PDF are headings, and of what level.

The document's own outline is believed where its entries are found on their pages. Without one, lines that are larger
or bolder than the text around them are headings, as long as they stay the exception.
"""

import re
from collections import Counter, defaultdict

from ingest.parsing.pdf_shapes import Line, OutlineEntry, Page, is_row

LARGER = 1.12  # times the size of the body
LONGEST_HEADING = 160
DEEPEST_LEVEL = 6
OUTLINE_FOUND_SHARE = 0.5
MOST_HEADING_SHARE = 0.2  # of the document's characters: with more, size and weight mean something else
NUMBERED = re.compile(
    r"(?:chapter|appendix|section|part|annex)?\s*((?:\d{1,3}|[A-Z])(?:\.\d{1,3})*)[.:)]?\s+(?=\S)", re.IGNORECASE
)
NO_WORD = re.compile(r"[\W_]+")
CONTENTS_ENTRY = re.compile(r"\s\d{1,4}$")
UNFINISHED = (",", ";", "…")
LEADERS = re.compile(r"(?:\s*\.){4,}|…")

Key = tuple[float, bool, int]  # smaller is higher: size, weight, depth of numbering
Levels = dict[int, int]  # id(line) -> level


def body_size(pages: list[Page]) -> float:
    """The size most characters are set in."""
    sizes: Counter[float] = Counter()
    for page in pages:
        for line in page.lines:
            sizes[round(line.size, 1)] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0.0


def find_headings(pages: list[Page], outline: list[OutlineEntry], body: float) -> Levels:
    levels = _by_outline(pages, outline)
    if outline and _trusted(levels, outline, len(pages)):
        return levels | _title_line(pages, body, levels)
    return _by_type(pages, body)


def _trusted(levels: Levels, outline: list[OutlineEntry], page_count: int) -> bool:
    return len(levels) >= OUTLINE_FOUND_SHARE * len(outline) and len(levels) * 10 >= page_count


def _by_outline(pages: list[Page], outline: list[OutlineEntry]) -> Levels:
    entries: defaultdict[int, list[OutlineEntry]] = defaultdict(list)
    for entry in outline:
        entries[entry.page].append(entry)
    levels: Levels = {}
    for page in pages:
        if page.number in entries:
            lines = [(line, _essence(line.text)) for line in page.lines if len(line.text) <= LONGEST_HEADING]
            for entry in entries[page.number]:
                _mark(levels, lines, entry)
    return levels


def _mark(levels: Levels, lines: list[tuple[Line, str]], entry: OutlineEntry) -> None:
    """A heading may run over two or three lines, and its number may be missing on either side."""
    wanted = _essence(entry.title)
    if not wanted:
        return
    for at, (line, start) in enumerate(lines):
        if id(line) in levels or not start or not wanted.startswith(start):
            continue
        run, found = [line], start
        while found != wanted and wanted.startswith(found) and at + len(run) < len(lines) and len(run) < 4:
            following, more = lines[at + len(run)][0], NO_WORD.sub("", lines[at + len(run)][0].text).casefold()
            found += more
            run.append(following)
        if found == wanted:
            levels.update((id(part), min(entry.level, DEEPEST_LEVEL)) for part in run)
            return


def _essence(text: str) -> str:
    text = text.strip()
    if number := NUMBERED.match(text):
        text = text[number.end() :]
    return NO_WORD.sub("", text).casefold()


def _title_line(pages: list[Page], body: float, taken: Levels) -> Levels:
    """The largest line of the first page stands above the whole outline."""
    first = next((page for page in pages if page.lines), None)
    if first is None:
        return {}
    largest = max(first.lines, key=lambda line: line.size)
    if largest.size < body * 1.3 or id(largest) in taken:
        return {}
    return {id(line): 1 for line in first.lines if abs(line.size - largest.size) < 0.5 and id(line) not in taken}


def _by_type(pages: list[Page], body: float) -> Levels:
    keys: dict[int, Key] = {}
    heading_characters = total = 0
    for page in pages:
        for at, line in enumerate(page.lines):
            total += len(line.text)
            if _stands_out(line, body) and not _in_a_row(line, page.lines[max(0, at - 1) : at + 2]):
                keys[id(line)] = (-round(line.size * 2) / 2, not line.bold, _numbering_depth(line.text))
                heading_characters += len(line.text)
    if heading_characters > MOST_HEADING_SHARE * total:
        return {}
    ranks = _ranks(Counter(keys.values()))
    return {line: ranks[key] for line, key in keys.items()}


def _ranks(counts: Counter[Key]) -> dict[Key, int]:
    """Levels by size, weight and numbering. What occurs once, as on a title page, opens no level of its own."""
    ranks: dict[Key, int] = {}
    level = 1
    for key in sorted(counts):
        ranks[key] = level
        level = min(level + (counts[key] > 1), DEEPEST_LEVEL)
    return ranks


def _stands_out(line: Line, body: float) -> bool:
    larger = line.size >= body * LARGER
    if not larger and not (line.bold and line.size >= body * 0.95):
        return False
    text = line.text
    if line.monospaced or len(text) > LONGEST_HEADING or text.endswith(UNFINISHED) or LEADERS.search(text):
        return False
    if CONTENTS_ENTRY.search(text) and NUMBERED.match(text):
        return False
    if text.endswith(".") and len(text) > 60:
        return False
    letters = sum(character.isalpha() for character in text)
    return letters >= 2 and letters * 2 >= len(text)


def _in_a_row(line: Line, around: list[Line]) -> bool:
    """Bold cells in the head of a table."""
    if line.size > 1.5 * min(other.size for other in around):
        return False  # titles may be spaced widely
    return any(
        is_row(other) or (other is not line and other.right <= line.left)
        for other in around
        if abs(other.y - line.y) < 0.9 * line.size
    )


def _numbering_depth(text: str) -> int:
    """1 for `3 Results` and for headings without a number, 2 for `3.1 Figures`."""
    match = NUMBERED.match(text)
    return match[1].count(".") + 1 if match else 1
