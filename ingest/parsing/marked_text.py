"""Text that marks its headings in a way of its own -> Document: LaTeX, reStructuredText, Org, AsciiDoc, MediaWiki.

Only the headings are understood; all else is plain text between blank lines, exactly as it was written.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ingest.document import Block, BlockKind, Document
from ingest.errors import EmptyDocument
from ingest.parsing.encoding import decode
from ingest.parsing.limits import Limits, Source
from ingest.parsing.outline import Outline
from ingest.parsing.text import paragraphs, with_line_feeds


@dataclass(frozen=True, slots=True)
class _Heading:
    start: int
    end: int
    level: int
    words: str


_LATEX: Final = re.compile(
    r"^[ \t]*\\(part|chapter|section|subsection|subsubsection|paragraph)\*?(?:\[[^\]\n]{0,200}\])?\{([^\n]{1,300}?)\}",
    re.MULTILINE,
)
_LATEX_LEVELS: Final = {
    name: level
    for level, name in enumerate(("part", "chapter", "section", "subsection", "subsubsection", "paragraph"), 1)
}
_LATEX_TITLE: Final = re.compile(r"^[ \t]*\\title(?:\[[^\]\n]{0,200}\])?\{([^\n]{1,300}?)\}", re.MULTILINE)
_STARS: Final = re.compile(r"^(\*{1,8})[ \t]+(\S[^\n]{0,300})$", re.MULTILINE)
_EQUALS_BEFORE: Final = re.compile(r"^(={1,6})[ \t]+(\S[^\n]{0,300})$", re.MULTILINE)
_EQUALS_AROUND: Final = re.compile(r"^(={1,6})[ \t]*([^=\n][^\n]{0,300}?)[ \t]*\1[ \t\r]*$", re.MULTILINE)
_UNDERLINED: Final = re.compile(
    r"^(?:(?P<over>([=\-~^\"'#*+.`:_])\2{2,})[ \t\r]*\n)?[ ]?(?P<words>\S[^\n]{0,300})\n"
    r"(?P<under>([=\-~^\"'#*+.`:_])\5{2,})[ \t\r]*$",
    re.MULTILINE,
)


def parse_latex(source: Source, limits: Limits) -> Document:
    return _parse(source, limits, "text/x-tex", _latex_headings)


def parse_restructured_text(source: Source, limits: Limits) -> Document:
    return _parse(source, limits, "text/x-rst", _underlined_headings)


def parse_org(source: Source, limits: Limits) -> Document:
    return _parse(source, limits, "text/x-org", lambda text: _counted_headings(text, _STARS))


def parse_asciidoc(source: Source, limits: Limits) -> Document:
    return _parse(source, limits, "text/asciidoc", lambda text: _counted_headings(text, _EQUALS_BEFORE))


def parse_mediawiki(source: Source, limits: Limits) -> Document:
    return _parse(source, limits, "text/x-wiki", lambda text: _counted_headings(text, _EQUALS_AROUND))


def _parse(source: Source, limits: Limits, media_type: str, headings: Callable[[str], Iterator[_Heading]]) -> Document:
    decoded = decode(source, limits)
    text = with_line_feeds(decoded.text)
    if not text.strip():
        raise EmptyDocument("The file holds no text.")
    outline = Outline()
    blocks: list[Block] = []
    at = 0
    for heading in headings(text):
        blocks.extend(paragraphs(text, at, heading.start, outline.path))
        above = outline.enter(heading.level, heading.words)
        blocks.append(Block(heading.start, heading.end, BlockKind.HEADING, heading.level, heading_path=above))
        at = heading.end
    blocks.extend(paragraphs(text, at, len(text), outline.path))
    declared = _LATEX_TITLE.search(text) if media_type == "text/x-tex" else None
    title = declared.group(1) if declared else outline.title
    return Document(decoded.text, tuple(blocks), media_type, title=title, warnings=decoded.warnings)


def _latex_headings(text: str) -> Iterator[_Heading]:
    for found in _LATEX.finditer(text):
        yield _Heading(found.start(), found.end(), _LATEX_LEVELS[found.group(1)], found.group(2).strip())


def _counted_headings(text: str, pattern: re.Pattern[str]) -> Iterator[_Heading]:
    for found in pattern.finditer(text):
        yield _Heading(found.start(), found.end(), len(found.group(1)), found.group(2).strip())


def _underlined_headings(text: str) -> Iterator[_Heading]:
    """Levels in the order in which their ways of underlining first appear, as reStructuredText has it."""
    styles: dict[str, int] = {}
    for found in _UNDERLINED.finditer(text):
        words, over, under = found.group("words").strip(), found.group("over") or "", found.group("under")
        if len(under) < len(words) or (over and over[0] != under[0]):
            continue  # a table, or three dots under a line
        level = styles.setdefault(over[:1] + under[0], len(styles) + 1)
        yield _Heading(found.start(), found.end(), level, words)
