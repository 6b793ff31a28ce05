"""Imports: an uploaded archive is to become a store; how far it has come."""

from fastapi import APIRouter, Request, Response

from retrieval.api.dependencies import Reader, ResourcesDep, ServiceDep, Writer
from retrieval.api.once import Answer, once, wanted
from retrieval.api.schemas.moving import CreateImport, ImportObject
from retrieval.errors import NotFound
from retrieval.ids import FileId, ImportId, new_import_id, new_store_id

router = APIRouter(prefix="/v1/imports", tags=["extensions"])


@router.post("")
def create_import(
    body: CreateImport, caller: Writer, service: ServiceDep, request: Request, response: Response
) -> ImportObject:
    resources = service.resources
    model = None
    if body.embedding_model is not None:
        try:
            model = resources.embedders.name_of(body.embedding_model)
        except NotFound as error:
            raise NotFound(error.message, param="embedding_model", code=error.code) from error
    now = resources.catalog.now()
    with resources.catalog.transaction() as tx:

        def act() -> Answer:
            archive = tx.files.get(caller.project, FileId(body.file_id))
            row = tx.imports.add(
                caller.project,
                new_import_id(),
                archive.id,
                size=archive.bytes,
                store=new_store_id() if body.ids == "new" else None,
                model=model,
                name=body.name,
                now=now,
            )
            return ImportObject.of(row).model_dump()

        done = once(tx, wanted(request, caller, body.model_dump_json()), now, act)
    if not done.again:
        service.doorbell.ring_for_imports()
    done.mark(response)
    return ImportObject.model_validate(done.answer)


@router.get("/{import_id}")
def get_import(import_id: str, caller: Reader, resources: ResourcesDep) -> ImportObject:
    with resources.catalog.reading() as tx:
        return ImportObject.of(tx.imports.get(caller.project, ImportId(import_id)))
