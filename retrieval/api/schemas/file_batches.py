"""File batches: the wire's object, and the two ways to name the files of one."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal, cast

from pydantic import BaseModel, Field

from retrieval.api.schemas.attributes import ATTRIBUTES_SCHEMA, either
from retrieval.api.schemas.chunking import CHUNKING_SCHEMA, parse_chunking
from retrieval.api.schemas.vector_store_files import AttachFile
from retrieval.api.schemas.vector_stores import FileCountsObject
from retrieval.api.validation import Closed
from retrieval.catalog.rows import Attachment, BatchRow
from retrieval.errors import InvalidInput
from retrieval.ids import FileId

MOST_FILES: Final = 2000

BatchStatus = Literal["in_progress", "completed", "cancelled", "failed"]


class FileBatchObject(BaseModel):
    id: str
    object: Literal["vector_store.files_batch"] = "vector_store.files_batch"
    created_at: int
    vector_store_id: str
    status: BatchStatus
    file_counts: FileCountsObject

    @classmethod
    def of(cls, row: BatchRow) -> "FileBatchObject":
        return cls(
            id=row.id,
            created_at=row.created_at,
            vector_store_id=row.store_id,
            status=cast("BatchStatus", row.status),
            file_counts=FileCountsObject.of(row.counts),
        )


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a batch attaches; `param` is the path to a file's id in the request, with {} for its index."""

    attachments: list[Attachment]
    param: str


class CreateFileBatch(Closed):
    file_ids: Annotated[list[str], Field(min_length=1, max_length=MOST_FILES)] | None = None
    files: Annotated[list[AttachFile], Field(min_length=1, max_length=MOST_FILES)] | None = None
    attributes: Annotated[object, ATTRIBUTES_SCHEMA] = None
    metadata: Annotated[object, ATTRIBUTES_SCHEMA] = None
    chunking_strategy: Annotated[object, CHUNKING_SCHEMA] = None

    def wishes(self) -> Wishes:
        if self.files is not None and self.file_ids is not None:
            raise InvalidInput("Give either 'file_ids' or 'files', not both.", param="files", code="invalid_value")
        if self.files is not None:  # attributes and chunking beside it count for nothing, says the contract
            each = [file.attachment(f"files[{index}].") for index, file in enumerate(self.files)]
            return Wishes(each, "files[{}].file_id")
        if self.file_ids is None:
            raise InvalidInput(
                "Missing required parameter: 'file_ids' or 'files'.",
                param="file_ids",
                code="missing_required_parameter",
            )
        attributes = either(self.attributes, self.metadata, "")
        chunking = parse_chunking(self.chunking_strategy)
        return Wishes([Attachment(FileId(file), attributes, chunking) for file in self.file_ids], "file_ids[{}]")
