"""Attributes by template: `{"team": "docs", "folder": "{folder}", "owner": "{front.owner}"}`. Pure.

A template that is one placeholder keeps the value's type, so that `{modified}` can be compared as a number. What an
item does not have (a key its front matter lacks) leaves the attribute out.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import PurePosixPath
from typing import Final

import yaml

from retrieval.catalog.rows import Attributes, AttributeValue
from retrieval.errors import InvalidInput

PLACEHOLDERS: Final = ("path", "name", "stem", "folder", "extension", "modified", "bytes")
FRONT: Final = "front."
FRONT_BYTES: Final = 65536  # of an item's beginning, in which front matter must end
MOST_CHARACTERS: Final = 512

# What the reader of YAML raises for values that contradict their tags (`!!int ''`, `!!bool maybe`) is its own affair.
_UNREADABLE: Final = (
    yaml.YAMLError,
    ValueError,
    ArithmeticError,
    LookupError,
    AttributeError,
    TypeError,
    RecursionError,
)
_PLACEHOLDER = re.compile(r"{([^{}]*)}")
_FENCE = re.compile(rb"\A(?:\xef\xbb\xbf)?---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an item without reading it."""

    path: str  # or URL
    bytes: int
    modified_seconds: int | None


def check_template(template: str, param: str) -> None:
    for name in _PLACEHOLDER.findall(template):
        if name not in PLACEHOLDERS and not (name.startswith(FRONT) and len(name) > len(FRONT)):
            known = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise InvalidInput(
                f"Invalid value for '{param}': there is no placeholder {{{name}}}; known are {known}, {{front.KEY}}.",
                param=param,
                code="invalid_value",
            )


def needs_front_matter(templates: Mapping[str, str]) -> bool:
    return any(f"{{{FRONT}" in template for template in templates.values())


def needs_modified(templates: Mapping[str, str]) -> bool:
    return any("{modified}" in template for template in templates.values())


def attributes_of(templates: Mapping[str, str], facts: Facts, front: Mapping[str, AttributeValue]) -> Attributes:
    path = PurePosixPath(facts.path)
    values: dict[str, AttributeValue | None] = {
        "path": facts.path,
        "name": path.name,
        "stem": path.stem,
        "folder": "" if str(path.parent) == "." else str(path.parent),
        "extension": path.suffix.removeprefix(".").lower(),
        "modified": facts.modified_seconds,
        "bytes": facts.bytes,
    }
    values |= {f"{FRONT}{key}": value for key, value in front.items()}
    made: dict[str, AttributeValue] = {}
    for key, template in templates.items():
        names = _PLACEHOLDER.findall(template)
        if any(values.get(name) is None for name in names):
            continue
        if names and template == f"{{{names[0]}}}":
            value = values[names[0]]
            assert value is not None
        else:
            value = _PLACEHOLDER.sub(lambda found: str(values[found[1]]), template)
        made[key] = value[:MOST_CHARACTERS] if isinstance(value, str) else value
    return made


def front_matter(beginning: bytes) -> dict[str, AttributeValue]:
    """The YAML between two lines of dashes at the very top, as far as it is text, numbers, truth and lists of those.
    What is no such thing is no front matter: a document that merely begins with a line is not at fault."""
    found = _FENCE.match(beginning[:FRONT_BYTES])
    if found is None:
        return {}
    try:
        said = yaml.safe_load(found[1].decode())
    except _UNREADABLE:
        return {}
    if not isinstance(said, dict):
        return {}
    values = {str(key): _plain(value) for key, value in said.items()}
    return {key: value for key, value in values.items() if value is not None}


def _plain(value: object) -> AttributeValue | None:
    match value:
        case bool():
            return value
        case str():
            return value.encode("utf-8", "replace").decode()
        case int() | float():
            return value if abs(value) < 2**63 else None  # false of what is no number, too
        case datetime() | date():
            return value.isoformat()
        case list():
            parts = [_plain(one) for one in value if isinstance(one, str | int | float | date)]
            return ", ".join(str(one) for one in parts if one is not None)
        case _:
            return None
