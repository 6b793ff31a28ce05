"""For whoever runs the service: whether it lives, whether it could work now, and what Prometheus wants to know."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import JSONResponse, Response

from retrieval.api.dependencies import ServiceDep
from retrieval.api.metrics import CONTENT_TYPE
from retrieval.api.readiness import SEARCHING

router = APIRouter(tags=["health"])

AGAIN_SECONDS = 5


@router.head("/healthz", include_in_schema=False)  # what load balancers and watchmen ask with
@router.get("/healthz")
async def alive() -> dict[str, str]:
    """The process answers; nothing else is looked at."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz", responses={503: {"description": "Not everything could be done now; `parts` says what is wrong."}}
)
def ready(
    service: ServiceDep,
    purpose: Annotated[
        Literal["everything", "search"],
        Query(alias="for", description="`search`: only what searches need, so that they go on without workers."),
    ] = "everything",
) -> Response:
    """200 if a search and an ingestion could succeed now, else 503 with `retry-after`; either way, how each part is."""
    report = service.readiness.report()
    good = report.ready(searching=purpose == "search")
    body: dict[str, Any] = {
        "status": "ready" if good else "not ready",
        "search": report.ready(searching=True),
        "ingestion": report.ready(),
        "parts": {
            part: {"ok": not wrong, "needed_for": ["search", "ingestion"] if part in SEARCHING else ["ingestion"]}
            | ({"why": wrong} if wrong else {})
            for part, wrong in report.parts.items()
        },
    }
    if good:
        return JSONResponse(body)
    headers = {"retry-after": str(AGAIN_SECONDS), "retry-after-ms": str(1000 * AGAIN_SECONDS)}
    return JSONResponse(body, 503, headers)


@router.get("/metrics", responses={200: {"content": {"text/plain": {}}}})
def metrics(service: ServiceDep) -> Response:
    """For Prometheus; docs/metrics.md explains each."""
    return Response(service.metrics.page(), media_type=CONTENT_TYPE)
