"""Search: a question to one store; and what it holds, shown without a question."""

from typing import Annotated, Final

import numpy as np
from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from retrieval.api.accounting import searched
from retrieval.api.answers import json_answer
from retrieval.api.dependencies import Reader, ResourcesDep, Service, ServiceDep, caller_of
from retrieval.api.schemas.chunks import MOST_CHUNKS, ChunkPage, ListChunks, parse_token
from retrieval.api.schemas.search import SearchPage, SearchRequest, search_page
from retrieval.ids import FileId, StoreId
from retrieval.search.filters import parse_filter
from retrieval.search.passages import documents_allowed, passages
from retrieval.search.reading import open_file, open_store

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}", tags=["search"])


@router.post("/search", response_model=SearchPage)
def search_vector_store(
    vector_store_id: str,
    body: SearchRequest,
    request: Request,
    _: Reader,
    service: ServiceDep,
    trace: Annotated[bool, Query(description="Tell how each result came by its place.")] = False,
    x_carrel_trace: Annotated[str, Header(description="`1`: the same as the query parameter `trace`.")] = "",
) -> Response:
    traced = trace or x_carrel_trace.strip().lower() in {"1", "true"}
    return answer_search(vector_store_id, body, request, service, traced=traced)


ROUTE: Final = router.routes[-1]  # by what name `quick` is to be logged


def answer_search(store: str, body: SearchRequest, request: Request, service: Service, *, traced: bool) -> Response:
    """What the route does, for whoever has the request checked already."""
    caller = caller_of(request)
    query = body.to_query(service.wire.most_results, service.wire.keyword_weight)
    answer = service.resources.searcher.search(caller.project, StoreId(store), query)
    searched(request, caller, answer)
    return json_answer(search_page(query.texts, answer, traced=traced))


@router.post("/chunks", response_model=ChunkPage, tags=["extensions"])
def list_chunks(vector_store_id: str, body: ListChunks, caller: Reader, resources: ResourcesDep) -> Response:
    """Every chunk of the store, or of the files that a filter allows, in a lasting order."""
    allowed = None if body.filters is None else parse_filter(body.filters)
    after = parse_token(body.after)
    snapshot = open_store(resources.catalog, resources.snapshots, caller.project, StoreId(vector_store_id))
    found, more = passages(snapshot, documents_allowed(snapshot, allowed), after, body.limit)
    return json_answer(ChunkPage.of(found, has_more=more).model_dump())


@router.get("/files/{file_id}/chunks", response_model=ChunkPage, tags=["extensions"])
def list_chunks_of_file(
    vector_store_id: str,
    file_id: str,
    caller: Reader,
    resources: ResourcesDep,
    limit: Annotated[int, Query(ge=1, le=MOST_CHUNKS)] = 20,
    after: Annotated[str, Query(description="A chunk's id.")] = "",
) -> Response:
    """One file's chunks in reading order, with span, page, headings and size."""
    place = parse_token(after)
    snapshot, document = open_file(
        resources.catalog, resources.snapshots, caller.project, StoreId(vector_store_id), FileId(file_id)
    )
    found, more = passages(snapshot, np.array([document]), place, limit)
    return json_answer(ChunkPage.of(found, has_more=more).model_dump())
