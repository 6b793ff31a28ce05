"""Files: upload as a stream, list, show, delete, download."""

import json
from collections.abc import Generator
from contextlib import ExitStack
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from retrieval.api.accounting import uploaded
from retrieval.api.answers import json_answer
from retrieval.api.auth import Caller
from retrieval.api.dependencies import Reader, ResourcesDep, Service, ServiceDep, Writer, caller_of, permit
from retrieval.api.middleware import FORM_ROOM, LARGEST_FILE
from retrieval.api.multipart import FilePart, Form, form_of, read_form
from retrieval.api.once import Answer, Done, Wanted, once, wanted
from retrieval.api.paging import envelope
from retrieval.api.ranges import download
from retrieval.api.schemas.files import (
    BATCH_BYTES,
    BATCH_SECONDS,
    FileDeleted,
    FileObject,
    checked_purpose,
    expiry_of,
    plain_name,
)
from retrieval.catalog.account_rows import FileRow, NewFile, Scope
from retrieval.catalog.paging import PageQuery
from retrieval.catalog.transaction import Transaction
from retrieval.errors import CallerError, InvalidInput, StorageQuotaReached, TooLarge, UnknownParameter
from retrieval.ids import FileId, new_file_id
from retrieval.storage.blobs import Incoming
from retrieval.storage.objects import Storage

PATH: Final = "/v1/files"
router = APIRouter(prefix=PATH, tags=["files"])

PIECE_BYTES = 64 << 10


@router.post("")
async def create_file(request: Request, response: Response, caller: Writer, service: ServiceDep) -> FileObject:
    if service.limiter.most_bytes(caller) is not None:
        said = request.headers.get("content-length", "")
        await run_in_threadpool(check_room, int(said or 0) - FORM_ROOM, caller, service)
    with ExitStack() as stack:
        incoming: list[Incoming] = []

        def open_sink(_: FilePart) -> Incoming:
            incoming.append(stack.enter_context(_incoming(caller, service)))
            return incoming[0]

        form = await read_form(request, "file", open_sink)
        done = await run_in_threadpool(_keep, form, incoming, caller, service, request)
    done.mark(response)
    return FileObject.model_validate(done.answer)


ROUTE: Final = router.routes[-1]  # by what name `quick` is to be logged


def create_file_at_once(body: bytes, request: Request, service: Service) -> Response:
    """What the route does, for whoever has the whole body and is in a thread."""
    caller = caller_of(request)
    permit(caller, Scope.WRITE, request.scope["path"])
    check_room(len(body) - FORM_ROOM, caller, service)
    with ExitStack() as stack:
        incoming: list[Incoming] = []

        def open_sink(_: FilePart) -> Incoming:
            incoming.append(stack.enter_context(_incoming(caller, service)))
            return incoming[0]

        done = _keep(form_of(request, body, "file", open_sink), incoming, caller, service, request)
    return done.mark(json_answer(done.answer))


def _incoming(caller: Caller, service: Service) -> Incoming:
    return service.resources.blobs.incoming(caller.project, most_bytes=LARGEST_FILE)


def _keep(form: Form, incoming: list[Incoming], caller: Caller, service: Service, request: Request) -> Done:
    """Check what came with the file, make its bytes durable, then its row."""
    purpose = checked_purpose(form.fields.get("purpose"))
    known = ("file", "purpose", "expires_after[anchor]", "expires_after[seconds]")
    for name in form.fields:
        if name not in known:
            raise UnknownParameter(name, known)
    if form.file is None or not incoming:
        raise InvalidInput("Missing required parameter: 'file'.", param="file", code="missing_required_parameter")
    seconds = expiry_of(form.fields.get("expires_after[anchor]"), form.fields.get("expires_after[seconds]"))
    filename = plain_name(form.file.filename)
    size = incoming[0].facts.bytes
    if purpose == "batch":
        seconds = seconds or BATCH_SECONDS
        if size > BATCH_BYTES:
            raise TooLarge(f"A file for 'batch' may have at most {BATCH_BYTES} bytes.", param="file")
    facts = incoming[0].finish()
    said = json.dumps([facts.sha256, filename, form.fields.get("purpose"), seconds])
    now = service.resources.catalog.now()
    expires_at = None if seconds is None else now + seconds
    kind = form.file.media_type[:255]
    new = NewFile(new_file_id(), filename, purpose, facts.bytes, facts.sha256, facts.name, kind, expires_at)
    done = _add(new, wanted(request, caller, said), now, caller, service)
    uploaded(request, caller, facts.bytes)
    request.state.facts["file_id"] = done.answer["id"]
    return done


