"""The numbers and bullets that Word shows in front of paragraphs, and does not store with them.

Contracts and manuals are cited by these numbers, so they belong to the text. Counting follows Word: lists that share
a definition share their counters, and a number restarts everything below it.
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field

from lxml import etree

from ingest.parsing.docx_styles import VAL, W, number

PLACEHOLDER = re.compile(r"%([1-9])")
BULLET = "-"
LEVELS = 9
ROMAN = ((1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"))
ROMAN_ONES = ((9, "ix"), (5, "v"), (4, "iv"), (1, "i"))


@dataclass(frozen=True, slots=True)
class Level:
    kind: str = "decimal"
    text: str = ""
    start: int = 1


@dataclass(slots=True)
class Definition:
    levels: dict[int, Level] = field(default_factory=dict)
    counters: dict[int, int] = field(default_factory=dict)


class Numbering:
    def __init__(self, root: etree._Element | None) -> None:
        definitions: defaultdict[str, Definition] = defaultdict(Definition)
        self._lists: dict[str, Definition] = {}
        self._restarts: dict[str, dict[int, int]] = {}
        for element in root.iter(f"{W}abstractNum") if root is not None else ():
            definition = definitions[element.get(f"{W}abstractNumId", "")]
            definition.levels = {_depth(level): _level(level) for level in element.iterfind(f"{W}lvl")}
        for element in root.iter(f"{W}num") if root is not None else ():
            link = element.find(f"{W}abstractNumId")
            list_id = element.get(f"{W}numId", "")
            self._lists[list_id] = definitions[link.get(VAL, "") if link is not None else ""]
            self._restarts[list_id] = {
                _depth(override): number(override.find(f"{W}startOverride"), 1)
                for override in element.iterfind(f"{W}lvlOverride")
                if override.find(f"{W}startOverride") is not None
            }

    def label(self, list_id: str, depth: int) -> str:
        """What stands in front of the next paragraph of this list at this depth; counts it."""
        definition = self._lists.get(list_id)
        if definition is None:
            return BULLET
        level = definition.levels.get(depth, Level(kind="bullet"))
        counters = definition.counters
        restart = self._restarts[list_id].pop(depth, None)
        counters[depth] = restart if restart is not None else counters.get(depth, level.start - 1) + 1
        for deeper in [known for known in counters if known > depth]:
            del counters[deeper]
        if level.kind == "bullet":
            return BULLET
        if level.kind == "none":
            return ""
        return PLACEHOLDER.sub(lambda match: self._counted(definition, int(match[1]) - 1), level.text).strip()

    @staticmethod
    def _counted(definition: Definition, depth: int) -> str:
        level = definition.levels.get(depth, Level())
        return _written(definition.counters.get(depth, level.start), level.kind)


def _depth(element: etree._Element) -> int:
    value = element.get(f"{W}ilvl", "0")
    return int(value) if value.isascii() and value.isdigit() and int(value) < LEVELS else 0


def _level(element: etree._Element) -> Level:
    kind, text = element.find(f"{W}numFmt"), element.find(f"{W}lvlText")
    return Level(
        kind=kind.get(VAL, "decimal") if kind is not None else "decimal",
        text=text.get(VAL, "") if text is not None else "",
        start=number(element.find(f"{W}start"), 0),
    )


def _written(value: int, kind: str) -> str:
    if kind.endswith("Roman") and 0 < value < 4000:
        roman = _roman(value)
        return roman.upper() if kind.startswith("upper") else roman
    if kind.endswith("Letter") and 0 < value < 1000:
        letter = chr(ord("a") + (value - 1) % 26) * ((value - 1) // 26 + 1)
        return letter.upper() if kind.startswith("upper") else letter
    return f"{value:02d}" if kind == "decimalZero" else str(value)


def _roman(value: int) -> str:
    written = ""
    for worth, letters in ROMAN + ROMAN_ONES:
        count, value = divmod(value, worth)
        written += letters * count
    return written
