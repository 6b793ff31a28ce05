"""What is wrong with a request, in the contract's words: a sentence, the path to the field, a code. Pure.

Bodies are closed Pydantic models. Their errors are many and speak Python; a caller gets the first one, told in
terms of what was sent.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, get_args

from pydantic import BaseModel, ConfigDict

from retrieval.errors import UnknownParameter


class Closed(BaseModel):
    """A request body: unknown keys are refused by name, types are not bent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Problem:
    message: str
    param: str | None
    code: str | None


_TYPES: Final[Mapping[str, str]] = {
    "string_type": "a string",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "int_parsing": "an integer",
    "float_type": "a number",
    "float_parsing": "a number",
    "bool_type": "a boolean",
    "bool_parsing": "a boolean",
    "list_type": "an array",
    "tuple_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
    "model_attributes_type": "an object",
    "bytes_type": "a file",
    "none_required": "null",
}
_PLACES: Final = {"body", "query", "path", "header", "form", "file"}
# Members of a union in Pydantic's paths are names of types, not of fields.
_UNION_MARKS: Final = ("function-", "lax-or-strict", "constrained-", "list[", "tagged-union", "union[", "nullable[")
_UNION_TYPES: Final = {"str", "int", "float", "bool", "none", "dict", "list"}


def path_of(location: Sequence[int | str], sent: object = None) -> str:
    """('body', 'filters', 1, 'type') -> 'filters[1].type'.

    What is a name in the document that was `sent` is one here, whatever it looks like.
    """
    path = ""
    for index, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
            sent = sent[part] if isinstance(sent, list) and 0 <= part < len(sent) else None
        elif index == 0 and part in _PLACES:
            continue
        elif isinstance(sent, dict) and part in sent:
            path += f".{part}" if path else part
            sent = sent[part]
        elif part in _UNION_TYPES or part.startswith(_UNION_MARKS) or part[:1].isupper():
            continue  # the type, or the name of a model within a union
        else:
            path += f".{part}" if path else part
            sent = None
    return path


def describe(errors: Sequence[Mapping[str, Any]], body: object = None, sent: object = None) -> Problem:
    """The first error that says most: inside a union the deepest one is about what the caller meant.

    `body`: the type of the body, to tell which names it knows. `sent`: the document, to tell names from types.
    """
    if not errors:
        return Problem("The request is not valid.", None, None)
    told = [(path_of(error["loc"], sent), error) for error in errors]
    root = re.split(r"[.\[]", told[0][0])[0]
    same = [(path, error) for path, error in told if path.startswith(root)]
    return _describe(*max(same, key=lambda one: len(one[0])), body)


def _known_beside(location: Sequence[int | str], body: object) -> list[str]:
    """The names that a body knows in the place of the last part of `location`."""
    here = list(_models(body))
    for part in location[:-1]:
        below = [field.annotation for model in here if (field := model.model_fields.get(str(part)))]
        if below:  # else it is an index, or a mark of a union
            here = [model for annotation in below for model in _models(annotation)]
    return list(dict.fromkeys(name for model in here for name in model.model_fields))


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The models that a type consists of, as `list[A] | B | None` does of A and B."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def _describe(path: str, error: Mapping[str, Any], body: object) -> Problem:
    kind = str(error["type"])
    context: Mapping[str, Any] = error.get("ctx") or {}
    at = f"'{path}'" if path else "the request body"
    if kind in {"json_invalid", "json_type"}:
        why = context.get("error")
        return Problem(f"The request body is not valid JSON{f': {why}' if why else ''}.", None, None)
    if kind in {"missing", "missing_argument"}:
        if not path:
            return Problem("The request needs a JSON body.", None, "missing_required_parameter")
        return Problem(f"Missing required parameter: {at}.", path, "missing_required_parameter")
    if kind == "extra_forbidden":
        unknown = UnknownParameter(path, _known_beside(error["loc"], body))
        return Problem(unknown.message, unknown.param, unknown.code)
    if not path and isinstance(error.get("input"), bytes):  # whatever it is, nobody said that it was JSON
        return Problem("The request body must be JSON: send 'Content-Type: application/json'.", None, None)
    if kind in _TYPES:
        return Problem(f"Invalid type for {at}: expected {_TYPES[kind]}.", path or None, "invalid_type")
    if kind == "finite_number":
        return Problem(f"Invalid value for {at}: must be a finite number.", path, "invalid_value")
    if kind == "string_unicode":
        return Problem(f"{at} must be valid Unicode: it has a lone surrogate.", path, "invalid_value")
    ranged = _range(kind, at, path, context)
    if ranged is not None:
        return ranged
    if kind in {"literal_error", "enum"}:
        return Problem(f"Invalid value for {at}: expected {context.get('expected')}.", path, "invalid_value")
    if kind == "union_tag_invalid":
        expected = context.get("expected_tags")
        return Problem(f"Invalid value for '{path}.type': expected {expected}.", f"{path}.type", "invalid_value")
    if kind == "union_tag_not_found":
        return Problem(f"Missing required parameter: '{path}.type'.", f"{path}.type", "missing_required_parameter")
    message = str(error.get("msg", "is not valid")).removeprefix("Value error, ")
    return Problem(f"Invalid value for {at}: {message}.".replace("..", "."), path or None, "invalid_value")


def _range(kind: str, at: str, path: str, context: Mapping[str, Any]) -> Problem | None:
    match kind:
        case "greater_than_equal" | "greater_than":
            least = context.get("ge", context.get("gt"))
            name = "integer" if isinstance(least, int) else "decimal"
            more = "at least" if kind == "greater_than_equal" else "more than"
            return Problem(f"Invalid value for {at}: must be {more} {least}.", path, f"{name}_below_min_value")
        case "less_than_equal" | "less_than":
            most = context.get("le", context.get("lt"))
            name = "integer" if isinstance(most, int) else "decimal"
            less = "at most" if kind == "less_than_equal" else "less than"
            return Problem(f"Invalid value for {at}: must be {less} {most}.", path, f"{name}_above_max_value")
        case "string_too_long":
            most = context.get("max_length")
            return Problem(f"{at} is too long: at most {most} characters.", path, "string_above_max_length")
        case "string_too_short":
            return Problem(f"{at} must not be empty.", path, "empty_string")
        case "too_long":
            thing = "object_above_max_properties" if context.get("field_type") == "Dictionary" else None
            most = context.get("max_length")
            return Problem(f"{at} has too many elements: at most {most}.", path, thing or "array_above_max_length")
        case "too_short":
            return Problem(f"{at} must not be empty.", path, "empty_array")
        case _:
            return None
