"""create_app: routes, middleware and the error table around one process's opened parts."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, closing

from fastapi import FastAPI
from starlette.responses import Response
from starlette.types import Receive, Scope

from retrieval.api import errors
from retrieval.api.dependencies import Service
from retrieval.api.document import document_of
from retrieval.api.middleware import Front
from retrieval.api.quick import Quick
from retrieval.api.routes import ROUTERS


def create_app(opened: Callable[[], AbstractContextManager[Service]]) -> FastAPI:
    """`opened` is entered when the server starts and left when it stops."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with opened() as service, closing(Quick()) as quick:
            app.state.service, app.state.quick = service, quick
            yield

    app = FastAPI(
        title="Carrel",
        description="Self-hosted vector stores that speak OpenAI's API.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # asked at each request; and it tells of bodies
    )

    def service_of() -> Service:
        service: Service = app.state.service
        return service

    async def shorter(scope: Scope, receive: Receive, service: Service) -> tuple[Response | None, Receive]:
        quick: Quick = app.state.quick
        return await quick.answer(scope, receive, service)

    errors.install(app, ROUTERS)
    for router in ROUTERS:
        app.include_router(router)
    app.middleware_stack = Front(app.build_middleware_stack(), service_of=service_of, shorter=shorter)
    app.openapi = document_of(app)  # type: ignore[method-assign]  # the framework's own way of doing it
    return app
