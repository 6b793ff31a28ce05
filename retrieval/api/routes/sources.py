"""Sources of a store: make, list, show, change, forget; refresh one, and read the reports of its runs."""

from typing import Annotated

from fastapi import APIRouter, Body, Depends
from starlette.responses import Response

from retrieval.api.answers import json_answer
from retrieval.api.auth import Caller
from retrieval.api.dependencies import Reader, ResourcesDep, ServiceDep, Writer, allowed
from retrieval.api.paging import PageDep, envelope
from retrieval.api.schemas.sources import (
    CreateSource,
    RefreshSource,
    RunList,
    RunObject,
    SourceDeleted,
    SourceList,
    SourceObject,
    UpdateSource,
)
from retrieval.catalog.account_rows import Scope
from retrieval.catalog.source_rows import SourceRow
from retrieval.ids import RunId, SourceId, StoreId, new_run_id, new_source_id

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/sources", tags=["extensions"])

# Who makes a source lets the server read what the caller may not: that is for whoever runs the project.
Administrator = Annotated[Caller, Depends(allowed(Scope.ADMIN))]


def _answer(row: SourceRow) -> Response:
    return json_answer(SourceObject.of(row).model_dump())


@router.post("", response_model=SourceObject)
def create_source(vector_store_id: str, body: CreateSource, caller: Administrator, resources: ResourcesDep) -> Response:
    """Name where documents of the store come from; nothing is read before the first refresh."""
    store, now = StoreId(vector_store_id), resources.catalog.now()
    with resources.catalog.reading() as tx:
        tx.stores.get(caller.project, store)  # before anything is said of paths
    wish, first = body.wish(resources.permits, now)
    with resources.catalog.transaction() as tx:
        row = tx.sources.add(caller.project, store, new_source_id(), wish, first, now)
    return _answer(row)


@router.get("", response_model=SourceList)
def list_sources(vector_store_id: str, query: PageDep, caller: Reader, resources: ResourcesDep) -> Response:
    store = StoreId(vector_store_id)
    with resources.catalog.reading() as tx:
        tx.stores.get(caller.project, store)
        page = tx.sources.page(caller.project, store, query)
    return json_answer(envelope([SourceObject.of(row) for row in page.items], has_more=page.has_more))


@router.get("/{source_id}", response_model=SourceObject)
def get_source(vector_store_id: str, source_id: str, caller: Reader, resources: ResourcesDep) -> Response:
    with resources.catalog.reading() as tx:
        return _answer(tx.sources.get(caller.project, StoreId(vector_store_id), SourceId(source_id)))


@router.post("/{source_id}", response_model=SourceObject)
def update_source(
    vector_store_id: str, source_id: str, body: UpdateSource, caller: Administrator, resources: ResourcesDep
) -> Response:
    """The next run brings the store in line with what has changed."""
    store, source, now = StoreId(vector_store_id), SourceId(source_id), resources.catalog.now()
    with resources.catalog.reading() as tx:
        old = tx.sources.get(caller.project, store, source)
    wish, following = body.wish(old, resources.permits, now)
    with resources.catalog.transaction() as tx:
        return _answer(tx.sources.change(caller.project, store, source, wish, following))


@router.delete("/{source_id}", response_model=SourceDeleted)
def delete_source(vector_store_id: str, source_id: str, caller: Administrator, resources: ResourcesDep) -> Response:
    """Forget the source and its reports. The files that came from it stay in the store."""
    with resources.catalog.transaction() as tx:
        now = resources.catalog.now()
        tx.sources.delete(caller.project, StoreId(vector_store_id), SourceId(source_id), now)
    return json_answer(SourceDeleted(id=source_id).model_dump())


@router.post("/{source_id}/refresh", response_model=RunObject)
def refresh_source(
    vector_store_id: str,
    source_id: str,
    caller: Writer,
    service: ServiceDep,
    body: Annotated[RefreshSource | None, Body()] = None,
) -> Response:
    """Begin a run now; one that is under way and does the same is answered instead."""
    asked, source = body or RefreshSource(), SourceId(source_id)
    catalog = service.resources.catalog
    with catalog.transaction() as tx:
        run = tx.source_runs.request(
            caller.project,
            StoreId(vector_store_id),
            source,
            new_run_id(),
            catalog.now(),
            dry_run=asked.dry_run,
            force=asked.force,
        )
    service.doorbell.ring_for_refresh(source)
    return json_answer(RunObject.of(run, vector_store_id).model_dump())


@router.get("/{source_id}/runs", response_model=RunList)
def list_runs(
    vector_store_id: str, source_id: str, query: PageDep, caller: Reader, resources: ResourcesDep
) -> Response:
    with resources.catalog.reading() as tx:
        page = tx.source_runs.page(caller.project, StoreId(vector_store_id), SourceId(source_id), query)
    runs = [RunObject.of(row, vector_store_id) for row in page.items]
    return json_answer(envelope(runs, has_more=page.has_more))


@router.get("/{source_id}/runs/{run_id}", response_model=RunObject)
def get_run(vector_store_id: str, source_id: str, run_id: str, caller: Reader, resources: ResourcesDep) -> Response:
    """The report, with what was added, changed, removed and failed by name."""
    with resources.catalog.reading() as tx:
        run = tx.source_runs.get(caller.project, StoreId(vector_store_id), SourceId(source_id), RunId(run_id))
        changes = tx.source_runs.changes(run.id)
    return json_answer(RunObject.of(run, vector_store_id, changes).model_dump())
