"""XML -> Document: prose as paragraphs under its titles, data as `name: value` lines, one block a record.

Read as a stream of events, so that no tree is built. A DOCTYPE is refused the moment it begins: nothing it could
define is ever expanded or fetched.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lxml import etree

from ingest.document import BlockKind, Document
from ingest.errors import DamagedDocument, EmptyDocument, HostileDocument
from ingest.parsing.assembly import Assembly
from ingest.parsing.encoding import decode, encoding_of
from ingest.parsing.limits import Limits, Source

MEDIA_TYPE: Final = "application/xml"
_WINDOW_BYTES: Final = 1 << 20
_RECORD_CHARACTERS: Final = 1_500
_DECLARED: Final = re.compile(rb"\s*<\?xml[^>]{0,100}encoding")
_TITLES: Final = frozenset(["title", "head", "heading"])
_SECTIONS: Final = frozenset(
    "article back body book chapter doc document div front part sec sect1 sect2 sect3 section subsection".split()
)
_PARAGRAPHS: Final = frozenset("ab caption l line p para paragraph simpara".split())  # their names say nothing
_LISTS: Final = frozenset("itemizedlist li list listitem ol orderedlist ul".split())
_MOST_HEADING_CHARACTERS: Final = 300
_TOO_DEEP_WORDS: Final = ("Excessive depth", "xmlParserMaxDepth")


def parse_xml_document(source: Source, limits: Limits) -> Document:
    assembly = Assembly(limits)
    target = _Target(assembly, limits)
    parser = etree.XMLParser(
        target=target, resolve_entities=False, no_network=True, load_dtd=False, dtd_validation=False, huge_tree=False
    )
    try:
        for at in range(0, len(data := _readable(source, limits)), _WINDOW_BYTES):
            parser.feed(data[at : at + _WINDOW_BYTES])
        parser.close()
    except etree.XMLSyntaxError as error:
        if target.is_untouched and not source[:].strip():
            raise EmptyDocument("The file holds no text.") from error
        raise _refusal(error, limits) from error
    except (LookupError, UnicodeError, AssertionError) as error:
        raise DamagedDocument("The XML is in an encoding that is not known here. Save it as UTF-8.") from error
    try:
        return assembly.finish(MEDIA_TYPE, title=target.title)
    except EmptyDocument as error:
        raise EmptyDocument("The XML holds no text and no values.") from error


def _readable(source: Source, limits: Limits) -> Source:
    """The bytes as they are if XML's own rules tell their encoding, else in UTF-8."""
    if _DECLARED.match(source[:200]):
        return source
    encoding, mark = encoding_of(source)
    if encoding == "utf-8" or (mark and encoding.startswith("utf-16")):
        return source
    return decode(source, limits, markup=True).text.encode()


def _refusal(error: etree.XMLSyntaxError, limits: Limits) -> DamagedDocument | HostileDocument:
    words = str(error)
    if any(sign in words for sign in _TOO_DEEP_WORDS):
        return _too_deep(limits)
    return DamagedDocument(f"The XML is not well-formed (line {error.lineno}): it is damaged or cut off.")


def _too_deep(limits: Limits) -> HostileDocument:
    return HostileDocument(f"The XML nests its elements more than {limits.nesting} levels deep.")


@dataclass(slots=True)
class _Finished:
    """A child without blocks of its own: a value, or a record of values."""

    name: str
    lines: list[str]  # as data
    words: str  # as part of a sentence


@dataclass(slots=True)
class _Element:
    """An element that has begun. Its finished children wait in `parts` until it is known what it is."""

    name: str
    is_section: bool
    attributes: list[str]
    parts: list[str | _Finished] = field(default_factory=list)
    characters: int = 0  # in `parts`
    is_prose: bool = False  # it has words of its own
    is_written: bool = False  # a part of it is a block already, so the rest must be, too


