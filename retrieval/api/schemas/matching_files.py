"""Taking out of a store whatever a filter allows: what the request may say, and the answer."""

from typing import Annotated, Literal

from pydantic import BaseModel

from retrieval.api.schemas.search import FILTER_SCHEMA
from retrieval.api.validation import Closed
from retrieval.errors import InvalidInput
from retrieval.search.filters import Filter, parse_filter


class DeleteMatching(Closed):
    filters: Annotated[object, FILTER_SCHEMA]
    dry_run: bool = False

    def wanted(self) -> Filter:
        if self.filters is None:
            raise InvalidInput("'filters' must be an object: null would mean everything.", param="filters")
        return parse_filter(self.filters)


class FilesDeleted(BaseModel):
    object: Literal["vector_store.files.deleted"] = "vector_store.files.deleted"
    vector_store_id: str
    matched: int
    deleted: int
    dry_run: bool
