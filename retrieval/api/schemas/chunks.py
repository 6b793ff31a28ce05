"""Chunks, shown without a question: an extension beside the contract's routes."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field

from retrieval.api.schemas.search import FILTER_SCHEMA
from retrieval.api.validation import Closed
from retrieval.errors import InvalidInput
from retrieval.search.passages import BEGINNING, Passage, Place

MOST_CHUNKS: Final = 100

_TOKEN: Final = re.compile(r"chunk_([0-9]{1,18})_([0-9]{1,18})\Z")


class ChunkObject(BaseModel):
    id: str
    object: Literal["vector_store.chunk"] = "vector_store.chunk"
    file_id: str
    filename: str
    attributes: dict[str, Any]
    ordinal: int = Field(description="Of the chunk within its file, from 0.")
    start: int = Field(description="First character in the file's parsed text.")
    end: int
    tokens: int
    page: int | None = Field(description="Page, slide or sheet, from 1.")
    title: str
    heading_path: list[str]
    text: str

    @classmethod
    def of(cls, passage: Passage) -> "ChunkObject":
        chunk = passage.chunk
        return cls(
            id=token_of(passage.place),
            file_id=passage.file_id,
            filename=passage.filename,
            attributes=dict(passage.attributes),
            ordinal=chunk.ordinal,
            start=chunk.start,
            end=chunk.end,
            tokens=chunk.tokens,
            page=chunk.place,
            title=chunk.title,
            heading_path=list(chunk.heading_path),
            text=chunk.text,
        )


class ChunkPage(BaseModel):
    object: Literal["vector_store.chunks.page"] = "vector_store.chunks.page"
    data: list[ChunkObject]
    has_more: bool
    next_page: str | None = Field(description="To be sent as `after` for the next page.")

    @classmethod
    def of(cls, passages: Sequence[Passage], *, has_more: bool) -> "ChunkPage":
        last = token_of(passages[-1].place) if passages and has_more else None
        return cls(data=[ChunkObject.of(passage) for passage in passages], has_more=has_more, next_page=last)


class ListChunks(Closed):
    filters: Annotated[object, FILTER_SCHEMA] = None
    limit: Annotated[int, Field(ge=1, le=MOST_CHUNKS)] = 20
    after: str | None = None


def token_of(place: Place) -> str:
    return f"chunk_{place.document}_{place.ordinal}"


def parse_token(token: str | None) -> Place:
    """Where to go on: behind a chunk, whether or not it is still there."""
    if not token:
        return BEGINNING
    match = _TOKEN.match(token)
    if match is None:
        raise InvalidInput("Invalid value for 'after': expected a chunk's id.", param="after", code="invalid_value")
    return Place(int(match.group(1)), int(match.group(2)))
