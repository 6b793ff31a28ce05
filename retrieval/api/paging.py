"""List pages: a request's paging parameters, checked, and the envelope around a page. Pure."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from pydantic import BaseModel

from retrieval.catalog.paging import PageQuery


def page_query(
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    order: Annotated[Literal["asc", "desc"], Query()] = "desc",
    after: Annotated[str, Query()] = "",
    before: Annotated[str, Query()] = "",
) -> PageQuery:
    """Recent SDKs send empty cursors for none."""
    return PageQuery(limit, order, after or None, before or None)


PageDep = Annotated[PageQuery, Depends(page_query)]


def envelope(items: Sequence[BaseModel], *, has_more: bool) -> dict[str, Any]:
    """Ready to be sent. `first_id` and `last_id` of an empty page are null, as the hosted service sends them."""
    data = [item.model_dump(mode="json") for item in items]
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }
