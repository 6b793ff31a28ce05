"""Files: upload as a stream, list, show, delete, download."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from retrieval.api.accounting import uploaded
from retrieval.api.auth import Caller
from retrieval.api.dependencies import Reader, ResourcesDep, Service, ServiceDep, Writer
from retrieval.api.middleware import FORM_ROOM, LARGEST_FILE
from retrieval.api.multipart import FilePart, Form, read_form
from retrieval.api.paging import envelope
from retrieval.api.ranges import asked_range
from retrieval.api.schemas.files import (
    BATCH_BYTES,
    BATCH_SECONDS,
    FileDeleted,
    FileObject,
    checked_purpose,
    expiry_of,
    plain_name,
)
from retrieval.catalog.account_rows import FileRow, NewFile
from retrieval.catalog.paging import PageQuery
from retrieval.errors import InvalidInput, StorageQuotaReached, TooLarge
from retrieval.ids import FileId, new_file_id
from retrieval.storage.blobs import BlobFacts, Incoming
from retrieval.storage.objects import Storage

router = APIRouter(prefix="/v1/files", tags=["files"])

PIECE_BYTES = 64 << 10


@router.post("")
async def create_file(request: Request, caller: Writer, service: ServiceDep) -> FileObject:
    resources = service.resources
    if service.limiter.most_bytes(caller) is not None:
        said = request.headers.get("content-length", "")
        await run_in_threadpool(check_room, int(said or 0) - FORM_ROOM, caller, service)
    with ExitStack() as stack:
        incoming: list[Incoming] = []

        def open_sink(_: FilePart) -> Incoming:
            blob = resources.blobs.incoming(caller.project, most_bytes=LARGEST_FILE)
            incoming.append(stack.enter_context(blob))
            return blob

        form = await read_form(request, "file", open_sink)
        return await run_in_threadpool(_keep, form, incoming, caller, service, request)


def _keep(form: Form, incoming: list[Incoming], caller: Caller, service: Service, request: Request) -> FileObject:
    """Check what came with the file, make its bytes durable, then its row."""
    purpose = checked_purpose(form.fields.get("purpose"))
    known = {"purpose", "expires_after[anchor]", "expires_after[seconds]"}
    for name in form.fields:
        if name not in known:
            raise InvalidInput(f"Unknown parameter: '{name}'.", param=name, code="unknown_parameter")
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
    row = _add(facts, filename, purpose, form.file.media_type, seconds, caller, service)
    uploaded(request, caller, row.bytes)
    return FileObject.of(row)


def check_room(size: int, caller: Caller, service: Service) -> None:
    """Before bytes are taken in for nothing: whether so many more would still be allowed."""
    most = service.limiter.most_bytes(caller)
    if most is None:
        return
    with service.resources.catalog.reading() as tx:
        stored = tx.projects.get(caller.project).bytes_stored + tx.uploads.pending_bytes(caller.project)
    if stored + max(0, size) > most:
        raise StorageQuotaReached(most=most, stored=stored + max(0, size))


def _add(
    facts: BlobFacts,
    filename: str,
    purpose: str,
    media_type: str,
    expires_seconds: int | None,
    caller: Caller,
    service: Service,
) -> FileRow:
    """The row of a file whose bytes are durable; a copy that the project had already is removed again."""
    resources, most = service.resources, service.limiter.most_bytes(caller)
    now = resources.catalog.now()
    expires_at = None if expires_seconds is None else now + expires_seconds
    new = NewFile(new_file_id(), filename, purpose, facts.bytes, facts.sha256, facts.name, media_type[:255], expires_at)
    try:
        with resources.catalog.transaction() as tx:
            row = tx.files.add(caller.project, new, now, most_bytes=most)
    except StorageQuotaReached:
        resources.storage.delete(facts.name)
        raise
    if row.blob != facts.name:
        resources.storage.delete(facts.name)
    return row


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
    """The exact bytes, or the one range asked for."""
    part = asked_range(request.headers.get("range"), row.bytes)
    headers = {"accept-ranges": "bytes", "etag": f'"{row.sha256}"', "x-content-type-options": "nosniff"}
    if part is None:
        return Response(status_code=416, headers={**headers, "content-range": f"bytes */{row.bytes}"})
    start, stop = part
    headers["content-length"] = str(stop - start)
    whole = (start, stop) == (0, row.bytes)
    if not whole:
        headers["content-range"] = f"bytes {start}-{stop - 1}/{row.bytes}"
    return StreamingResponse(
        _pieces(storage, row.blob, start, stop),
        200 if whole else 206,
        headers,
        media_type="application/octet-stream",
    )


def _pieces(storage: Storage, blob: str, start: int, stop: int) -> Iterator[bytes]:
    for large in storage.read(blob, start, stop):
        for at in range(0, len(large), PIECE_BYTES):
            yield large[at : at + PIECE_BYTES]
