"""What the rooms of the PDF parser hand to each other: lines on pages, and the entries of the outline."""

from dataclasses import dataclass

ROW_ADVANCE = 0.8  # sizes from one character to the next, on average: wider only where cells leave gaps


@dataclass(slots=True)
class Line:
    """One line; lengths in points, `y` grows upwards. Text that runs up or down the page is turned upright."""

    text: str
    page: int
    left: float
    right: float
    y: float
    size: float
    bold: bool
    monospaced: bool
    hyphenated: bool  # the word goes on in the next line, and the hyphen is already cut off


@dataclass(frozen=True, slots=True)
class OutlineEntry:
    title: str
    level: int  # from 1
    page: int


@dataclass(slots=True)
class Page:
    number: int  # from 1
    height: float
    lines: list[Line]
    readable: bool = True  # False: pdfium could not load it


def is_row(line: Line) -> bool:
    """Cells side by side, which reach us as words with single spaces between them."""
    letters = len(line.text)
    if letters < 3 or line.right - line.left <= ROW_ADVANCE * line.size * letters:
        return False
    return line.right - line.left > ROW_ADVANCE * line.size * (letters + sum(map(is_cjk, line.text)))


def is_cjk(character: str) -> bool:
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\ufaff" or "\uff00" <= character <= "\uffef"