def check_room(size: int, caller: Caller, service: Service) -> None:
    """Before bytes are taken in for nothing: whether so many more would still be allowed."""
    most = service.limiter.most_bytes(caller)
    if most is None:
        return
    with service.resources.catalog.reading() as tx:
        stored = tx.projects.get(caller.project).bytes_stored + tx.uploads.pending_bytes(caller.project)
    if stored + max(0, size) > most:
        raise StorageQuotaReached(most=most, stored=stored + max(0, size))


def _add(new: NewFile, want: Wanted | None, now: int, caller: Caller, service: Service) -> Done:
    """The row of a file whose bytes are durable; a copy that the project had already is removed again."""
    resources, most = service.resources, service.limiter.most_bytes(caller)
    kept = ""

    def act(tx: Transaction) -> Answer:
        nonlocal kept
        row = tx.files.add(caller.project, new, now, most_bytes=most)
        kept = row.blob
        return FileObject.of(row).model_dump()

    try:
        if want is None:
            done = Done(resources.catalog.together(caller.project, act), again=False)
        else:  # under a key, which is locked before the project: by itself
            with resources.catalog.transaction() as tx:
                done = once(tx, want, now, lambda: act(tx))
    except CallerError:  # no room, or the key of another request
        resources.storage.delete(new.blob)
        raise
    if kept != new.blob:
        resources.storage.delete(new.blob)
    return done


@router.get("")
def list_files(
    caller: Reader,
    resources: ResourcesDep,
    purpose: Annotated[str | None, Query()] = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 10_000,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
    after: Annotated[str, Query()] = "",
) -> dict[str, Any]:
    with resources.catalog.reading() as tx:
        page = tx.files.page(caller.project, PageQuery(limit, order, after or None), purpose or None)
    return envelope([FileObject.of(row) for row in page.items], has_more=page.has_more)


@router.get("/{file_id}")
def get_file(file_id: str, caller: Reader, resources: ResourcesDep) -> FileObject:
    with resources.catalog.reading() as tx:
        return FileObject.of(tx.files.get(caller.project, FileId(file_id)))


@router.delete("/{file_id}")
def delete_file(file_id: str, caller: Writer, resources: ResourcesDep) -> FileDeleted:
    with resources.catalog.transaction() as tx:
        tx.files.delete(caller.project, FileId(file_id), resources.catalog.now())
    return FileDeleted(id=file_id)


@router.get("/{file_id}/content")
def get_file_content(file_id: str, request: Request, caller: Reader, resources: ResourcesDep) -> Response:
    with resources.catalog.reading() as tx:
        row = tx.files.get(caller.project, FileId(file_id))
    return file_answer(row, request, resources.storage)


def file_answer(row: FileRow, request: Request, storage: Storage) -> Response:
    return download(request, row.bytes, row.sha256, lambda start, stop: _pieces(storage, row.blob, start, stop))


def _pieces(storage: Storage, blob: str, start: int, stop: int) -> Generator[bytes, None, None]:
    for large in storage.read(blob, start, stop):
        for at in range(0, len(large), PIECE_BYTES):
            yield large[at : at + PIECE_BYTES]
