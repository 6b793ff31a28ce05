"""What the rooms of the PDF parser hand to each other: lines on pages, and the entries of the outline."""

from dataclasses import dataclass


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
