"""Small maps that callers hang on things: attributes of a file in a store, metadata of a store. Pure."""

import math
from collections.abc import Mapping
from typing import Any, Final

from pydantic import WithJsonSchema

from retrieval.catalog.rows import Attributes, AttributeValue
from retrieval.errors import InvalidInput

MOST_PAIRS: Final = 16
MOST_KEY_CHARACTERS: Final = 64
MOST_VALUE_CHARACTERS: Final = 512

_MAP: Final[dict[str, Any]] = {
    "type": "object",
    "maxProperties": MOST_PAIRS,
    "propertyNames": {"type": "string", "maxLength": MOST_KEY_CHARACTERS},
}
_TEXT: Final[dict[str, Any]] = {"type": "string", "maxLength": MOST_VALUE_CHARACTERS}
_SCALAR: Final[dict[str, Any]] = {"oneOf": [_TEXT, {"type": "number"}, {"type": "boolean"}]}
ATTRIBUTES_SCHEMA: Final = WithJsonSchema({"anyOf": [{**_MAP, "additionalProperties": _SCALAR}, {"type": "null"}]})
METADATA_SCHEMA: Final = WithJsonSchema({"anyOf": [{**_MAP, "additionalProperties": _TEXT}, {"type": "null"}]})


def parse_attributes(given: object, at: str) -> Attributes | None:
    """Strings, numbers and booleans by key; None is none, and clears."""
    if given is None:
        return None
    return {key: _scalar(value, f"{at}.{key}") for key, value in _pairs(given, at).items()}


def parse_metadata(given: object, at: str) -> dict[str, str]:
    """Strings by key; None is none, and clears."""
    if given is None:
        return {}
    return {key: _text(value, f"{at}.{key}") for key, value in _pairs(given, at).items()}


def either(attributes: object, metadata: object, at: str) -> Attributes | None:
    """A store file's attributes under their own name, or under the one that older programs use."""
    if attributes is not None and metadata is not None:
        path = f"{at}metadata"
        raise InvalidInput(
            f"'{path}' is another name of '{at}attributes': give one of them.", param=path, code="invalid_value"
        )
    if metadata is not None:
        return parse_attributes(metadata, f"{at}metadata")
    return parse_attributes(attributes, f"{at}attributes")


def _pairs(given: object, at: str) -> Mapping[str, object]:
    if not isinstance(given, dict):
        raise InvalidInput(f"Invalid type for '{at}': expected an object.", param=at, code="invalid_type")
    if len(given) > MOST_PAIRS:
        raise InvalidInput(
            f"'{at}' has {len(given)} keys: at most {MOST_PAIRS}.", param=at, code="object_above_max_properties"
        )
    for key in given:
        if len(key) > MOST_KEY_CHARACTERS:
            raise InvalidInput(
                f"'{at}' has a key of {len(key)} characters: at most {MOST_KEY_CHARACTERS}.",
                param=at,
                code="string_above_max_length",
            )
        plain_text(key, at)
    return given


def _scalar(value: object, at: str) -> AttributeValue:
    if isinstance(value, str):
        return _text(value, at)
    if not isinstance(value, int | float):  # bool is an int
        raise InvalidInput(
            f"Invalid type for '{at}': expected a string, a number or a boolean.", param=at, code="invalid_type"
        )
    try:
        finite = math.isfinite(float(value))
    except OverflowError:
        finite = False
    if not finite:
        raise InvalidInput(f"'{at}' must be a number that a double can hold.", param=at, code="invalid_value")
    return value


def _text(value: object, at: str) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"Invalid type for '{at}': expected a string.", param=at, code="invalid_type")
    if len(value) > MOST_VALUE_CHARACTERS:
        raise InvalidInput(
            f"'{at}' is too long: at most {MOST_VALUE_CHARACTERS} characters.", param=at, code="string_above_max_length"
        )
    return plain_text(value, at)


def plain_text(value: str, at: str) -> str:
    """JSON can spell half a character; no answer could repeat it."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"'{at}' must be valid Unicode: it has a lone surrogate.", param=at, code="invalid_value"
        ) from error
    return value
