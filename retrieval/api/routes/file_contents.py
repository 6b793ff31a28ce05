"""The other address under which some programs fetch a file's bytes."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from retrieval.api.dependencies import Reader, ResourcesDep
from retrieval.api.routes.files import file_answer
from retrieval.ids import FileId

router = APIRouter(prefix="/v1/file-contents-v2", tags=["files"])


@router.get("/{file_id}")
def get_file_content_v2(file_id: str, request: Request, caller: Reader, resources: ResourcesDep) -> Response:
    """The same as `/v1/files/{file_id}/content`, in pieces of 64 KB."""
    with resources.catalog.reading() as tx:
        row = tx.files.get(caller.project, FileId(file_id))
    return file_answer(row, request, resources.storage)