class _Target:
    """lxml calls these as it reads. Blocks are written outermost element first, each element's parts in their order."""

    def __init__(self, assembly: Assembly, limits: Limits) -> None:
        self._assembly = assembly
        self._limits = limits
        self._open: list[_Element] = []
        self._sections = 0
        self._prose = 0  # open elements with words of their own: what ends inside them is part of a sentence
        self._has_begun = False
        self.title = ""

    @property
    def is_untouched(self) -> bool:
        return not self._has_begun

    def doctype(self, _name: str, _public: str | None, _system: str | None) -> None:
        raise HostileDocument(
            "The XML has a DOCTYPE, which could define text that grows without end or that is read from elsewhere. "
            "Save it without one."
        )

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if len(self._open) >= self._limits.nesting:
            raise _too_deep(self._limits)
        self._has_begun = True
        name = _local(tag)
        is_section = name.lower() in _SECTIONS
        self._sections += is_section
        values = [f"{_local(key)}: {value}" for key, value in attributes.items() if value and not value.isspace()]
        self._open.append(_Element(name, is_section, values))

    def data(self, text: str) -> None:
        element = self._open[-1]
        element.parts.append(text)
        if not text.isspace():
            element.characters += len(text)
            self._prose += not element.is_prose
            element.is_prose = True

    def end(self, _tag: str) -> None:
        element = self._open.pop()
        self._prose -= element.is_prose
        parent = self._open[-1] if self._open else None
        if parent is not None and parent.is_section and element.name.lower() in _TITLES:
            self._write_title(element)
        elif parent is None or element.is_section or element.is_written:
            self._write_open()
            self._write(element)
        elif finished := _finish(element):
            parent.parts.append(finished)
            parent.characters += sum(map(len, finished.lines))
            if parent.characters > _RECORD_CHARACTERS and not self._prose:
                self._write_open()
        self._sections -= element.is_section

    def close(self) -> None:
        """lxml asks for this."""

    def _write_title(self, element: _Element) -> None:
        finished = _finish(element)
        if not finished:
            return
        words = finished.words
        self._write_open()
        if len(words) > _MOST_HEADING_CHARACTERS:
            self._assembly.add(words)
            return
        self.title = self.title or words
        self._assembly.add(words, BlockKind.HEADING, level=max(1, self._sections))

    def _write_open(self) -> None:
        for element in self._open:
            self._write(element)

    def _write(self, element: _Element) -> None:
        """Blocks of what the element holds so far."""
        if element.is_prose:
            finished = _finish(element)
            self._add([finished.words] if finished and element.is_section else finished.lines if finished else [])
        else:
            self._add(element.attributes)
            values: list[str] = []  # one after the other, they make one block
            for part in element.parts:
                if isinstance(part, str):
                    continue
                is_value = part.name.lower() not in _PARAGRAPHS and len(part.words) < _MOST_HEADING_CHARACTERS
                if is_value and len(part.lines) == 1:
                    values.append(part.lines[0])
                    continue
                self._add(values)
                values = []
                self._add(part.lines if len(part.lines) > 1 else [part.words])
            self._add(values)
        element.attributes, element.parts, element.characters, element.is_written = [], [], 0, True

    def _add(self, lines: list[str]) -> None:
        if lines:
            self._assembly.add("\n".join(lines))


def _finish(element: _Element) -> _Finished | None:
    """The element as a value or a record; None if it says nothing."""
    inner = [part for part in element.parts if not isinstance(part, str)]
    if not inner or element.is_prose:
        texts = (part if isinstance(part, str) else part.words for part in element.parts)
        words = " ".join("".join(texts).split())
        if words and element.name.lower() in _PARAGRAPHS:
            return _Finished(element.name, [words], words)
        if not element.attributes:
            return _Finished(element.name, [f"{element.name}: {words}"], words) if words else None
        lines = [
            f"{element.name}: {words}" if words else f"{element.name}:",
            *(f"  {value}" for value in element.attributes),
        ]
        return _Finished(element.name, lines, words or "; ".join(element.attributes))
    lines = [*element.attributes, *(line for part in inner for line in part.lines)]
    words = " ".join(part.words for part in inner)
    if element.name.lower() in _LISTS:
        return _Finished(element.name, [line for part in inner for line in part.lines], words)
    return _Finished(element.name, [f"{element.name}:", *(f"  {line}" for line in lines)], words)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
