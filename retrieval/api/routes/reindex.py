"""Re-indexing: a new model or chunking for a store, or for all stores of a project, while searches go on."""

from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from retrieval.api.answers import json_answer
from retrieval.api.auth import Caller
from retrieval.api.dependencies import Reader, ResourcesDep, Service, ServiceDep, Writer
from retrieval.api.routes.vector_stores import model_of
from retrieval.api.schemas.chunking import parse_chunking
from retrieval.api.schemas.reindex import (
    Reindex,
    ReindexEstimate,
    ReindexList,
    ReindexObject,
    ReindexSkipped,
    ReindexStarted,
)
from retrieval.catalog.reindex_rows import ReindexRow, ReindexWish
from retrieval.catalog.reindexes import Reindexes
from retrieval.errors import InvalidInput, NotAllowedNow
from retrieval.ids import ProjectId, StoreId, new_reindex_id
from retrieval.resources import Resources
from retrieval.search.passages import tokens_to_embed
from retrieval.search.reading import open_store

router = APIRouter(prefix="/v1", tags=["extensions"])

OF_STORE = "/vector_stores/{vector_store_id}/reindex"

Step = Callable[[Reindexes, ProjectId, StoreId, int], ReindexRow]


def _wish(body: Reindex, present: str | None, service: Service) -> ReindexWish:
    """`present`: the model that stays where none is named."""
    if body.embedding_model is None and body.chunking_strategy is None:
        raise InvalidInput(
            "Give 'embedding_model', 'chunking_strategy' or both: what is to change?", param="embedding_model"
        )
    resources = service.resources
    model, width = model_of(resources.embedders, body.embedding_model or present, None)
    return ReindexWish(
        model,
        width,
        rechunk=body.chunking_strategy is not None,
        chunking=parse_chunking(body.chunking_strategy),
        chunks_per_second=body.chunks_per_second,
        keep_seconds=service.wire.keep_seconds if body.keep_seconds is None else body.keep_seconds,
        allow_failed=body.allow_failed,
        dollars_per_million_tokens=resources.embedders.spec(model).dollars_per_million_tokens,
    )


def _start(project: ProjectId, store: StoreId, body: Reindex, service: Service) -> ReindexRow:
    catalog = service.resources.catalog
    with catalog.reading() as tx:
        present = tx.stores.get(project, store).model
    wish = _wish(body, present, service)
    with catalog.transaction() as tx:
        row = tx.reindexes.start(project, store, new_reindex_id(), wish, catalog.now())
    service.doorbell.ring(store, bulk=True)
    return row


@router.post(OF_STORE, response_model=ReindexObject)
def start_reindex(vector_store_id: str, body: Reindex, caller: Writer, service: ServiceDep) -> Response:
    """Build a second edition with another model, another chunking or both, and swap it in when it is complete."""
    row = _start(caller.project, StoreId(vector_store_id), body, service)
    return json_answer(ReindexObject.of(row, service.resources.catalog.now()).model_dump())


@router.post(f"{OF_STORE}/estimate", response_model=ReindexEstimate)
def estimate_reindex(vector_store_id: str, body: Reindex, caller: Reader, service: ServiceDep) -> Response:
    """What it would cost; nothing is started."""
    store, resources = StoreId(vector_store_id), service.resources
    with resources.catalog.reading() as tx:
        row = tx.stores.get(caller.project, store)
    wish = _wish(body, row.model, service)
    snapshot = open_store(resources.catalog, resources.snapshots, caller.project, store)
    tokens = tokens_to_embed(snapshot)
    if wish.chunking is not None:
        tokens = tokens * wish.chunking.max_tokens // (wish.chunking.max_tokens - wish.chunking.overlap_tokens)
    estimate = ReindexEstimate(
        vector_store_id=store,
        embedding_model=wish.model,
        embedding_dimension=wish.width,
        files=int(snapshot.documents.living.values.sum()),
        chunks=snapshot.rows_living,
        tokens=tokens,
        cost_usd=tokens * wish.dollars_per_million_tokens / 1e6,
    )
    return json_answer(estimate.model_dump())


