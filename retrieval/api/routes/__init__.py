"""One noun each: what a request asks, in calls to the rooms below."""

from typing import Final

from fastapi import APIRouter

from retrieval.api.routes import files, health

ROUTERS: Final[tuple[APIRouter, ...]] = (files.router, health.router)
