"""One noun each: what a request asks, in calls to the rooms below."""

from typing import Final

from fastapi import APIRouter

from retrieval.api.routes import (
    documentation,
    embeddings,
    exports,
    file_batches,
    file_contents,
    files,
    health,
    imports,
    models,
    progress,
    reindex,
    search,
    sources,
    uploads,
    usage,
    vector_store_files,
    vector_stores,
)

ROUTERS: Final[tuple[APIRouter, ...]] = (
    documentation.router,
    embeddings.router,
    exports.router,
    file_batches.router,
    file_contents.router,
    files.router,
    health.router,
    imports.router,
    models.router,
    progress.router,
    reindex.router,
    search.router,
    sources.router,
    uploads.router,
    usage.router,
    vector_store_files.router,
    vector_stores.router,
)
