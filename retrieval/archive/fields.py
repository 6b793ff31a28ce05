"""JSON from outside, asked field by field for what is expected. Pure.

Whatever is not as expected raises `ArchiveRefused` with its place; text that could not be stored and sent back counts
as wrong.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

from retrieval.archive.errors import ArchiveRefused
from retrieval.catalog.rows import Attributes, AttributeValue
from retrieval.ids import well_formed

MOST_INTEGER: Final = 2**53
MOST_PAIRS: Final = 16

_HASH: Final = re.compile(r"[0-9a-f]{64}\Z")


def loads(content: bytes, where: str) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArchiveRefused(f"The archive is damaged or foreign: {where} is not JSON.") from error


def _finite(value: float) -> bool:
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


class Fields:
    """A JSON object from outside, asked field by field for what is expected."""

    def __init__(self, given: object, where: str) -> None:
        if not isinstance(given, dict):
            raise ArchiveRefused(f"The archive is damaged or foreign: {where} is not an object.")
        self._given: dict[str, Any] = given
        self._where = where

    def wrong(self, key: str, expected: str) -> ArchiveRefused:
        return ArchiveRefused(f"The archive is damaged or foreign: {self._where}: {key!r} is not {expected}.")

    def optional(self, key: str) -> Any:
        return self._given.get(key)

    def number(self, key: str, *, least: int = 0, most: int = MOST_INTEGER) -> int:
        value = self._given.get(key)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.wrong(key, f"a whole number from {least} to {most}")
        return value

    def maybe_number(self, key: str, *, least: int = 0, most: int = MOST_INTEGER) -> int | None:
        return None if self._given.get(key) is None else self.number(key, least=least, most=most)

    def text(self, key: str, *, most: int = 255) -> str:
        value = self._given.get(key)
        if not isinstance(value, str) or len(value) > most:
            raise self.wrong(key, f"a text of at most {most} characters")
        return self.storable(value, key)

    def maybe_text(self, key: str, *, most: int) -> str | None:
        return None if self._given.get(key) is None else self.text(key, most=most)

    def storable(self, value: str, key: str) -> str:
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.wrong(key, "valid Unicode") from error
        if "\x00" in value:
            raise self.wrong(key, "free of NUL")
        return value

    def id(self, key: str) -> str:
        value = self.text(key)
        if not well_formed(value):
            raise self.wrong(key, "an id")
        return value

    def hash(self, key: str) -> str:
        value = self.text(key)
        if not _HASH.match(value):
            raise self.wrong(key, "a SHA-256")
        return value

    def hex(self, key: str) -> int:
        value = self.text(key, most=16)
        try:
            number = int(value, 16)
        except ValueError as error:
            raise self.wrong(key, "a checksum") from error
        if len(value) != 16 or not 0 <= number < 1 << 63:
            raise self.wrong(key, "a checksum")
        return number

    def pairs(self, value: Mapping[str, Any], key: str) -> dict[str, AttributeValue]:
        """A map as attributes and metadata are: small, of texts, finite numbers and booleans."""
        if len(value) > MOST_PAIRS:
            raise self.wrong(key, f"a map of at most {MOST_PAIRS} keys")
        for name, one in value.items():
            if len(self.storable(name, key)) > 64 or not isinstance(one, str | int | float):
                raise self.wrong(key, "a map of texts, numbers and booleans")
            if isinstance(one, str):
                if len(self.storable(one, key)) > 512:
                    raise self.wrong(key, "a map of texts of at most 512 characters")
            elif not _finite(one):
                raise self.wrong(key, "a map of finite numbers")
        return dict(value)

    def inner(self, key: str) -> "Fields":
        return Fields(self._given.get(key), f"{self._where}: {key}")

    def each(self, key: str) -> "list[Fields]":
        value = self._given.get(key)
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        return [Fields(one, f"{self._where}: {key}[{number}]") for number, one in enumerate(value)]

    def attributes(self, key: str) -> Attributes | None:
        value = self._given.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(key, "a map")
        return self.pairs(value, key)
