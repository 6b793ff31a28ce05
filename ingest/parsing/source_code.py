"""Source code -> Document: blocks between blank lines, under the names of the definitions that enclose them.

The text stays exactly as it was written. What encloses what is read from indentation, which formatters keep in
step with braces; a wrong guess costs a line of context and never a line of code.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from ingest.document import Block, BlockKind, Document
from ingest.errors import EmptyDocument
from ingest.parsing.encoding import decode
from ingest.parsing.limits import Limits, Source
from ingest.parsing.outline import Outline
from ingest.parsing.text import with_line_feeds

_GAP: Final = re.compile(r"\n\s*\n")
_FIRST_CHARACTER: Final = re.compile(r"\S")
_TAB_COLUMNS: Final = 4
_MOST_NAMES_DEEP: Final = 6
_MODIFIERS: Final = (
    "public|private|protected|internal|static|final|abstract|sealed|virtual|override|export|default|async|partial|"
    r"pub(?:\([a-z]+\))?|unsafe|extern|inline|open|data|case|readonly|declare|suspend|local|const"
)
_KEYWORDS: Final = (
    "class|struct|interface|enum|trait|impl|module|mod|namespace|func|fn|function|fun|def|defmodule|defp|sub|object|"
    "protocol|extension|record|package|contract|service|message|procedure|union|actor"
)
# `class Name`, `pub fn name`, `func (receiver) Name`, with whatever stands between keyword and name.
_DEFINITION: Final = re.compile(
    rf"^([ \t]*+)(?:(?:{_MODIFIERS})[ \t]++)*+({_KEYWORDS})"
    r"(?:<[^>\n]{0,80}>)?[ \t]++(?:\([^)\n]{0,100}\)[ \t]*+)?([\w$.:]++)",
    re.MULTILINE,
)
# `static int *name(int a,` at the margin: C and its family put the name before the bracket.
_C_FUNCTION: Final = re.compile(
    r"^()(?:[A-Za-z_][\w:<>,]*+[ \t*&]++){1,6}([A-Za-z_~][\w:~]*+)[ \t]*+\([^;\n]*+$", re.MULTILINE
)
_C_LIKE: Final = frozenset(["c", "c++", "cuda", "objective-c"])
_NO_DEFINITIONS: Final = frozenset(["css", "diff", "ini", "json", "makefile", "sql", "toml", "yaml"])


def parse_source_code(source: Source, limits: Limits, language: str = "") -> Document:
    decoded = decode(source, limits)
    if not decoded.text.strip():
        raise EmptyDocument("The file holds no text.")
    blocks = tuple(_blocks(with_line_feeds(decoded.text), language))
    return Document(decoded.text, blocks, _media_type(language), warnings=decoded.warnings)


@cache
def _media_type(language: str) -> str:
    return "text/x-" + (re.sub(r"[^a-z0-9]+", "-", language.replace("+", "p").replace("#", "sharp")) or "source")


def _blocks(text: str, language: str) -> Iterator[Block]:
    definitions = [] if language in _NO_DEFINITIONS else sorted(_definitions(text, language))
    outline = Outline()
    coming = 0
    for start, end in _groups(text):
        # Whatever is indented as little as an open definition has left it, its closing brace aside.
        depth = _columns(text[text.rfind("\n", 0, start) + 1 : start])
        outline.leave(depth + 1 if text[start] not in ")}]" else depth + 2)
        yield Block(text.rfind("\n", 0, start) + 1, end, BlockKind.CODE, heading_path=outline.path)
        while coming < len(definitions) and definitions[coming][0] < end:
            _, columns, name = definitions[coming]
            if len(outline.path) < _MOST_NAMES_DEEP or columns == 0:
                outline.enter(columns + 1, name)
            coming += 1


def _definitions(text: str, language: str) -> Iterator[tuple[int, int, str]]:
    """Where each begins, how far it is indented, and what it is called."""
    for found in _DEFINITION.finditer(text):
        yield found.start(), _columns(found.group(1)), f"{found.group(2)} {found.group(3).rstrip(':.')}"
    if language in _C_LIKE:
        for found in _C_FUNCTION.finditer(text):
            yield found.start(), 0, f"{found.group(2)}()"


def _groups(text: str) -> Iterator[tuple[int, int]]:
    """From the first character to the last of each run of lines without a blank one between them."""
    first = _FIRST_CHARACTER.search(text)
    while first:
        gap = _GAP.search(text, first.start())
        stop = gap.start() if gap else len(text)
        yield first.start(), first.start() + len(text[first.start() : stop].rstrip())
        first = _FIRST_CHARACTER.search(text, stop)


def _columns(indentation: str) -> int:
    return len(indentation.expandtabs(_TAB_COLUMNS))
