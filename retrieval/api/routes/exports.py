"""Exports: hold a store as it is now, download its archive in ranges, let go."""

from collections.abc import Generator

from fastapi import APIRouter, Request
from starlette.responses import Response

from retrieval.api.answers import json_answer
from retrieval.api.dependencies import Reader, ResourcesDep
from retrieval.api.ranges import download
from retrieval.api.schemas.moving import ExportDeleted, ExportObject
from retrieval.archive.exporting import begin_export, pieces, read_export, release, renewer
from retrieval.catalog.moving_rows import HoldRow
from retrieval.ids import HoldId, StoreId
from retrieval.resources import Resources

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/exports", tags=["extensions"])


@router.post("")
def create_export(vector_store_id: str, caller: Reader, resources: ResourcesDep) -> ExportObject:
    """An archive of the store as it is now; what is written from here on is not in it."""
    return ExportObject.of(begin_export(resources.catalog, resources.storage, caller.project, StoreId(vector_store_id)))


@router.get("/{export_id}")
def get_export(vector_store_id: str, export_id: str, caller: Reader, resources: ResourcesDep) -> ExportObject:
    """Looking at it keeps it for another hour, within twelve hours of its making."""
    return ExportObject.of(read_export(resources.catalog, caller.project, StoreId(vector_store_id), HoldId(export_id)))


@router.delete("/{export_id}", response_model=ExportDeleted)
def delete_export(vector_store_id: str, export_id: str, caller: Reader, resources: ResourcesDep) -> Response:
    hold = read_export(resources.catalog, caller.project, StoreId(vector_store_id), HoldId(export_id))
    release(resources.catalog, resources.storage, hold)
    return json_answer(ExportDeleted(id=export_id).model_dump())


@router.get("/{export_id}/content")
def get_export_content(
    vector_store_id: str, export_id: str, request: Request, caller: Reader, resources: ResourcesDep
) -> Response:
    """The archive, or a range of it: the same bytes every time, so that a broken download goes on where it was."""
    hold = read_export(resources.catalog, caller.project, StoreId(vector_store_id), HoldId(export_id))
    return download(
        request,
        hold.bytes,
        hold.etag,
        lambda start, stop: _sent(resources, hold, start, stop),
        media_type="application/x-tar",
    )


def _sent(resources: Resources, hold: HoldRow, start: int, stop: int) -> Generator[bytes, None, None]:
    yield from pieces(resources.storage, hold, start, stop, renew=renewer(resources.catalog, hold))
