"""Files of a store: attach, list, show, change, take out, read; stop one, or try it again."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from retrieval.api.answers import json_answer
from retrieval.api.dependencies import Reader, ResourcesDep, ServiceDep, Writer
from retrieval.api.once import Answer, once, wanted
from retrieval.api.paging import PageDep, envelope
from retrieval.api.polling import with_poll_hint
from retrieval.api.schemas.matching_files import DeleteMatching, FilesDeleted
from retrieval.api.schemas.vector_store_files import (
    AttachFile,
    ContentPage,
    StatusFilter,
    UpdateAttributes,
    VectorStoreFileDeleted,
    VectorStoreFileList,
    VectorStoreFileObject,
    parse_status,
)
from retrieval.catalog.rows import FileStatus, StoreFileRow
from retrieval.ids import FileId, StoreId
from retrieval.search.matching import delete_matching, files_matching
from retrieval.search.passages import chunks_of, text_of
from retrieval.search.reading import open_file

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/files", tags=["vector store files"])


def _answer(row: StoreFileRow) -> Response:
    answer = json_answer(VectorStoreFileObject.of(row).model_dump())
    return with_poll_hint(answer, int(row.status is FileStatus.IN_PROGRESS))


@router.post("/delete", response_model=FilesDeleted, tags=["extensions"])
def delete_matching_files(
    vector_store_id: str, body: DeleteMatching, caller: Writer, resources: ResourcesDep
) -> Response:
    """Take every file out of the store whose attributes a filter allows, whatever its status; the files stay."""
    store, wanted = StoreId(vector_store_id), body.wanted()
    matching = files_matching(resources.catalog, caller.project, store, wanted)
    gone = 0 if body.dry_run else delete_matching(resources.catalog, caller.project, store, wanted, matching)
    answer = FilesDeleted(vector_store_id=store, matched=len(matching), deleted=gone, dry_run=body.dry_run)
    return json_answer(answer.model_dump())


@router.post("", response_model=VectorStoreFileObject)
def attach_file(
    vector_store_id: str, body: AttachFile, request: Request, caller: Writer, service: ServiceDep
) -> Response:
    store, catalog = StoreId(vector_store_id), service.resources.catalog
    wish, now = body.attachment(), catalog.now()
    with catalog.transaction() as tx:

        def act() -> Answer:
            return VectorStoreFileObject.of(tx.store_files.attach(caller.project, store, wish, now)).model_dump()

        done = once(tx, wanted(request, caller, body.model_dump_json()), now, act)
    request.state.facts["file_id"] = done.answer["id"]
    waits = done.answer["status"] == FileStatus.IN_PROGRESS
    if waits and not done.again:
        service.doorbell.ring(store)
    return with_poll_hint(done.mark(json_answer(done.answer)), int(waits))


@router.get("", response_model=VectorStoreFileList)
def list_files_of_store(
    vector_store_id: str,
    query: PageDep,
    caller: Reader,
    resources: ResourcesDep,
    status: Annotated[StatusFilter, Query(alias="filter")] = "",
) -> Response:
    wanted = parse_status(status)
    with resources.catalog.reading() as tx:
        page = tx.store_files.page(caller.project, StoreId(vector_store_id), query, wanted)
    return json_answer(envelope([VectorStoreFileObject.of(row) for row in page.items], has_more=page.has_more))


@router.get("/{file_id}", response_model=VectorStoreFileObject)
def get_file_of_store(vector_store_id: str, file_id: str, caller: Reader, resources: ResourcesDep) -> Response:
    with resources.catalog.reading() as tx:
        row = tx.store_files.get(caller.project, StoreId(vector_store_id), FileId(file_id))
    return _answer(row)


@router.post("/{file_id}", response_model=VectorStoreFileObject)
def update_attributes(
    vector_store_id: str, file_id: str, body: UpdateAttributes, caller: Writer, resources: ResourcesDep
) -> Response:
    wished = body.wished()
    with resources.catalog.transaction() as tx:
        row = tx.store_files.set_attributes(caller.project, StoreId(vector_store_id), FileId(file_id), wished)
    return _answer(row)


@router.delete("/{file_id}", response_model=VectorStoreFileDeleted)
def detach_file(vector_store_id: str, file_id: str, caller: Writer, resources: ResourcesDep) -> Response:
    with resources.catalog.transaction() as tx:
        tx.store_files.delete(caller.project, StoreId(vector_store_id), FileId(file_id), resources.catalog.now())
    return json_answer(VectorStoreFileDeleted(id=file_id).model_dump())


@router.get("/{file_id}/content", response_model=ContentPage)
def get_content(vector_store_id: str, file_id: str, caller: Reader, resources: ResourcesDep) -> Response:
    """The parsed text in reading order, whole: the SDKs read one page only."""
    snapshot, document = open_file(
        resources.catalog, resources.snapshots, caller.project, StoreId(vector_store_id), FileId(file_id)
    )
    return json_answer(ContentPage.of(text_of(chunks_of(snapshot, document))).model_dump())


@router.post("/{file_id}/cancel", response_model=VectorStoreFileObject, tags=["extensions"])
def cancel_file(vector_store_id: str, file_id: str, caller: Writer, resources: ResourcesDep) -> Response:
    """Stop work on one file; one that has settled stays as it is."""
    now = resources.catalog.now()
    with resources.catalog.transaction() as tx:
        row = tx.store_files.cancel(caller.project, StoreId(vector_store_id), FileId(file_id), now)
    return _answer(row)


@router.post("/{file_id}/retry", response_model=VectorStoreFileObject, tags=["extensions"])
def retry_file(vector_store_id: str, file_id: str, caller: Writer, service: ServiceDep) -> Response:
    """Begin again with a file that failed; any other stays as it is."""
    store, file = StoreId(vector_store_id), FileId(file_id)
    with service.resources.catalog.transaction() as tx:
        retried = tx.store_files.retry(caller.project, store, file)
        row = tx.store_files.get(caller.project, store, file)
    if retried:
        service.doorbell.ring(store)
    return _answer(row)
