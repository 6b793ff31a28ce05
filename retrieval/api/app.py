"""create_app: routes, middleware and the error table around one process's opened parts."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.types import Scope

from retrieval.api import errors
from retrieval.api.dependencies import Service
from retrieval.api.middleware import Admitted, Bounded, Observed
from retrieval.api.quick import Quick
from retrieval.api.routes import ROUTERS

THREADS: Final = 40  # searches under way at once: some may wait for a model elsewhere


def create_app(opened: Callable[[], AbstractContextManager[Service]]) -> FastAPI:
    """`opened` is entered when the server starts and left when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with opened() as service, ThreadPoolExecutor(THREADS, "search") as threads:
            asyncio.get_running_loop().set_default_executor(threads)
            app.state.service = service
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

    # Added innermost first.
    app.add_middleware(Quick, service_of=service_of)
    app.add_middleware(Bounded)
    app.add_middleware(Admitted, service_of=service_of)
    app.add_middleware(Observed)
    errors.install(app)
    for router in ROUTERS:
        app.include_router(router)
    return app
