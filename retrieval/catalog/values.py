"""Values on their way into columns and back: JSON with types kept, and text that both databases can hold.

PostgreSQL has no NUL in text and neither database has lone surrogates; JSON is stored as ASCII and has no such limits.
"""

import json
from collections.abc import Mapping, Sequence
from typing import cast

from pydantic_core import from_json

from retrieval.catalog.rows import Attributes, StaticChunking
from retrieval.errors import InvalidInput

_INVALID = "invalid_value"
_MAX_INTEGER = 2**63 - 1

Json = str | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


def to_json(value: Json) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def attributes_to_json(attributes: Attributes | None) -> str | None:
    """Keys in order, so that equal attributes are equal text; 5, 5.0 and true stay three different things."""
    if attributes is None:
        return None
    try:
        return json.dumps(dict(attributes), separators=(",", ":"), ensure_ascii=True, allow_nan=False, sort_keys=True)
    except ValueError as error:
        message = "Attribute values must be finite numbers."
        raise InvalidInput(message, param="attributes", code=_INVALID) from error


def attributes_from_json(text: str | None) -> Attributes | None:
    return None if text is None else cast("Attributes", json.loads(text))


def many_attributes_from_json(texts: Sequence[str]) -> list[Attributes]:
    """`attributes_from_json` of many, read as one list by a quicker reader: five times as fast as one by one."""
    together = f"[{','.join(texts)}]"
    try:
        return cast("list[Attributes]", from_json(together))
    except ValueError:  # it takes no lone surrogates, which JSON may hold
        return cast("list[Attributes]", json.loads(together))


def text_map(text: str) -> dict[str, str]:
    return cast("dict[str, str]", json.loads(text))


def number_map(text: str) -> dict[str, int]:
    return cast("dict[str, int]", json.loads(text))


def text_list(text: str) -> list[str]:
    return cast("list[str]", json.loads(text))


def storable(value: str, param: str) -> str:
    """The caller's text as it is, or a refusal that names it."""
    if "\x00" in value:
        raise InvalidInput(f"'{param}' must not contain the character NUL.", param=param, code=_INVALID)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        message = f"'{param}' must be valid Unicode: it has a lone surrogate."
        raise InvalidInput(message, param=param, code=_INVALID) from error
    return value


def legible(value: str) -> str:
    """Our own sentences, which may quote a document: whatever cannot be stored becomes a replacement character."""
    return value.replace("\x00", "\ufffd").encode(errors="replace").decode()


def within_range(value: int, param: str) -> int:
    if not 0 <= value <= _MAX_INTEGER:
        raise InvalidInput(f"'{param}' must be between 0 and {_MAX_INTEGER}.", param=param, code=_INVALID)
    return value


def chunking_from_columns(max_tokens: int | None, overlap_tokens: int | None) -> StaticChunking | None:
    if max_tokens is None or overlap_tokens is None:
        return None
    return StaticChunking(max_tokens, overlap_tokens)


def chunking_columns(chunking: StaticChunking | None) -> dict[str, int | None]:
    if chunking is not None and not 0 <= chunking.overlap_tokens < chunking.max_tokens:
        message = "The overlap of chunks must be smaller than they are."
        raise InvalidInput(message, param="chunking_strategy", code=_INVALID)
    return {
        "chunk_max_tokens": None if chunking is None else chunking.max_tokens,
        "chunk_overlap_tokens": None if chunking is None else chunking.overlap_tokens,
    }
