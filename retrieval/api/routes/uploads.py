"""Uploads: a large file in parts, in any order and at once, joined in the order the caller gives."""

from collections.abc import Collection
from contextlib import ExitStack

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from retrieval.api.accounting import uploaded
from retrieval.api.auth import Caller
from retrieval.api.dependencies import ResourcesDep, Service, ServiceDep, Writer
from retrieval.api.middleware import FORM_ROOM, LARGEST_PART
from retrieval.api.multipart import FilePart, Form, read_form
from retrieval.api.once import Answer, once, wanted
from retrieval.api.routes.files import check_room
from retrieval.api.schemas.files import plain_name
from retrieval.api.schemas.uploads import MOST_UPLOAD_BYTES, CompleteUpload, CreateUpload, PartObject, UploadObject
from retrieval.catalog.account_rows import NewFile, UploadRow, UploadStatus
from retrieval.catalog.uploads import NewUpload
from retrieval.errors import CallerError, InvalidInput, StorageQuotaReached, UnknownParameter
from retrieval.ids import PartId, UploadId, new_file_id, new_part_id, new_upload_id
from retrieval.resources import Resources
from retrieval.storage.blobs import BlobFacts, Incoming

router = APIRouter(prefix="/v1/uploads", tags=["uploads"])


@router.post("")
def create_upload(
    body: CreateUpload, request: Request, response: Response, caller: Writer, service: ServiceDep
) -> UploadObject:
    resources = service.resources
    check_room(body.bytes, caller, service)
    seconds = body.expires_after.seconds if body.expires_after else None
    new = NewUpload(new_upload_id(), plain_name(body.filename), body.purpose, body.bytes, body.mime_type, seconds)
    now = resources.catalog.now()
    with resources.catalog.transaction() as tx:

        def act() -> Answer:
            return UploadObject.of(tx.uploads.add(caller.project, new, now)).model_dump()

        done = once(tx, wanted(request, caller, body.model_dump_json()), now, act)
    done.mark(response)
    return UploadObject.model_validate(done.answer)


@router.post("/{upload_id}/parts")
async def add_part(upload_id: str, request: Request, caller: Writer, service: ServiceDep) -> PartObject:
    upload, resources = UploadId(upload_id), service.resources
    await run_in_threadpool(_pending, upload, caller, resources)  # before megabytes are taken in for nothing
    if service.limiter.most_bytes(caller) is not None:
        said = request.headers.get("content-length", "")
        await run_in_threadpool(check_room, int(said or 0) - FORM_ROOM, caller, service)
    part = new_part_id()
    with ExitStack() as stack:
        incoming: list[Incoming] = []

        def open_sink(_: FilePart) -> Incoming:
            body = resources.blobs.incoming_part(caller.project, upload, part, most_bytes=LARGEST_PART)
            incoming.append(stack.enter_context(body))
            return body

        form = await read_form(request, "data", open_sink)
        kept = await run_in_threadpool(_keep_part, form, incoming, upload, part, caller, service)
    uploaded(request, caller, incoming[0].facts.bytes)
    return kept


def _pending(upload: UploadId, caller: Caller, resources: Resources) -> UploadRow:
    with resources.catalog.reading() as tx:
        row = tx.uploads.get(caller.project, upload, resources.catalog.now())
    if row.status is not UploadStatus.PENDING:
        raise InvalidInput(f"The upload is {row.status.value}: it takes no more parts.", param="upload_id")
    return row


def _keep_part(
    form: Form, incoming: list[Incoming], upload: UploadId, part: PartId, caller: Caller, service: Service
) -> PartObject:
    for name in form.fields:
        raise UnknownParameter(name, ("data",))
    if not incoming:
        raise InvalidInput("Missing required parameter: 'data'.", param="data", code="missing_required_parameter")
    resources, most = service.resources, service.limiter.most_bytes(caller)
    facts = incoming[0].finish()
    try:
        with resources.catalog.transaction() as tx:
            now, size, name = resources.catalog.now(), facts.bytes, facts.name
            row = tx.uploads.add_part(caller.project, upload, part, size, name, now, most_bytes=most)
    except CallerError:  # no room, or the upload was settled meanwhile
        resources.storage.delete(facts.name)
        raise
    return PartObject.of(row)


@router.post("/{upload_id}/complete")
def complete_upload(upload_id: str, body: CompleteUpload, caller: Writer, service: ServiceDep) -> UploadObject:
    """Completing a completed upload answers with it again: an answer may have been lost on its way."""
    upload, resources = UploadId(upload_id), service.resources
    with resources.catalog.reading() as tx:
        row = tx.uploads.get(caller.project, upload, resources.catalog.now())
        if row.status is UploadStatus.COMPLETED and row.file_id is not None:
            return UploadObject.of(row, tx.files.get(caller.project, row.file_id))
        parts = {part.id: part for part in tx.uploads.parts(caller.project, upload)}
    if row.status is not UploadStatus.PENDING:
        raise InvalidInput(f"The upload is {row.status.value}: it cannot be completed.", param="upload_id")
    chosen = _chosen(body, parts.keys())
    size = sum(parts[part].bytes for part in chosen)
    if size != row.bytes:
        raise InvalidInput(
            f"The parts have {size} bytes in all; the upload was declared with {row.bytes}.", param="part_ids"
        )
    with resources.blobs.concatenate(
        caller.project, upload, chosen, most_bytes=MOST_UPLOAD_BYTES, with_md5=body.md5 is not None
    ) as joined:
        if body.md5 is not None and body.md5.lower() != joined.facts.md5:
            raise InvalidInput(
                f"'md5' is not that of the parts in this order: {joined.facts.md5}.", param="md5", code="invalid_value"
            )
        facts = joined.finish()
    return _complete(row, facts, caller, service)


def _chosen(body: CompleteUpload, known: Collection[PartId]) -> list[PartId]:
    chosen = [PartId(part) for part in body.part_ids]
    seen: set[PartId] = set()
    for index, part in enumerate(chosen):
        if part not in known or part in seen:
            why = "is given twice" if part in seen else "is no part of this upload"
            raise InvalidInput(f"'{part}' {why}.", param=f"part_ids[{index}]", code="invalid_value")
        seen.add(part)
    return chosen


def _complete(row: UploadRow, facts: BlobFacts, caller: Caller, service: Service) -> UploadObject:
    resources, most = service.resources, service.limiter.most_bytes(caller)
    now = resources.catalog.now()
    seconds = row.file_expires_after_seconds
    expires_at = None if seconds is None else now + seconds
    new = NewFile(
        new_file_id(), row.filename, row.purpose, facts.bytes, facts.sha256, facts.name, row.media_type, expires_at
    )
    try:
        with resources.catalog.transaction() as tx:
            file = tx.uploads.complete(caller.project, row.id, new, now, most_bytes=most)
            done = tx.uploads.get(caller.project, row.id, now)
    except StorageQuotaReached:
        resources.storage.delete(facts.name)
        raise
    if file.blob != facts.name:
        resources.storage.delete(facts.name)  # the project had these bytes, or another request was quicker
    return UploadObject.of(done, file)


@router.post("/{upload_id}/cancel")
def cancel_upload(upload_id: str, caller: Writer, resources: ResourcesDep) -> UploadObject:
    with resources.catalog.transaction() as tx:
        return UploadObject.of(tx.uploads.cancel(caller.project, UploadId(upload_id), resources.catalog.now()))
