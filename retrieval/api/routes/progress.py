"""How far the files of a store or a batch have come: once, or as events until all is done."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Final

from fastapi import APIRouter, Header, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response, StreamingResponse

from retrieval.api.answers import json_answer
from retrieval.api.dependencies import Reader, ResourcesDep
from retrieval.api.errors import answer_of
from retrieval.api.schemas.progress import ProgressObject
from retrieval.errors import RetrievalError
from retrieval.ids import BatchId, StoreId

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}", tags=["extensions"])

LOOK_SECONDS: Final = 1.0
SIGN_OF_LIFE_SECONDS: Final = 15.0  # proxies cut connections on which nothing comes
LONGEST_SECONDS: Final = 3600.0  # then the client connects anew

Look = Callable[[], ProgressObject]
Accept = Annotated[str, Header(description="`text/event-stream`: the same as the query parameter `stream`.")]
Stream = Annotated[bool, Query(description="Send events until all files have settled.")]


@router.get("/progress", response_model=ProgressObject)
async def get_progress(
    vector_store_id: str, caller: Reader, resources: ResourcesDep, stream: Stream = False, accept: Accept = ""
) -> Response:
    store, catalog = StoreId(vector_store_id), resources.catalog

    def look() -> ProgressObject:
        with catalog.reading() as tx:
            return ProgressObject.of(tx.progress.of_store(caller.project, store, catalog.now()), store, None)

    return await _answer(look, stream=stream or "text/event-stream" in accept)


@router.get("/file_batches/{batch_id}/progress", response_model=ProgressObject)
async def get_batch_progress(
    vector_store_id: str,
    batch_id: str,
    caller: Reader,
    resources: ResourcesDep,
    stream: Stream = False,
    accept: Accept = "",
) -> Response:
    store, batch, catalog = StoreId(vector_store_id), BatchId(batch_id), resources.catalog

    def look() -> ProgressObject:
        with catalog.reading() as tx:
            found = tx.progress.of_batch(caller.project, store, batch, catalog.now())
        return ProgressObject.of(found, store, batch)

    return await _answer(look, stream=stream or "text/event-stream" in accept)


async def _answer(look: Look, *, stream: bool) -> Response:
    first = await run_in_threadpool(look)
    if not stream:
        return json_answer(first.model_dump())
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(first, look), headers=headers, media_type="text/event-stream")


async def _events(seen: ProgressObject, look: Look) -> AsyncIterator[str]:
    """`progress` whenever something has moved, `done` at the end; a comment now and then while nothing moves."""
    begun = spoken = time.monotonic()
    yield _event("progress", seen.model_dump_json())
    while not seen.done and time.monotonic() - begun < LONGEST_SECONDS:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            fresh = await run_in_threadpool(look)
        except RetrievalError as error:
            yield _event("error", bytes(answer_of(error).body).decode())
            return
        if fresh != seen:
            seen, spoken = fresh, time.monotonic()
            yield _event("progress", seen.model_dump_json())
        elif time.monotonic() - spoken >= SIGN_OF_LIFE_SECONDS:
            spoken = time.monotonic()
            yield ": still here\n\n"
    if seen.done:
        yield _event("done", seen.model_dump_json())


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"
