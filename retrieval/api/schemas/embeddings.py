"""Embeddings: one request of many texts, and its vectors as numbers or as base64."""

import base64
from typing import Annotated, Any, Final, Literal

from pydantic import Field, WithJsonSchema

from ingest.embedding import Vectors
from retrieval.api.schemas.attributes import plain_text
from retrieval.api.validation import Closed
from retrieval.errors import InvalidInput

MOST_INPUTS: Final = 4096
MOST_INPUT_CHARACTERS: Final = 8192 * 16  # a token rarely has more; the model's own count decides
MOST_TOKENS: Final = 8192  # of one input that comes as tokens

_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1}
_TOKENS: Final[dict[str, Any]] = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0},
    "minItems": 1,
    "maxItems": MOST_TOKENS,
}
_MANY: Final[dict[str, Any]] = {"type": "array", "minItems": 1, "maxItems": MOST_INPUTS}
INPUT_SCHEMA: Final = WithJsonSchema(
    {"oneOf": [_TEXT, {**_MANY, "items": _TEXT}, _TOKENS, {**_MANY, "items": _TOKENS}]}
)

Input = list[str | list[int]]


class CreateEmbeddings(Closed):
    input: Annotated[object, INPUT_SCHEMA]
    model: str = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)
    user: str | None = None

    def inputs(self) -> Input:
        """Texts, or tokens of texts; one or many. By hand: of four forms a caller is told about the one he meant."""
        given = self.input
        if isinstance(given, str):
            return [_text(given, "input")]
        if not isinstance(given, list):
            raise _wrong_type("input", "a string, an array of strings, an array of tokens or an array of such arrays")
        if not given:
            raise InvalidInput("'input' must not be empty.", param="input", code="empty_array")
        if isinstance(given[0], str):
            return [_text(one, f"input[{at}]") for at, one in enumerate(_at_most(given, MOST_INPUTS, "input"))]
        if isinstance(given[0], list):
            return [_tokens(one, f"input[{at}]") for at, one in enumerate(_at_most(given, MOST_INPUTS, "input"))]
        if isinstance(given[0], int | float):
            return [_tokens(given, "input")]
        raise _wrong_type("input[0]", "a string, a token or an array of tokens")


def _text(given: object, at: str) -> str:
    if not isinstance(given, str):
        raise _wrong_type(at, "a string, like the others")
    if not given:
        raise InvalidInput(f"'{at}' must not be empty.", param=at, code="empty_string")
    return plain_text(given, at)


def _tokens(given: object, at: str) -> list[int]:
    if not isinstance(given, list):
        raise _wrong_type(at, "an array of tokens, like the others")
    if not given:
        raise InvalidInput(f"'{at}' must not be empty.", param=at, code="empty_array")
    for place, token in enumerate(_at_most(given, MOST_TOKENS, at)):
        if not isinstance(token, int) or isinstance(token, bool):
            raise _wrong_type(f"{at}[{place}]", "a token: an integer")
        if token < 0:
            raise InvalidInput(
                f"Invalid value for '{at}[{place}]': must be at least 0.",
                param=f"{at}[{place}]",
                code="integer_below_min_value",
            )
    return given


def _at_most(given: list[object], most: int, at: str) -> list[object]:
    if len(given) > most:
        raise InvalidInput(
            f"'{at}' has {len(given)} elements: at most {most}.", param=at, code="array_above_max_length"
        )
    return given


def _wrong_type(at: str, expected: str) -> InvalidInput:
    return InvalidInput(f"Invalid type for '{at}': expected {expected}.", param=at, code="invalid_type")


def embeddings_page(vectors: Vectors, tokens: int, model: str, encoding: str) -> dict[str, Any]:
    rows: list[Any]
    if encoding == "base64":
        rows = [base64.b64encode(row.astype("<f4").tobytes()).decode("ascii") for row in vectors]
    else:
        rows = vectors.tolist()
    return {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(rows)],
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
