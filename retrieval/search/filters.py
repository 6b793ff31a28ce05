"""Attribute filters: read the wire's grammar, then decide it for all documents at once. Pure.

A parsed filter is a short program for a stack, so that nesting costs no recursion: comparisons push a mask,
`and` and `or` fold as many masks as they have members.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from retrieval.catalog.rows import AttributeValue
from retrieval.errors import InvalidInput, UnknownParameter
from retrieval.index.columns import Mask
from retrieval.index.documents import Documents

COMPARISONS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin")
COMPOUNDS = ("and", "or")
MOST_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Comparison:
    type: Literal["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"]
    key: str
    values: tuple[AttributeValue, ...]  # one, except for `in` and `nin`

    def __hash__(self) -> int:
        return hash((self.type, self.key, self.values))

    def __eq__(self, other: object) -> bool:
        """Equal only when the types are too: 1, 1.0 and True are equal to Python and differ here."""
        return (
            isinstance(other, Comparison)
            and (self.type, self.key, self.values) == (other.type, other.key, other.values)
            and [type(value) for value in self.values] == [type(value) for value in other.values]
        )


@dataclass(frozen=True, slots=True)
class Fold:
    type: Literal["and", "or"]
    members: int


@dataclass(frozen=True, slots=True)
class Filter:
    """A whole filter, its parts in the order in which a stack decides them."""

    program: tuple[Comparison | Fold, ...]

    def decide(self, documents: Documents) -> Mask:
        """For each position of the table, whether the document's attributes pass."""
        stack: list[Mask] = []
        for part in self.program:
            if isinstance(part, Comparison):
                stack.append(_compare(part, documents))
                continue
            members = stack[len(stack) - part.members :]
            del stack[len(stack) - part.members :]
            fold = np.logical_and if part.type == "and" else np.logical_or
            result = np.full(len(documents), part.type == "and")
            for member in members:
                fold(result, member, out=result)
            stack.append(result)
        return stack.pop()


def _compare(part: Comparison, documents: Documents) -> Mask:
    result = np.zeros(len(documents), np.bool_)
    column = documents.columns.get(part.key)
    if column is not None:
        if part.type in {"gt", "gte", "lt", "lte"}:
            found = column.ordered(part.type, part.values[0])
        else:
            found = column.among(part.values)
        # A column is as long as its last value, or longer where a newer version grew it meanwhile.
        size = min(len(found), len(result))
        result[:size] = found[:size]
    return ~result if part.type in {"ne", "nin"} else result


def parse_filter(given: object, at: str = "filters") -> Filter:
    """The wire's filter object, refused with the path to whatever is wrong in it."""
    program: list[Comparison | Fold] = []
    waiting: list[tuple[object, str] | Fold] = [(given, at)]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Fold):
            program.append(item)
            continue
        node, path = item
        if len(program) + len(waiting) > MOST_PARTS:
            raise InvalidInput(
                f"A filter may have at most {MOST_PARTS} parts.", param=at, code="array_above_max_length"
            )
        kind = _kind(node, path)
        assert isinstance(node, Mapping)
        if kind in COMPOUNDS:
            members = _members(node, path)
            waiting.append(Fold(kind, len(members)))  # type: ignore[arg-type]  # one of COMPOUNDS
            waiting.extend(reversed(members))
        else:
            program.append(_comparison(kind, node, path))
    return Filter(tuple(program))


def _kind(node: object, path: str) -> str:
    if not isinstance(node, Mapping):
        raise InvalidInput(f"'{path}' must be an object with a 'type'.", param=path, code="invalid_type")
    if "type" not in node:
        raise InvalidInput(
            f"Missing required parameter: '{path}.type'.", param=f"{path}.type", code="missing_required_parameter"
        )
    kind = node["type"]
    if kind not in COMPARISONS + COMPOUNDS:
        known = ", ".join(repr(name) for name in COMPARISONS + COMPOUNDS)
        raise InvalidInput(f"'{path}.type' must be one of {known}.", param=f"{path}.type", code="invalid_value")
    wanted = {"type", "filters"} if kind in COMPOUNDS else {"type", "key", "value"}
    for name in node:
        if name not in wanted:
            raise UnknownParameter(f"{path}.{name}", sorted(wanted))
    for name in sorted(wanted):
        if name not in node:
            raise InvalidInput(
                f"Missing required parameter: '{path}.{name}'.",
                param=f"{path}.{name}",
                code="missing_required_parameter",
            )
    return str(kind)


def _members(node: Mapping[str, object], path: str) -> list[tuple[object, str]]:
    members = node["filters"]
    if not isinstance(members, list | tuple):
        raise InvalidInput(
            f"'{path}.filters' must be an array of filters.", param=f"{path}.filters", code="invalid_type"
        )
    return [(member, f"{path}.filters[{index}]") for index, member in enumerate(members)]


def _comparison(kind: str, node: Mapping[str, object], path: str) -> Comparison:
    key, value = node["key"], node["value"]
    if not isinstance(key, str):
        raise InvalidInput(f"'{path}.key' must be a string.", param=f"{path}.key", code="invalid_type")
    if kind in {"in", "nin"}:
        if not isinstance(value, list | tuple):
            raise InvalidInput(
                f"'{path}.value' must be an array of strings or numbers for '{kind}'.",
                param=f"{path}.value",
                code="invalid_type",
            )
        values = tuple(_scalar(item, f"{path}.value[{index}]") for index, item in enumerate(value))
    else:
        values = (_scalar(value, f"{path}.value"),)
    return Comparison(kind, key, values)  # type: ignore[arg-type]  # _kind has checked it


def _scalar(value: object, path: str) -> AttributeValue:
    if not isinstance(value, str | int | float):
        raise InvalidInput(f"'{path}' must be a string, a number or a boolean.", param=path, code="invalid_type")
    if not isinstance(value, str | bool):
        try:
            finite = math.isfinite(float(value))
        except OverflowError:
            finite = False
        if not finite:
            raise InvalidInput(f"'{path}' is a number out of range.", param=path, code="invalid_value")
    return value
