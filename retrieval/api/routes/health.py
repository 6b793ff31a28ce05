"""Whether the process lives, and whether a search and an ingestion could succeed."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from retrieval.api.dependencies import ResourcesDep

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def alive() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/readyz")
def ready(resources: ResourcesDep) -> Response:
    """Raises what a search or an ingestion would meet; the error table makes it a 503 with `retry-after`."""
    resources.catalog.check()
    resources.storage.check()
    resources.embedders.get(resources.embedders.default)
    return JSONResponse({"status": "ready"})
