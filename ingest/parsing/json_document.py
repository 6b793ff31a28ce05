"""JSON and JSON Lines -> Document: keys and values as readable lines, one block a record, large parts under headings.

    {"name": "Ann", "address": {"city": "Bern"}, "tags": ["a", "b"]}   ->   name: Ann
                                                                            address:
                                                                              city: Bern
                                                                            tags: a, b

Conversations become `role: words`. Numbers stay as they were written. What is no JSON after all is read as text.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from ingest.document import BlockKind, Document
from ingest.errors import DamagedDocument, DocumentTooLarge, EmptyDocument, HostileDocument
from ingest.parsing.assembly import Assembly
from ingest.parsing.encoding import decode, storable
from ingest.parsing.limits import Limits, Source
from ingest.parsing.source_code import parse_source_code

_SPACE = re.compile(r"[ \t\r\n]*")
_BLANKS = frozenset(" \t\r\n")
_RECORD_CHARACTERS = 1_500  # a value that renders shorter stays in one block
_SCALARS_IN_A_BLOCK = 50  # of a list or file of bare strings and numbers
_MOST_HEADING_LEVEL = 6
_SPEAKERS = ("role", "from", "author", "speaker")
_WORDS = ("content", "value", "text", "message")

JsonValue = str | bool | None | list["JsonValue"] | dict[str, "JsonValue"]


def parse_json(source: Source, limits: Limits) -> Document:
    decoded = decode(source, limits, markup=True)
    try:
        document = _Renderer(limits).document(_values(decoded.text, limits), "application/json", decoded.warnings)
    except json.JSONDecodeError as error:
        text = parse_source_code(source, limits, language="json")
        warning = f"The file is no valid JSON (line {error.lineno}, column {error.colno}) and was read as text."
        return Document(text.text, text.blocks, "application/json", warnings=(*text.warnings, warning))
    return document


def parse_json_lines(source: Source, limits: Limits) -> Document:
    decoded = decode(source, limits, markup=True)
    renderer = _Renderer(limits)
    return renderer.document(_line_values(decoded.text, limits, renderer), "application/jsonl", decoded.warnings)


def _decoder() -> json.JSONDecoder:
    # Numbers as written: 1e400 and a thousand digits have no other form that is the same.
    return json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str, strict=False)


def _values(text: str, limits: Limits) -> Iterator[JsonValue]:
    """The members of a list one by one, so that a long list is never held whole; else values that follow each other."""
    decoder = _decoder()
    at = _skip(text, 0)
    if text[at : at + 1] == "[":
        yield from _members(text, at + 1, decoder, limits)
        return
    while at < len(text):
        value, at = _decode(decoder, text, at, limits)
        yield value
        at = _skip(text, at)


def _members(text: str, at: int, decoder: json.JSONDecoder, limits: Limits) -> Iterator[JsonValue]:
    at = _skip(text, at)
    if text[at : at + 1] != "]":
        while True:
            value, at = _decode(decoder, text, at, limits)
            yield value
            at = _skip(text, at)
            if text[at : at + 1] != ",":
                break
            at = _skip(text, at + 1)
    if text[at : at + 1] != "]":
        raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
    if _skip(text, at + 1) < len(text):
        raise json.JSONDecodeError("Extra data", text, at + 1)


def _line_values(text: str, limits: Limits, renderer: "_Renderer") -> Iterator[JsonValue]:
    """One value a line. Lines that are no JSON are kept as they are, unless there is nothing else."""
    decoder = _decoder()
    broken = good = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not (stripped := line.strip()):
            continue
        try:
            value, end = _decode(decoder, stripped, 0, limits)
            if end < len(stripped):
                raise json.JSONDecodeError("Extra data", stripped, end)
        except json.JSONDecodeError as error:
            broken += 1
            if broken == 1:
                renderer.warn(f"Line {number} is no valid JSON (column {error.colno}); such lines were kept as text.")
            if broken > 10 and not good:
                raise DamagedDocument(
                    f"The file is not JSON Lines: line {number} and those before it are no JSON values."
                ) from error
            yield stripped
        else:
            good += 1
            yield value


def _skip(text: str, at: int) -> int:
    if text[at : at + 1] not in _BLANKS:
        return at
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _decode(decoder: json.JSONDecoder, text: str, at: int, limits: Limits) -> tuple[JsonValue, int]:
    try:
        value, end = decoder.raw_decode(text, at)
    except RecursionError as error:
        raise _too_deep(limits) from error
    return value, end


def _too_deep(limits: Limits) -> HostileDocument:
    return HostileDocument(f"The JSON nests its values more than {limits.nesting} levels deep.")


class _Renderer:
    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._assembly = Assembly(limits)

    def warn(self, sentence: str) -> None:
        self._assembly.warnings.append(sentence)

    def document(self, values: Iterator[JsonValue], media_type: str, warnings: tuple[str, ...]) -> Document:
        self._assembly.warnings.extend(warnings)
        title = ""
        scalars: list[str] = []
        for number, value in enumerate(values):
            if number == self._limits.tokens:
                raise DocumentTooLarge(f"The JSON holds more than {number:,} values. Split it into several files.")
            if isinstance(value, dict) and number == 0:
                title = next((name for key in ("title", "name") if isinstance(name := value.get(key), str)), "")
            if isinstance(value, (dict, list)) or len(scalars) == _SCALARS_IN_A_BLOCK:
                self._add_scalars(scalars)
                scalars = []
            if isinstance(value, (dict, list)):
                self._assembly.forget_headings()
                self._add(value, 1)
            else:
                scalars.append(_scalar(value))
            title = title if number == 0 else ""  # of one of many values: not of the file
        self._add_scalars(scalars)
        try:
            document = self._assembly.finish(media_type)
        except EmptyDocument as error:
            raise EmptyDocument("The file holds no values.") from error
        return replace(document, title=storable(title))

    def _add_scalars(self, scalars: list[str]) -> None:
        self._assembly.add(storable("\n".join(scalars)))

    def _add(self, value: JsonValue, level: int) -> None:
        """A value as one block, or, if it is long and has parts, its parts under headings."""
        if not value:
            return
        parts = _parts(value) if level <= _MOST_HEADING_LEVEL and _is_longer(value, _RECORD_CHARACTERS) else []
        if not parts or _turn(value):
            self._assembly.add(storable("\n".join(self._lines(value, level))))
            return
        long = [(key, part) for key, part in parts if not key or _needs_heading(part)]
        short = {key: part for key, part in parts if key and not _needs_heading(part)}
        if short:  # first, or they would stand under the heading of what is long
            self._assembly.add(storable("\n".join(self._lines(short, level))))
        for key, part in long:
            self._assembly.forget_headings(level)
            if key:
                self._assembly.add(storable(key), BlockKind.HEADING, level=level)
            self._add(part, level + 1)

    def _lines(self, value: JsonValue, depth: int, indent: str = "") -> Iterator[str]:
        if depth > self._limits.nesting:
            raise _too_deep(self._limits)
        if isinstance(value, dict):
            if (turn := _turn(value)) and not indent:
                yield turn
                return
            for key, member in value.items():
                yield from self._member_lines(key, member, depth, indent)
        elif isinstance(value, list):
            if not any(isinstance(member, (dict, list)) for member in value):
                yield indent + ", ".join(map(_scalar, value))
                return
            for member in value:
                yield from self._item_lines(member, depth, indent)
        else:
            yield indent + _scalar(value)

    def _member_lines(self, key: str, member: JsonValue, depth: int, indent: str) -> Iterator[str]:
        if isinstance(member, (dict, list)) and member:
            if isinstance(member, list) and not any(isinstance(part, (dict, list)) for part in member):
                yield f"{indent}{key}: {', '.join(map(_scalar, member))}"
                return
            yield f"{indent}{key}:"
            yield from self._lines(member, depth + 1, indent + "  ")
        else:
            yield f"{indent}{key}: {_scalar(member)}" if member not in ({}, [], None, "") else f"{indent}{key}:"

    def _item_lines(self, member: JsonValue, depth: int, indent: str) -> Iterator[str]:
        if turn := _turn(member):
            yield indent + turn
            return
        lines = self._lines(member, depth + 1, indent + "  ")
        for number, line in enumerate(lines):
            yield f"{indent}- {line[len(indent) + 2 :]}" if number == 0 else line


def _parts(value: JsonValue) -> list[tuple[str, JsonValue]]:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, list) and any(isinstance(member, (dict, list)) for member in value):
        return [("", member) for member in value]
    return []


def _needs_heading(part: JsonValue) -> bool:
    return isinstance(part, (dict, list)) and _is_longer(part, _RECORD_CHARACTERS // 3)


def _is_longer(value: JsonValue, characters: int) -> bool:
    """Whether the value renders to more characters, roughly; looks at no more of it than it takes to know."""
    left = characters
    waiting = [value]
    while waiting and left >= 0:
        part = waiting.pop()
        if isinstance(part, dict):
            left -= sum(map(len, islice(part, characters))) + 4 * len(part)
            waiting.extend(islice(part.values(), characters))
        elif isinstance(part, list):
            left -= 3 * len(part)
            waiting.extend(islice(part, characters))
        else:
            left -= len(part) if isinstance(part, str) else 4
    return left < 0


def _turn(value: JsonValue) -> str:
    """`role: words`, if that is what the value says and all it says."""
    if not isinstance(value, dict) or len(value) != 2 or value.keys().isdisjoint(_SPEAKERS):
        return ""
    speaker = next((value[key] for key in _SPEAKERS if isinstance(value.get(key), str)), None)
    words = next((value[key] for key in _WORDS if key in value), None)
    if isinstance(words, list):  # parts, of which those of text are words
        texts = [part.get("text") for part in words if isinstance(part, dict)]
        words = "\n".join(text for text in texts if isinstance(text, str)) if len(texts) == len(words) else None
    if speaker is None or not isinstance(words, str):
        return ""
    return f"{speaker}: {words}"


def _scalar(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
