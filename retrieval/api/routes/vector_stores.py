"""Vector stores: create, list, show, change, delete; what is in one, and another try for what failed."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from retrieval.api.answers import json_answer
from retrieval.api.dependencies import Reader, ResourcesDep, ServiceDep, Writer
from retrieval.api.once import Answer, once, wanted
from retrieval.api.paging import PageDep, envelope
from retrieval.api.polling import with_poll_hint
from retrieval.api.schemas.attributes import parse_metadata
from retrieval.api.schemas.chunking import parse_chunking
from retrieval.api.schemas.vector_stores import (
    CreateVectorStore,
    FileCountsObject,
    FilesRetried,
    IndexStatistics,
    SegmentStatistics,
    UpdateVectorStore,
    VectorStoreDeleted,
    VectorStoreList,
    VectorStoreObject,
    VectorStoreStatistics,
)
from retrieval.catalog.rows import Attachment, StoreRow
from retrieval.catalog.vector_stores import NewStore
from retrieval.embedders import Embedders
from retrieval.errors import InvalidInput, NotFound
from retrieval.ids import FileId, StoreId, new_store_id

router = APIRouter(prefix="/v1/vector_stores", tags=["vector stores"])


@router.post("", response_model=VectorStoreObject)
def create_vector_store(body: CreateVectorStore, request: Request, caller: Writer, service: ServiceDep) -> Response:
    resources = service.resources
    model, width = model_of(resources.embedders, body.embedding_model, body.embedding_dimension)
    chunking = parse_chunking(body.chunking_strategy)
    store = NewStore(
        new_store_id(),
        model,
        width,
        name=body.name or "",
        description=body.description,
        metadata=parse_metadata(body.metadata, "metadata"),
        expires_days=None if body.expires_after is None else body.expires_after.days,
    )
    wishes = [Attachment(FileId(file), None, chunking) for file in body.file_ids or ()]
    now = resources.catalog.now()
    with resources.catalog.transaction() as tx:

        def act() -> Answer:
            row = tx.stores.add(caller.project, store, now)
            if wishes:
                tx.store_files.attach_all(caller.project, store.id, wishes, now, param="file_ids[{}]")
                row = tx.stores.get(caller.project, store.id)
            return VectorStoreObject.of(row, now).model_dump()

        done = once(tx, wanted(request, caller, body.model_dump_json()), now, act)
    request.state.facts["vector_store_id"] = done.answer["id"]
    if wishes and not done.again:
        service.doorbell.ring(store.id, bulk=len(wishes) > 1)
    return with_poll_hint(done.mark(json_answer(done.answer)), done.answer["file_counts"]["in_progress"])


def model_of(embedders: Embedders, asked: str | None, dimension: int | None) -> tuple[str, int]:
    """The model that the store keeps for good, by its own name, and how wide its vectors are."""
    try:
        name = embedders.name_of(asked) if asked else embedders.default
    except NotFound as error:
        raise NotFound(error.message, param="embedding_model", code=error.code) from error
    width = embedders.spec(name).width
    if dimension is not None and dimension != width:
        raise InvalidInput(
            f"Invalid value for 'embedding_dimension': the model '{name}' makes vectors of {width} dimensions.",
            param="embedding_dimension",
            code="invalid_value",
        )
    return name, width


def _answer(row: StoreRow, now: int) -> Response:
    answer = json_answer(VectorStoreObject.of(row, now).model_dump())
    return with_poll_hint(answer, row.counts.in_progress)


@router.get("", response_model=VectorStoreList)
def list_vector_stores(query: PageDep, caller: Reader, resources: ResourcesDep) -> Response:
    now = resources.catalog.now()
    with resources.catalog.reading() as tx:
        page = tx.stores.page(caller.project, query)
    return json_answer(envelope([VectorStoreObject.of(row, now) for row in page.items], has_more=page.has_more))


@router.get("/{vector_store_id}", response_model=VectorStoreObject)
def get_vector_store(vector_store_id: str, caller: Reader, resources: ResourcesDep) -> Response:
    with resources.catalog.reading() as tx:
        row = tx.stores.get(caller.project, StoreId(vector_store_id))
    return _answer(row, resources.catalog.now())


@router.post("/{vector_store_id}", response_model=VectorStoreObject)
def update_vector_store(
    vector_store_id: str, body: UpdateVectorStore, caller: Writer, resources: ResourcesDep
) -> Response:
    now = resources.catalog.now()
    changes = body.changes()
    with resources.catalog.transaction() as tx:
        row = tx.stores.change(caller.project, StoreId(vector_store_id), changes, now)
    return _answer(row, now)


@router.delete("/{vector_store_id}", response_model=VectorStoreDeleted)
def delete_vector_store(vector_store_id: str, caller: Writer, resources: ResourcesDep) -> Response:
    store = StoreId(vector_store_id)
    with resources.catalog.transaction() as tx:
        tx.stores.delete(caller.project, store, resources.catalog.now())
    resources.snapshots.forget(store)
    return json_answer(VectorStoreDeleted(id=store).model_dump())


@router.get("/{vector_store_id}/statistics", response_model=VectorStoreStatistics, tags=["extensions"])
def get_statistics(vector_store_id: str, caller: Reader, resources: ResourcesDep) -> Response:
    """Segments, vector codes and the recall measured for them."""
    store = StoreId(vector_store_id)
    with resources.catalog.reading() as tx:
        row = tx.stores.get(caller.project, store)
        manifest = tx.manifests.read(store, since=row.generation)
        loads = tx.manifests.loads(store)
    book = manifest.codebook
    statistics = VectorStoreStatistics(
        vector_store_id=store,
        generation=row.generation,
        embedding_model=row.model,
        embedding_dimension=row.width,
        usage_bytes=row.usage_bytes,
        file_counts=FileCountsObject.of(row.counts),
        documents_living=sum(load.living_documents for load in loads),
        segments=SegmentStatistics(
            live=len(manifest.segments),
            rows=sum(segment.rows for segment in manifest.segments),
            rows_living=sum(load.living_chunks for load in loads),
            bytes=sum(segment.bytes for segment in manifest.segments),
        ),
        index=IndexStatistics(
            coded_segments=len(manifest.indexes),
            bytes=sum(index.bytes for index in manifest.indexes) + (book.bytes if book else 0),
            trained_rows=book.trained_rows if book else 0,
            candidates=book.candidates if book else 0,
            recall=book.recall if book else None,
        ),
    )
    return json_answer(statistics.model_dump())


@router.post("/{vector_store_id}/retry", response_model=FilesRetried, tags=["extensions"])
def retry_failed_files(vector_store_id: str, caller: Writer, service: ServiceDep) -> Response:
    """Begin again with every file that failed."""
    store = StoreId(vector_store_id)
    with service.resources.catalog.transaction() as tx:
        retried = tx.store_files.retry(caller.project, store)
    if retried:
        service.doorbell.ring(store, bulk=retried > 1)
    return json_answer(FilesRetried(vector_store_id=store, retried=retried).model_dump())