@router.get(OF_STORE, response_model=ReindexObject)
def get_reindex(vector_store_id: str, caller: Reader, resources: ResourcesDep) -> Response:
    """How far it is: the store's re-index, or its last one."""
    return _shown(StoreId(vector_store_id), caller, resources)


def _shown(store: StoreId, caller: Caller, resources: Resources) -> Response:
    with resources.catalog.reading() as tx:
        row = tx.reindexes.latest(caller.project, store)
        failures = tx.reindexes.failures(store)
    return json_answer(ReindexObject.of(row, resources.catalog.now(), failures).model_dump())


def _steered(vector_store_id: str, caller: Caller, service: Service, step: Step) -> Response:
    store, catalog = StoreId(vector_store_id), service.resources.catalog
    with catalog.transaction() as tx:
        step(tx.reindexes, caller.project, store, catalog.now())
    service.doorbell.ring(store, bulk=True)
    return _shown(store, caller, service.resources)


@router.post(f"{OF_STORE}/pause", response_model=ReindexObject)
def pause_reindex(vector_store_id: str, caller: Writer, service: ServiceDep) -> Response:
    """Claim nothing more; what is being worked on is finished."""
    return _steered(vector_store_id, caller, service, Reindexes.pause)


@router.post(f"{OF_STORE}/resume", response_model=ReindexObject)
def resume_reindex(vector_store_id: str, caller: Writer, service: ServiceDep) -> Response:
    return _steered(vector_store_id, caller, service, Reindexes.resume)


@router.post(f"{OF_STORE}/retry", response_model=ReindexObject)
def retry_reindex(vector_store_id: str, caller: Writer, service: ServiceDep) -> Response:
    """Try again what failed."""
    return _steered(vector_store_id, caller, service, Reindexes.retry)


@router.post(f"{OF_STORE}/allow_failed", response_model=ReindexObject)
def allow_failed(vector_store_id: str, caller: Writer, service: ServiceDep) -> Response:
    """Swap although files failed; they are `failed` in the store then, and come back with a rollback."""
    return _steered(vector_store_id, caller, service, Reindexes.allow_failed)


@router.post(f"{OF_STORE}/cancel", response_model=ReindexObject)
def cancel_reindex(vector_store_id: str, caller: Writer, service: ServiceDep) -> Response:
    """Give up what is being built; searches go on as they are."""
    return _steered(vector_store_id, caller, service, Reindexes.cancel)


@router.post(f"{OF_STORE}/rollback", response_model=ReindexObject)
def roll_back_reindex(vector_store_id: str, caller: Writer, service: ServiceDep) -> Response:
    """Serve the old edition again: at once, or as soon as it has what came since the swap."""
    return _steered(vector_store_id, caller, service, Reindexes.roll_back)


@router.post(f"{OF_STORE}/finish", response_model=ReindexObject)
def finish_reindex(vector_store_id: str, caller: Writer, service: ServiceDep) -> Response:
    """Let the old edition go before its time."""
    return _steered(vector_store_id, caller, service, Reindexes.finish)


@router.post("/reindex", response_model=ReindexStarted)
def start_reindex_of_all(body: Reindex, caller: Writer, service: ServiceDep) -> Response:
    """The same for every store of the project; those that cannot be, or need not, are told with the reason."""
    catalog = service.resources.catalog
    _wish(body, None, service)  # what is wrong for all stores is told once
    with catalog.reading() as tx:
        stores = tx.reindexes.stores_of(caller.project)
    started, skipped = [], []
    for store in stores:
        try:
            started.append(ReindexObject.of(_start(caller.project, store, body, service), catalog.now()))
        except (NotAllowedNow, InvalidInput) as error:
            skipped.append(ReindexSkipped(vector_store_id=store, reason=error.message))
    return json_answer(ReindexStarted(started=started, skipped=skipped).model_dump())


@router.get("/reindex", response_model=ReindexList)
def list_reindexes(
    caller: Reader, resources: ResourcesDep, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> Response:
    """Of all stores of the project, the newest first."""
    with resources.catalog.reading() as tx:
        rows = tx.reindexes.all(caller.project, limit)
    now = resources.catalog.now()
    return json_answer(ReindexList(data=[ReindexObject.of(row, now) for row in rows]).model_dump())
