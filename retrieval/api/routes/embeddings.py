"""Embeddings: up to 4,096 texts a call, by any configured model."""

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from ingest.embedding import TokenIds, shortened
from retrieval.api.accounting import embedded
from retrieval.api.answers import json_answer
from retrieval.api.dependencies import Reader, ResourcesDep
from retrieval.api.schemas.embeddings import CreateEmbeddings, Input, embeddings_page
from retrieval.errors import InvalidInput
from retrieval.ledger import EMBEDDING_TOKENS

router = APIRouter(prefix="/v1", tags=["embeddings"])


@router.post("/embeddings")
@router.post("/embeddings_batch")
def create_embeddings(body: CreateEmbeddings, request: Request, caller: Reader, resources: ResourcesDep) -> Response:
    inputs = body.inputs()
    name = resources.embedders.name_of(body.model)
    embedder = resources.embedders.get(name)
    width = embedder.spec.width
    if body.dimensions is not None and body.dimensions > width:
        raise InvalidInput(
            f"'dimensions' must be at most {width} for the model '{body.model}'.",
            param="dimensions",
            code="integer_above_max_value",
        )
    made = embedder.embed(_texts(inputs, resources.token_ids))
    vectors = made.vectors if body.dimensions is None else shortened(made.vectors, body.dimensions)
    embedded(request, caller, embedder.spec, made.tokens, EMBEDDING_TOKENS)
    return json_answer(embeddings_page(vectors, made.tokens, body.model, body.encoding_format))


def _texts(inputs: Input, token_ids: TokenIds) -> list[str]:
    return [one if isinstance(one, str) else _decoded(one, at, token_ids) for at, one in enumerate(inputs)]


def _decoded(tokens: Sequence[int], at: int, token_ids: TokenIds) -> str:
    try:
        return token_ids.text(tokens)
    except ValueError as error:
        raise InvalidInput(
            f"Invalid value for 'input', text {at}: {error}.", param="input", code="invalid_value"
        ) from error
