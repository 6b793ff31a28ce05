"""One noun each: what a request asks, in calls to the rooms below."""

from typing import Final

from fastapi import APIRouter

from retrieval.api.routes import embeddings, files, health, models, uploads

ROUTERS: Final[tuple[APIRouter, ...]] = (
    embeddings.router,
    files.router,
    health.router,
    models.router,
    uploads.router,
)
