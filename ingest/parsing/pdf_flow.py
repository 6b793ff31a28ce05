"""Lines of PDF pages -> paragraphs, list items, code and headings, added to an Assembly.

A line break is undone where the line was full, kept where the next word would still have fitted. A paragraph may
go on in the next column or on the next page; it belongs to the page on which it starts.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from ingest.document import BlockKind
from ingest.parsing.assembly import Assembly
from ingest.parsing.pdf_headings import LEADERS, Levels
from ingest.parsing.pdf_shapes import Line, Page, is_cjk, is_row

BULLET = re.compile(r"[•‣◦⁃∙●○■□▪▫◆◇➢➤✓✔❑]\s*\S|[·–—*-]\s+\S")
NUMBERED_ITEM = re.compile(r"(?:\(?\d{1,3}[.)]|\(?[a-zA-Z][.)]|\([ivx]{1,5}\)|\[\d{1,4}\])\s+\S")
SENTENCE_ENDS = (".", "!", "?", ":", ";", "。", "！", "？", "”", '"')
FIRST_WORD = re.compile(r"\S+")
HYPHENS = "-\u2010\u2011"
LEADING_STEP = 0.05
USUAL_LEADING = 1.2
MOST_LINES_TO_MEASURE = 20_000
WORD_BEFORE_BREAK = re.compile(r"[^\W\d_]+$")
WORD_AFTER_BREAK = re.compile(r"[^\W\d_]+")


@dataclass(slots=True)
class Paragraph:
    kind: BlockKind
    level: int
    page: int
    lines: list[Line] = field(default_factory=list)
    joints: list[str] = field(default_factory=list)  # what stands before each line but the first
    hanging: bool = False


class Flow:
    """Takes pages in order; `finish` writes the last paragraph."""

    def __init__(self, assembly: Assembly, levels: Levels, pages: list[Page]) -> None:
        self._assembly = assembly
        self._levels = levels
        self._leading = _usual_leading(pages)
        self._words = _vocabulary(pages)
        self._open: Paragraph | None = None
        self._margin = 0.0
        self._first_text_page = next((page.number for page in pages if page.lines), 1)
        self.title = ""  # the largest heading of the first page with text
        self._title_size = 0.0

    def add_page(self, page: Page) -> None:
        margins = _margins(page.lines, self._leading)
        for at, line in enumerate(page.lines):
            self._add(line, margins[at])

    def finish(self) -> None:
        if self._open is not None:
            self._write(self._open)
            self._open = None

    def _add(self, line: Line, margin: tuple[float, float]) -> None:
        level = self._levels.get(id(line), 0)
        kind = BlockKind.HEADING if level else BlockKind.CODE if line.monospaced else BlockKind.PARAGRAPH
        item = kind is BlockKind.PARAGRAPH and self._starts_item(line)
        joint = None if item else self._joint(line, kind, level, margin[0])
        if self._open is not None and joint is not None:
            self._open.lines.append(line)
            self._open.joints.append(joint)
        else:
            self.finish()
            self._open = Paragraph(
                BlockKind.LIST_ITEM if item else kind, level or int(item), line.page, [line], hanging=item
            )
        self._margin = margin[1]

    def _starts_item(self, line: Line) -> bool:
        if BULLET.match(line.text):
            clear = line.text[0] not in "·–—*-"
        elif NUMBERED_ITEM.match(line.text):
            clear = False
        else:
            return False
        if clear or self._open is None:
            return True
        # A dash or a number may as well go on with a sentence.
        last = self._open.lines[-1]
        return last.text.endswith(SENTENCE_ENDS) or last.page != line.page or not self._was_full(last, line)

    def _joint(self, line: Line, kind: BlockKind, level: int, left_margin: float) -> str | None:
        """How `line` goes on with the open paragraph; None: it does not."""
        if self._open is None:
            return None
        last = self._open.lines[-1]
        if kind is not self._open.kind and not (kind is BlockKind.PARAGRAPH and self._open.kind is BlockKind.LIST_ITEM):
            return self._beside(last, line)
        size = max(line.size, last.size, 1.0)
        drop = last.y - line.y
        if line.page != last.page or drop < -0.6 * size:
            return self._over_the_edge(last, line) if kind is BlockKind.PARAGRAPH else None
        if abs(drop) < 0.6 * size:
            return self._beside(last, line) or " "
        if kind is BlockKind.HEADING:
            return " " if level == self._open.level and drop < 1.9 * size else None
        if drop > size * max(self._leading + 0.25, self._leading * 1.22) or abs(line.size - last.size) > 0.13 * size:
            return None
        if kind is BlockKind.CODE:
            return "\n"
        if is_row(last) or is_row(line):
            return "\n"
        if last.hyphenated:
            return "-"
        if not self._was_full(last, line):
            return None if last.text.endswith(SENTENCE_ENDS) else "\n"
        indented = line.left - left_margin > 0.8 * size and last.left - left_margin < 0.5 * size
        return None if indented and not self._open.hanging and self._may_start(last, line) else _space(last, line)

    def _beside(self, last: Line, line: Line) -> str | None:
        """A raised or lowered mark, or the next cell, on the same row."""
        same_row = line.page == last.page and abs(last.y - line.y) < 0.6 * max(last.size, line.size)
        if not same_row or line.left < last.left or id(line) in self._levels:
            return None
        return "" if line.left - last.right < 0.15 * last.size and len(line.text) <= 3 else " "

    def _over_the_edge(self, last: Line, line: Line) -> str | None:
        if abs(line.size - last.size) > 0.13 * last.size:
            return None
        if last.hyphenated:
            return "-"
        goes_on = not last.text.endswith(SENTENCE_ENDS) and line.text[:1].islower() and self._was_full(last, line)
        return _space(last, line) if goes_on else None

    def _was_full(self, last: Line, line: Line) -> bool:
        """Whether the first word of `line` had no room behind `last`."""
        word = FIRST_WORD.match(line.text)
        letters = min(len(word[0]), 30) if word else 1
        width = (last.right - last.left) / max(1, len(last.text))
        return self._margin - last.right < (letters + 1) * min(width, last.size) + 0.4 * last.size

    @staticmethod
    def _may_start(last: Line, line: Line) -> bool:
        return last.text.endswith(SENTENCE_ENDS) or not line.text[:1].islower()

    def _write(self, paragraph: Paragraph) -> None:
        if paragraph.kind is BlockKind.CODE:
            text = _code(paragraph)
        else:
            text = paragraph.lines[0].text
            for line, joint in zip(paragraph.lines[1:], paragraph.joints, strict=True):
                text = self._unhyphenated(text, line.text) if joint == "-" else text + joint + line.text
            if "..." in text or ". . ." in text:
                text = LEADERS.sub(" …", text)
        if paragraph.lines[-1].hyphenated:
            text += "-"
        if paragraph.level and paragraph.kind is BlockKind.HEADING and paragraph.page == self._first_text_page:
            size = paragraph.lines[0].size
            if size > self._title_size + 0.5:
                self.title, self._title_size = text, size
        self._assembly.add(text, paragraph.kind, level=paragraph.level, place=paragraph.page)

    def _unhyphenated(self, text: str, following: str) -> str:
        """`proceed-ings` is one word, `text-based` keeps its hyphen; the rest of the document knows which."""
        head, tail = WORD_BEFORE_BREAK.search(text), WORD_AFTER_BREAK.match(following)
        if head is None or tail is None or not tail[0][0].islower():
            return f"{text}-{following}"
        parts = f"{head[0]}-{tail[0]}".casefold()
        whole = parts.replace("-", "")
        if self._words[parts] > self._words[whole]:
            return f"{text}-{following}"
        return text + following


def _usual_leading(pages: list[Page]) -> float:
    """From baseline to baseline, in sizes: 1.2 in most documents, 2 in manuscripts."""
    steps: Counter[int] = Counter()
    measured = 0
    for page in pages:
        for last, line in zip(page.lines, page.lines[1:], strict=False):
            if line.size > 0 and 0.8 * line.size < last.y - line.y < 3 * line.size:
                steps[round((last.y - line.y) / line.size / LEADING_STEP)] += 1
        measured += len(page.lines)
        if measured > MOST_LINES_TO_MEASURE:
            break
    return steps.most_common(1)[0][0] * LEADING_STEP if steps else USUAL_LEADING


def _vocabulary(pages: list[Page]) -> Counter[str]:
    """Words, with and without hyphens; only built where some line ends within a word."""
    words: Counter[str] = Counter()
    if any(line.hyphenated for page in pages for line in page.lines):
        for page in pages:
            for line in page.lines:
                words.update(re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", line.text.casefold()))
    return words


def _margins(lines: list[Line], leading: float) -> list[tuple[float, float]]:
    """For every line the left and right edge of the column of text it stands in.

    A column is a run of like lines most of which reach its right edge. Rows of a table, verses and the last lines of
    a page do not, and take the edge of the narrowest column around them.
    """
    runs: list[tuple[int, float, float, bool]] = []
    start = 0
    for at in range(1, len(lines) + 1):
        if at < len(lines) and _like(lines[at - 1], lines[at], leading):
            continue
        run = lines[start:at]
        left, right = min(line.left for line in run), max(line.right for line in run)
        full = sum(line.right > right - 0.1 * (right - left) for line in run)
        runs.append((len(run), left, right, len(run) > 2 and full * 2 > len(run)))
        start = at
    columns = sorted({(right - left, left, right) for _, left, right, is_column in runs if is_column})
    widest = max((column[2] for column in columns), default=0.0)
    margins: list[tuple[float, float]] = []
    for count, left, right, is_column in runs:
        edge = right
        if not is_column:
            around = (column for column in columns if column[1] - 3 <= left and column[2] + 3 >= right)
            edge = next((column[2] for column in around), widest)
        margins += [(left, max(edge, right))] * count
    return margins


def _like(last: Line, line: Line, leading: float) -> bool:
    size = max(line.size, 1.0)
    return abs(line.size - last.size) < 0.08 * size and -0.6 * size < last.y - line.y < max(3.0, 1.8 * leading) * size


def _space(last: Line, line: Line) -> str:
    """Chinese and Japanese have no spaces to lose at a line's end; `1990-` and `1995` belong together."""
    if last.text[-1] in HYPHENS and last.text[-2:-1].isalnum() and line.text[0].isalnum():
        return ""
    return "" if is_cjk(last.text[-1]) and is_cjk(line.text[0]) else " "


def _code(paragraph: Paragraph) -> str:
    """Lines as they stand, with the indentation that their place on the page shows."""
    left = min(line.left for line in paragraph.lines)
    texts = []
    for line, joint in zip(paragraph.lines, ["\n", *paragraph.joints], strict=True):
        width = (line.right - line.left) / len(line.text)
        indent = " " * min(40, round((line.left - left) / width)) if width > 0 and joint == "\n" else ""
        texts.append(f"{joint}{indent}{line.text}{'-' if line.hyphenated else ''}")
    return "".join(texts).strip("\n")
