"""Usage: what a project has consumed, by day, kind and key."""

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from retrieval.api.dependencies import Admin, ServiceDep
from retrieval.errors import InvalidInput
from retrieval.ledger import DAY_SECONDS

router = APIRouter(prefix="/v1/usage", tags=["extensions"])

LONGEST_DAYS: Final = 366
LAST_SECOND: Final = 253_402_300_799  # of the year 9999


class UsageEntry(BaseModel):
    """`start_time`: of the day, in UTC. `key_id`: null is work that no key asked for."""

    object: Literal["usage.entry"] = "usage.entry"
    start_time: int
    kind: str
    key_id: str | None
    quantity: int


class UsagePage(BaseModel):
    object: Literal["usage.page"] = "usage.page"
    project_id: str
    start_time: int
    end_time: int
    bytes_stored: int
    limits: dict[str, int]
    totals: dict[str, int]
    data: list[UsageEntry]


@router.get("")
def get_usage(
    caller: Admin,
    service: ServiceDep,
    start_time: Annotated[int | None, Query(ge=0, description="Unix seconds; its whole day is meant.")] = None,
    end_time: Annotated[int | None, Query(ge=0, le=LAST_SECOND, description="Unix seconds, inclusive.")] = None,
) -> UsagePage:
    """Of the key's own project, the last 30 days unless said otherwise; behind by a few seconds."""
    catalog = service.resources.catalog
    now = catalog.now()
    last = (now if end_time is None else end_time) // DAY_SECONDS
    first = max(0, last - 29) if start_time is None else start_time // DAY_SECONDS
    if not 0 <= last - first < LONGEST_DAYS:
        raise InvalidInput(
            f"'start_time' must not be after 'end_time', nor more than {LONGEST_DAYS} days before it.",
            param="start_time",
            code="invalid_value",
        )
    with catalog.reading() as tx:
        project = tx.projects.get(caller.project)
        rows = tx.usage.of(caller.project, first, last)
    totals: dict[str, int] = {}
    for row in rows:
        totals[row.kind] = totals.get(row.kind, 0) + row.quantity
    return UsagePage(
        project_id=project.id,
        start_time=first * DAY_SECONDS,
        end_time=(last + 1) * DAY_SECONDS - 1,
        bytes_stored=project.bytes_stored,
        limits=dict(project.limits),
        totals=totals,
        data=[
            UsageEntry(start_time=row.day * DAY_SECONDS, kind=row.kind, key_id=row.key_id, quantity=row.quantity)
            for row in rows
        ],
    )
