"""Files of a store: the wire's object, the content page, and what requests may say."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, WithJsonSchema

from retrieval.api.schemas.attributes import ATTRIBUTES_SCHEMA, either
from retrieval.api.schemas.chunking import CHUNKING_SCHEMA, chunking_answer, parse_chunking
from retrieval.api.validation import Closed
from retrieval.catalog.rows import Attachment, Attributes, FileStatus, StoreFileRow
from retrieval.errors import InvalidInput
from retrieval.ids import FileId


class LastErrorObject(BaseModel):
    code: Literal["unsupported_file", "invalid_file", "server_error"]
    message: str


class VectorStoreFileObject(BaseModel):
    id: str
    object: Literal["vector_store.file"] = "vector_store.file"
    created_at: int
    vector_store_id: str
    usage_bytes: int
    status: Literal["in_progress", "completed", "failed", "cancelled"]
    last_error: LastErrorObject | None
    chunking_strategy: dict[str, Any]
    attributes: Annotated[dict[str, Any] | None, ATTRIBUTES_SCHEMA]

    @classmethod
    def of(cls, row: StoreFileRow) -> "VectorStoreFileObject":
        error = row.last_error
        return cls(
            id=row.file_id,
            created_at=row.created_at,
            vector_store_id=row.store_id,
            usage_bytes=row.usage_bytes,
            status=row.status.value,
            last_error=None if error is None else LastErrorObject(code=error.code.value, message=error.message),
            chunking_strategy=chunking_answer(row.chunking),
            attributes=None if row.attributes is None else dict(row.attributes),
        )


class VectorStoreFileList(BaseModel):
    object: Literal["list"] = "list"
    data: list[VectorStoreFileObject]
    first_id: str | None
    last_id: str | None
    has_more: bool


class VectorStoreFileDeleted(BaseModel):
    id: str
    object: Literal["vector_store.file.deleted"] = "vector_store.file.deleted"
    deleted: Literal[True] = True


class TextPiece(BaseModel):
    type: Literal["text"] = "text"
    text: str


class ContentPage(BaseModel):
    object: Literal["vector_store.file_content.page"] = "vector_store.file_content.page"
    data: list[TextPiece]
    has_more: Literal[False] = False
    next_page: None = None

    @classmethod
    def of(cls, pieces: Sequence[str]) -> "ContentPage":
        return cls(data=[TextPiece(text=piece) for piece in pieces])


class AttachFile(Closed):
    file_id: str
    attributes: Annotated[object, ATTRIBUTES_SCHEMA] = None
    metadata: Annotated[object, ATTRIBUTES_SCHEMA] = None
    chunking_strategy: Annotated[object, CHUNKING_SCHEMA] = None

    def attachment(self, at: str = "") -> Attachment:
        """`at`: the path to this object within the request, with a dot behind it."""
        attributes = either(self.attributes, self.metadata, at)
        return Attachment(FileId(self.file_id), attributes, parse_chunking(self.chunking_strategy, chunking_path(at)))


def chunking_path(at: str) -> str:
    return f"{at}chunking_strategy"


class UpdateAttributes(Closed):
    attributes: Annotated[object, ATTRIBUTES_SCHEMA] = None
    metadata: Annotated[object, ATTRIBUTES_SCHEMA] = None

    def wished(self) -> Attributes | None:
        """The whole new map; null clears, but something must be said."""
        if not self.model_fields_set:
            raise InvalidInput(
                "Missing required parameter: 'attributes'.", param="attributes", code="missing_required_parameter"
            )
        return either(self.attributes, self.metadata, "")


StatusFilter = Annotated[
    str, WithJsonSchema({"type": "string", "enum": ["in_progress", "completed", "failed", "cancelled"]})
]


def parse_status(given: str) -> FileStatus | None:
    """The query parameter `filter`; some clients send an empty one for none."""
    if not given:
        return None
    if given not in set(FileStatus):
        known = ", ".join(repr(status.value) for status in FileStatus)
        raise InvalidInput(
            f"Invalid value for 'filter': expected one of {known}.", param="filter", code="invalid_value"
        )
    return FileStatus(given)
