"""What an OpenAI-compatible upstream answers -> rows, each proved to be what was asked for.

Anything else raises EmbedderMisbehaved: a vector in the wrong place would be found for the wrong text for ever.
"""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ingest.embedding.embedder import Vectors
from ingest.errors import EmbedderMisbehaved


@dataclass(frozen=True, slots=True)
class Answer:
    vectors: Vectors  # in the order of the inputs
    tokens: int | None  # as charged, where the upstream says so


def read_answer(body: bytes, *, inputs: int, width: int) -> Answer:
    try:
        answer = json.loads(body)
    except ValueError as error:
        raise EmbedderMisbehaved("the embedding service answered something that is not JSON") from error
    items = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise EmbedderMisbehaved("the embedding service answered without a list of embeddings")
    if len(items) != inputs:
        raise EmbedderMisbehaved(f"the embedding service answered {len(items)} embeddings for {inputs} inputs")
    vectors = np.empty((inputs, width), dtype=np.float32)
    for place, item in zip(_places(items), items, strict=True):
        vectors[place] = _row(item.get("embedding"), width)
    if not np.isfinite(vectors).all():
        raise EmbedderMisbehaved("the embedding service answered an embedding that is not made of finite numbers")
    return Answer(vectors, _tokens(answer.get("usage")))


def apportion(total: int, shares: Sequence[int]) -> list[int]:
    """Whole numbers in proportion to `shares` that add up to `total` exactly."""
    whole = sum(shares)
    if whole <= 0:
        shares, whole = [1] * len(shares), len(shares)
    parts, given, seen = list[int](), 0, 0
    for share in shares:
        seen += share
        parts.append(total * seen // whole - given)
        given += parts[-1]
    return parts


def _places(items: Sequence[dict[str, object]]) -> list[int]:
    """Each embedding's input, by its `index`; answers may come in any order, but none twice and none missing."""
    indices = [item.get("index") for item in items]
    if all(index is None for index in indices):
        return list(range(len(items)))
    places = [index for index in indices if isinstance(index, int)]
    if sorted(places) != list(range(len(items))):
        raise EmbedderMisbehaved("the embedding service answered with indices that are not those of the inputs")
    return places


def _row(embedding: object, width: int) -> Vectors:
    if isinstance(embedding, str):
        try:
            row = np.frombuffer(base64.b64decode(embedding, validate=True), dtype="<f4")
        except (binascii.Error, ValueError) as error:
            raise EmbedderMisbehaved("the embedding service answered an embedding that is not base64") from error
    elif isinstance(embedding, list) and all(type(number) in (int, float) for number in embedding):
        try:
            with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is refused for that
                row = np.asarray(embedding, dtype=np.float64).astype(np.float32)
        except OverflowError as error:
            raise EmbedderMisbehaved("the embedding service answered a number that is not finite") from error
    else:
        raise EmbedderMisbehaved("the embedding service answered an embedding that is no list of numbers")
    if len(row) != width:
        raise EmbedderMisbehaved(f"the embedding service answered {len(row)} dimensions where {width} were expected")
    return row


def _tokens(usage: object) -> int | None:
    if not isinstance(usage, dict):
        return None
    for name in ("total_tokens", "prompt_tokens"):
        if type(usage.get(name)) is int and usage[name] >= 0:
            return int(usage[name])
    return None
