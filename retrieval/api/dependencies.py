"""What routes may receive: the caller, the opened parts, and nothing that they could open themselves.

They are coroutines although they wait for nothing: the framework would ask a thread for each plain function.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from retrieval.api.auth import Caller, Gate
from retrieval.api.limits import Limiter
from retrieval.api.metrics import Metrics
from retrieval.api.readiness import Readiness
from retrieval.catalog.account_rows import Scope
from retrieval.errors import NotPermitted
from retrieval.jobs import Doorbell
from retrieval.ledger import Ledger
from retrieval.resources import Resources


@dataclass(frozen=True, slots=True)
class Wire:
    """Limits of the wire that are settings."""

    most_results: int = 100
    keyword_weight: float = 1.0
    keep_seconds: int = 86400  # of a store's old edition after a swap


@dataclass(frozen=True, slots=True)
class Service:
    """Everything that answers requests; one per process, at `app.state.service`."""

    resources: Resources
    gate: Gate
    doorbell: Doorbell
    wire: Wire
    limiter: Limiter
    ledger: Ledger
    readiness: Readiness
    metrics: Metrics


async def service_of(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


async def resources_of(request: Request) -> Resources:
    service: Service = request.app.state.service
    return service.resources


def caller_of(request: Request) -> Caller:
    """Admitted once a request, by the middleware; remembered on the request."""
    caller: Caller = request.state.caller
    return caller


def permit(caller: Caller, scope: Scope, path: str) -> None:
    """Raise unless the caller's key has the scope and may use the path."""
    caller.require(scope)
    routes = caller.key.routes if caller.key else None
    if routes is not None and not any(path == route or path.startswith(route.rstrip("/") + "/") for route in routes):
        raise NotPermitted(f"This key may not use {path}.")


def allowed(scope: Scope) -> Callable[[Request], Awaitable[Caller]]:
    """A dependency: the caller, if the key has the scope and may use the route."""

    async def check(request: Request) -> Caller:
        caller = caller_of(request)
        permit(caller, scope, request.scope["path"])
        return caller

    return check


ServiceDep = Annotated[Service, Depends(service_of)]
ResourcesDep = Annotated[Resources, Depends(resources_of)]
Admin = Annotated[Caller, Depends(allowed(Scope.ADMIN))]
Reader = Annotated[Caller, Depends(allowed(Scope.READ))]
Writer = Annotated[Caller, Depends(allowed(Scope.WRITE))]
