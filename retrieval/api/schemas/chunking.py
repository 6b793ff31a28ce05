"""`chunking_strategy`: the forms that programs send, and the one that answers have. Pure."""

from typing import Any, Final

from pydantic import WithJsonSchema

from retrieval.catalog.rows import StaticChunking
from retrieval.errors import InvalidInput, UnknownParameter

LEAST_TOKENS: Final = 100
MOST_TOKENS: Final = 4096
AUTO_TOKENS: Final = 800  # what no chunk of `auto` exceeds, and what answers say of it
USUAL_OVERLAP: Final = 400

_NUMBERS: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "max_chunk_size_tokens": {"type": "integer", "minimum": LEAST_TOKENS, "maximum": MOST_TOKENS},
        "chunk_overlap_tokens": {"type": "integer", "minimum": 0, "maximum": MOST_TOKENS // 2},
    },
    "required": ["max_chunk_size_tokens", "chunk_overlap_tokens"],
}


def _strategy(name: str, **more: Any) -> dict[str, Any]:
    kind = {"type": {"type": "string", "enum": [name]}}
    required = ["type", *more]
    return {"type": "object", "additionalProperties": False, "properties": {**kind, **more}, "required": required}


CHUNKING_SCHEMA: Final = WithJsonSchema(
    {"anyOf": [_strategy("auto"), _strategy("static", static=_NUMBERS), {"type": "null"}]}
)


def parse_chunking(given: object, at: str = "chunking_strategy") -> StaticChunking | None:
    """None: `auto`. The numbers of `static` stand in an object of that name or, in programs that follow older
    guides, beside `type`, where the overlap may be missing."""
    if given is None:
        return None
    strategy = _object(given, at)
    kind = _required(strategy, "type", at)
    if kind == "auto":
        _refuse_others(strategy, ("type",), at)
        return None
    if kind != "static":
        raise InvalidInput(
            f"Invalid value for '{at}.type': expected 'auto' or 'static'.", param=f"{at}.type", code="invalid_value"
        )
    if "static" not in strategy and "max_chunk_size_tokens" in strategy:
        _refuse_others(strategy, ("type", "max_chunk_size_tokens", "chunk_overlap_tokens"), at)
        most = _most(strategy, at)
        if "chunk_overlap_tokens" not in strategy:
            return StaticChunking(most, min(most // 2, USUAL_OVERLAP))
        return StaticChunking(most, _overlap(strategy, most, at))
    _refuse_others(strategy, ("type", "static"), at)
    numbers = _object(_required(strategy, "static", at), f"{at}.static")
    at = f"{at}.static"
    _refuse_others(numbers, ("max_chunk_size_tokens", "chunk_overlap_tokens"), at)
    most = _most(numbers, at)
    return StaticChunking(most, _overlap(numbers, most, at))


def chunking_answer(chunking: StaticChunking | None) -> dict[str, Any]:
    """`auto` comes back as the bounds that truly hold."""
    most, overlap = (AUTO_TOKENS, 0) if chunking is None else (chunking.max_tokens, chunking.overlap_tokens)
    return {"type": "static", "static": {"max_chunk_size_tokens": most, "chunk_overlap_tokens": overlap}}


def _object(given: object, at: str) -> dict[str, object]:
    if not isinstance(given, dict):
        raise InvalidInput(f"Invalid type for '{at}': expected an object.", param=at, code="invalid_type")
    return given


def _required(given: dict[str, object], name: str, at: str) -> object:
    if name not in given:
        path = f"{at}.{name}"
        raise InvalidInput(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")
    return given[name]


def _refuse_others(given: dict[str, object], known: tuple[str, ...], at: str) -> None:
    for name in given:
        if name not in known:
            raise UnknownParameter(f"{at}.{name}", known)


def _most(numbers: dict[str, object], at: str) -> int:
    return _whole(numbers, "max_chunk_size_tokens", at, LEAST_TOKENS, MOST_TOKENS)


def _overlap(numbers: dict[str, object], most: int, at: str) -> int:
    return _whole(numbers, "chunk_overlap_tokens", at, 0, most // 2, "half of 'max_chunk_size_tokens', ")


def _whole(numbers: dict[str, object], name: str, at: str, least: int, most: int, why: str = "") -> int:
    value, path = _required(numbers, name, at), f"{at}.{name}"
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(f"Invalid type for '{path}': expected an integer.", param=path, code="invalid_type")
    if value < least:
        raise InvalidInput(
            f"Invalid value for '{path}': must be at least {least}.", param=path, code="integer_below_min_value"
        )
    if value > most:
        raise InvalidInput(
            f"Invalid value for '{path}': must be at most {why}{most}.", param=path, code="integer_above_max_value"
        )
    return value
