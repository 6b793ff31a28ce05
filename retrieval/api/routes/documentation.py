"""The page that explains the API, rendered from its own document."""

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

from retrieval.api.page import render

router = APIRouter(tags=["health"], include_in_schema=False)

NOTHING_ELSE = (
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@router.get("/docs")
def documentation(request: Request) -> Response:
    page = render(request.app.openapi())
    return HTMLResponse(page, headers={"content-security-policy": NOTHING_ELSE, "cache-control": "max-age=300"})
