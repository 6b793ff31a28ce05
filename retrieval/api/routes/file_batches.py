"""File batches: attach many files by one call, see how they fare, call it off."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from retrieval.api.answers import json_answer
from retrieval.api.dependencies import Reader, ResourcesDep, ServiceDep, Writer
from retrieval.api.once import Answer, once, wanted
from retrieval.api.paging import PageDep, envelope
from retrieval.api.polling import with_poll_hint
from retrieval.api.schemas.file_batches import CreateFileBatch, FileBatchObject
from retrieval.api.schemas.vector_store_files import (
    StatusFilter,
    VectorStoreFileList,
    VectorStoreFileObject,
    parse_status,
)
from retrieval.catalog.rows import BatchRow
from retrieval.ids import BatchId, StoreId, new_batch_id

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/file_batches", tags=["file batches"])


def _answer(row: BatchRow) -> Response:
    return with_poll_hint(json_answer(FileBatchObject.of(row).model_dump()), row.counts.in_progress)


@router.post("", response_model=FileBatchObject)
def create_file_batch(
    vector_store_id: str, body: CreateFileBatch, request: Request, caller: Writer, service: ServiceDep
) -> Response:
    """All files or none. The counts of the answer hold every file: pollers look at nothing else."""
    store, catalog = StoreId(vector_store_id), service.resources.catalog
    wishes, now = body.wishes(), catalog.now()
    with catalog.transaction() as tx:

        def act() -> Answer:
            batch = tx.batches.add(caller.project, store, new_batch_id(), wishes.attachments, now, param=wishes.param)
            return FileBatchObject.of(batch).model_dump()

        done = once(tx, wanted(request, caller, body.model_dump_json()), now, act)
    request.state.facts["batch_id"] = done.answer["id"]
    waiting = done.answer["file_counts"]["in_progress"]
    if waiting and not done.again:
        service.doorbell.ring(store, bulk=waiting > 1)
    return with_poll_hint(done.mark(json_answer(done.answer)), waiting)


@router.get("/{batch_id}", response_model=FileBatchObject)
def get_file_batch(vector_store_id: str, batch_id: str, caller: Reader, resources: ResourcesDep) -> Response:
    with resources.catalog.reading() as tx:
        row = tx.batches.get(caller.project, StoreId(vector_store_id), BatchId(batch_id))
    return _answer(row)


@router.post("/{batch_id}/cancel", response_model=FileBatchObject)
def cancel_file_batch(vector_store_id: str, batch_id: str, caller: Writer, resources: ResourcesDep) -> Response:
    now = resources.catalog.now()
    with resources.catalog.transaction() as tx:
        row = tx.batches.cancel(caller.project, StoreId(vector_store_id), BatchId(batch_id), now)
    return _answer(row)


@router.get("/{batch_id}/files", response_model=VectorStoreFileList)
def list_files_of_batch(
    vector_store_id: str,
    batch_id: str,
    query: PageDep,
    caller: Reader,
    resources: ResourcesDep,
    status: Annotated[StatusFilter, Query(alias="filter")] = "",
) -> Response:
    wanted = parse_status(status)
    with resources.catalog.reading() as tx:
        page = tx.batches.page(caller.project, StoreId(vector_store_id), BatchId(batch_id), query, wanted)
    return json_answer(envelope([VectorStoreFileObject.of(row) for row in page.items], has_more=page.has_more))
