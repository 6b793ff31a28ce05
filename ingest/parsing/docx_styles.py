"""What the paragraph styles of a Word document mean: heading, title, code, list.

A style's meaning is inherited: from the style it is based on, however long the chain, unless it says otherwise.
"""

import re
from dataclasses import dataclass

from lxml import etree

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
VAL = f"{W}val"
PROPERTIES, STYLE_NAME = f"{W}pPr", f"{W}pStyle"
OUTLINE_LEVEL, NUMBERING, LIST_ID, LIST_LEVEL = f"{W}outlineLvl", f"{W}numPr", f"{W}numId", f"{W}ilvl"
LIST_STYLE_NAME = re.compile(r"list (?:bullet|number|continue) ([2-5])$", re.IGNORECASE)
HEADING_NAME = re.compile(r"heading ([1-9])$", re.IGNORECASE)
CODE_NAME = re.compile(r"\b(?:code|source|listing|preformatted|verbatim|html preformatted|macro)\b", re.IGNORECASE)
MONOSPACED = re.compile(r"courier|consolas|mono|menlo|lucida console|fira code|source code", re.IGNORECASE)
BODY_LEVEL = 9  # `outlineLvl` of ordinary text


@dataclass(frozen=True, slots=True)
class Style:
    heading: int = 0  # 1 is the top; 0: no heading
    title: bool = False
    code: bool = False
    list_id: str = ""
    list_level: int | None = None
    indented: int = 0  # levels that "List Bullet 3" stands deeper than its numbering says


PLAIN = Style()


class Styles:
    def __init__(self, root: etree._Element | None) -> None:
        self._elements: dict[str, etree._Element] = {}
        self._known: dict[str, Style] = {}
        self._default = ""
        for element in root.iter(f"{W}style") if root is not None else ():
            if element.get(f"{W}type", "paragraph") == "paragraph":
                name = element.get(f"{W}styleId", "")
                self._elements.setdefault(name, element)
                if element.get(f"{W}default") in ("1", "true"):
                    self._default = name

    def of(self, style_id: str | None) -> Style:
        name = style_id or self._default
        if name not in self._known:
            self._known[name] = self._resolve(name)
        return self._known[name]

    def _resolve(self, name: str) -> Style:
        """From the root of the chain to `name`, each style changing what the one before it meant."""
        chain: list[etree._Element] = []
        seen: set[str] = set()
        while name in self._elements and name not in seen:
            seen.add(name)
            chain.append(self._elements[name])
            based_on = child(chain[-1], f"{W}basedOn")
            name = based_on.get(VAL, "") if based_on is not None else ""
        style = PLAIN
        for element in reversed(chain):
            style = _changed(style, element)
        return style


def _changed(style: Style, element: etree._Element) -> Style:
    name = child(element, f"{W}name")
    label = name.get(VAL, "") if name is not None else ""
    heading, list_id, list_level = style.heading, style.list_id, style.list_level
    properties = child(element, PROPERTIES)
    if properties is not None:
        heading = outline_level(properties, heading)
        list_id, list_level = list_place(properties, list_id, list_level)
    if match := HEADING_NAME.match(label):
        heading = int(match[1])
    deeper = LIST_STYLE_NAME.match(label)
    fonts = element.find(f"{W}rPr/{W}rFonts")
    monospaced = fonts is not None and MONOSPACED.search(fonts.get(f"{W}ascii", "")) is not None
    return Style(
        heading=heading,
        title=style.title or label.casefold() == "title",
        code=style.code or monospaced or CODE_NAME.search(label) is not None,
        list_id=list_id,
        list_level=list_level,
        indented=int(deeper[1]) - 1 if deeper else style.indented,
    )


def child(element: etree._Element, tag: str) -> etree._Element | None:
    """The first child with `tag`; three times as fast as `find`, which reads its argument as a path."""
    for found in element:
        if found.tag == tag:
            return found
    return None


def outline_level(properties: etree._Element, otherwise: int) -> int:
    """The heading level that paragraph properties ask for, from 1; 0 for body text."""
    element = child(properties, OUTLINE_LEVEL)
    if element is None:
        return otherwise
    level = number(element, BODY_LEVEL)
    return level + 1 if 0 <= level < BODY_LEVEL else 0


def list_place(properties: etree._Element, list_id: str, level: int | None) -> tuple[str, int | None]:
    """List and level of a paragraph; the list `0` takes a paragraph out of its style's list."""
    element = child(properties, NUMBERING)
    if element is None:
        return list_id, level
    which, depth = child(element, LIST_ID), child(element, LIST_LEVEL)
    if which is not None:
        list_id = which.get(VAL, "")
        list_id = "" if list_id == "0" else list_id
    return list_id, number(depth, 0) if depth is not None else level


def number(element: etree._Element | None, otherwise: int) -> int:
    try:
        return int(element.get(VAL, "")) if element is not None else otherwise
    except ValueError:
        return otherwise


def is_on(element: etree._Element | None) -> bool:
    """A switch is on when it is there, unless it says otherwise."""
    return element is not None and element.get(VAL, "1") not in ("0", "false", "off")
