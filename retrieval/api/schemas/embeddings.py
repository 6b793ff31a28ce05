"""Embeddings: one request of many texts, and its vectors as numbers or as base64."""

import base64
from typing import Annotated, Any, Final, Literal

from pydantic import Field, StringConstraints

from ingest.embedding import Vectors
from retrieval.api.validation import Closed

MOST_INPUTS: Final = 4096
MOST_INPUT_CHARACTERS: Final = 8192 * 16  # a token rarely has more; the model's own count decides
TokenId = Annotated[int, Field(ge=0)]
Text = Annotated[str, StringConstraints(min_length=1)]
Tokens = Annotated[list[TokenId], Field(min_length=1, max_length=8192)]


class CreateEmbeddings(Closed):
    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MOST_INPUTS)]
        | Annotated[list[TokenId], Field(min_length=1, max_length=8192)]
        | Annotated[list[Tokens], Field(min_length=1, max_length=MOST_INPUTS)]
    )
    model: str = Field(min_length=1)
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)
    user: str | None = None


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
