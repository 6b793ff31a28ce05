"""create_app: routes, middleware and the error table around one process's opened parts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.types import Scope

from retrieval.api import errors
from retrieval.api.dependencies import Service
from retrieval.api.document import document_of
from retrieval.api.middleware import Admitted, Bounded, Observed
from retrieval.api.quick import Quick
from retrieval.api.routes import ROUTERS
from retrieval.ledger import REQUESTS

SEARCHING: Final = 40  # searches under way at once: some may wait for a model elsewhere
UPLOADING: Final = 40  # small uploads: they wait for the disk, and must not keep searches waiting


def create_app(opened: Callable[[], AbstractContextManager[Service]]) -> FastAPI:
    """`opened` is entered when the server starts and left when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with (
            opened() as service,
            ThreadPoolExecutor(SEARCHING, "search") as searching,
            ThreadPoolExecutor(UPLOADING, "upload") as uploading,
        ):
            asyncio.get_running_loop().set_default_executor(searching)
            app.state.service = service
            app.state.uploading = uploading
            yield

    app = FastAPI(
        title="Carrel",
        description="Self-hosted vector stores that speak OpenAI's API.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )

    def service_of(_: Scope) -> Service:
        service: Service = app.state.service
        return service

    def uploading() -> Executor:
        threads: Executor = app.state.uploading
        return threads

    def seen(scope: Scope, status: int, seconds: float) -> None:
        service = service_of(scope)
        service.metrics.request(getattr(scope.get("route"), "path", ""), scope["method"], status, seconds)
        caller = scope["state"].get("caller")
        if caller is not None:
            service.ledger.add(caller.project, caller.key.id if caller.key else None, REQUESTS)

    # Added innermost first.
    app.add_middleware(Quick, service_of=service_of, uploading=uploading)
    app.add_middleware(Bounded)
    app.add_middleware(Admitted, service_of=service_of)
    app.add_middleware(Observed, seen=seen)
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.openapi = document_of(app)  # type: ignore[method-assign]  # the framework's own way of doing it
    return app
