"""Every published operation, helper and class of error through the official SDK: one program, both of its clients.

The clients differ in what has to be awaited; `told`, `every` and `within` make that no matter.
"""

import asyncio
import hashlib
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest

from retrieval.catalog.rows import Trouble
from retrieval.catalog.vector_stores import NewStore
from retrieval.ids import StoreId, new_store_id
from tests.support.server import KEY, READ_ONLY_KEY, Server
from tests.support.wire import alooks_at_answer, looks_at_answer, operation_of, published_operations
from workers.pipeline import index_waiting

Client = Any  # openai.OpenAI or openai.AsyncOpenAI, whose methods have the same names
TEXTS = [(f"{name}.txt", f"All about {name}.".encode()) for name in ("tea", "ships", "coffee", "rivers", "stones")]
PICTURE = ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(64))


async def told(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


async def every(pieces: Any) -> list[Any]:
    """All elements, over all pages."""
    return [one async for one in pieces] if hasattr(pieces, "__aiter__") else list(pieces)


@asynccontextmanager
async def within(block: Any) -> AsyncIterator[Any]:
    if hasattr(block, "__aenter__"):
        async with block as entered:
            yield entered
    else:
        with block as entered:
            yield entered


def clients(server: Server, seen: set[str]) -> list[Callable[[], Client]]:
    """Both kinds; `seen` collects the operations they were answered by."""
    address = {"base_url": f"{server.url}/v1", "api_key": KEY, "max_retries": 0}

    def note(answer: Any) -> None:
        operation = operation_of(answer.request.method, answer.request.url.path)
        if operation is not None:
            seen.add(operation[0])

    async def anote(answer: Any) -> None:
        note(answer)

    def plain() -> Client:
        http = openai.DefaultHttpxClient(event_hooks={"response": [looks_at_answer, note]})
        return openai.OpenAI(http_client=http, **address)  # type: ignore[arg-type]  # words of several types

    def awaited() -> Client:
        http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [alooks_at_answer, anote]})
        return openai.AsyncOpenAI(http_client=http, **address)  # type: ignore[arg-type]  # words of several types

    return [plain, awaited]


@pytest.mark.parametrize("kind", [0, 1], ids=["sync", "async"])
def test_every_published_operation_is_answered(server: Server, kind: int) -> None:
    seen: set[str] = set()
    make = clients(server, seen)[kind]

    async def program() -> None:
        async with within(make()) as client:
            await models_and_embeddings(client)
            await files(client)
            await uploads(client)
            await stores(client)

    asyncio.run(program())
    assert seen == published_operations()


async def models_and_embeddings(client: Client) -> None:
    names = [model.id for model in await every(client.models.list())]
    assert "hashed" in names
    assert (await told(client.models.retrieve("text-embedding-3-small"))).owned_by == "carrel:hashed"
    with pytest.raises(openai.BadRequestError, match="cannot be deleted"):
        await told(client.models.delete("hashed"))
    numbers = await told(client.embeddings.create(model="hashed", input=["tea", "ships"], encoding_format="float"))
    packed = await told(client.embeddings.create(model="hashed", input=["tea", "ships"]))
    text = await told(client.embeddings.create(model="hashed", input="tea", encoding_format="base64", dimensions=8))
    assert isinstance(text.data[0].embedding, str)
    for one, other in zip(numbers.data, packed.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert sum(value**2 for value in one.embedding) == pytest.approx(1, abs=1e-3)
    tokens = await told(client.embeddings.create(model="text-embedding-3-small", input=[[83, 24600], [1820]]))
    assert [one.index for one in tokens.data] == [0, 1]


async def files(client: Client) -> None:
    made = await told(
        client.files.create(file=TEXTS[0], purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600})
    )
    assert made.expires_at == made.created_at + 3600
    other = await told(client.files.create(file=b"raw", purpose="evals"))
    assert (other.filename, other.purpose, other.expires_at) == ("upload", "evals", None)
    assert (await told(client.files.wait_for_processing(made.id))).status == "processed"
    assert (await told(client.files.retrieve(made.id))) == made
    assert {made.id, other.id} <= {one.id for one in await every(client.files.list(limit=1))}
    assert [one.id for one in await every(client.files.list(purpose="evals", order="asc"))][-1] == other.id
    assert (await told(client.files.content(made.id))).read() == TEXTS[0][1]
    async with within(client.files.with_streaming_response.content(made.id)) as streamed:
        assert b"".join(await every(streamed.iter_bytes(4))) == TEXTS[0][1]
    for one in (made, other):
        assert (await told(client.files.delete(one.id))).deleted


async def uploads(client: Client) -> None:
    content = b"one piece after the other"
    done = await told(
        client.uploads.upload_file_chunked(
            file=content,
            filename="pieces.txt",
            bytes=len(content),
            mime_type="text/plain",
            purpose="assistants",
            part_size=7,
            md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
        )
    )
    assert (done.status, done.file.bytes, done.file.status) == ("completed", len(content), "processed")
    assert (await told(client.files.content(done.file.id))).read() == content
    given = {"filename": "u", "purpose": "assistants", "bytes": 3, "mime_type": "text/plain"}
    upload = await told(client.uploads.create(**given))
    part = await told(client.uploads.parts.create(upload.id, data=b"abc"))
    assert part.upload_id == upload.id
    with pytest.raises(openai.BadRequestError) as wrong:
        await told(client.uploads.complete(upload.id, part_ids=[part.id], md5="0" * 32))
    assert wrong.value.param == "md5"
    assert (await told(client.uploads.complete(upload.id, part_ids=[part.id]))).file.filename == "u"
    unwanted = await told(client.uploads.create(**given))
    assert (await told(client.uploads.cancel(unwanted.id))).status == "cancelled"


async def stores(client: Client) -> None:
    store = (await told(client.vector_stores.create(name="S", metadata={"a": "b"}))).id
    await files_of(client, store)
    await batches_of(client, store)
    assert (await told(client.vector_stores.retrieve(store))).usage_bytes > 0
    raw = await told(client.vector_stores.with_raw_response.update(store, name="T"))
    assert (raw.parse().name, raw.headers["x-request-id"]) == ("T", raw.request_id)
    async with within(client.vector_stores.with_streaming_response.search(store, query="tea")) as streamed:
        assert streamed.status_code == 200
        assert (await told(streamed.parse())).data[0].filename == "tea.txt"
    page = client.vector_stores.search(
        store,
        query=["ships", "coffee"],
        filters={"type": "ne", "key": "none", "value": 1},
        ranking_options={"ranker": "auto", "score_threshold": 0.0},
        rewrite_query=True,
        max_num_results=50,
    )
    assert {"ships.txt", "coffee.txt"} <= {hit.filename for hit in await every(page)}
    second = (await told(client.vector_stores.create())).id
    assert [one.id for one in await every(client.vector_stores.list(limit=1, before=second, order="asc"))]
    listed = [one.id for one in await every(client.vector_stores.list(limit=1))]
    assert listed.index(second) < listed.index(store), "newest first, over pages of one"
    for one in (store, second):
        assert (await told(client.vector_stores.delete(one))).deleted


async def files_of(client: Client, store: str) -> None:
    at = client.vector_stores.files
    first = await told(at.upload_and_poll(vector_store_id=store, file=TEXTS[0], attributes={"n": 1}))
    assert (first.status, first.attributes) == ("completed", {"n": 1})
    uploaded = await told(at.upload(vector_store_id=store, file=TEXTS[1]))
    assert (await told(at.poll(uploaded.id, vector_store_id=store))).status == "completed"
    picture = (await told(client.files.create(file=PICTURE, purpose="vision"))).id
    failed = await told(at.create_and_poll(picture, vector_store_id=store, poll_interval_ms=20))
    assert (failed.status, failed.last_error.code) == ("failed", "unsupported_file")
    raw = await told(at.with_raw_response.create(store, file_id=first.id, attributes={"n": 2}))
    assert raw.parse().id == first.id
    assert (await told(at.poll(first.id, vector_store_id=store))).attributes == {"n": 2}
    assert (await told(at.update(first.id, vector_store_id=store, attributes={"n": True}))).attributes == {"n": True}
    assert (await told(at.retrieve(first.id, vector_store_id=store))).attributes == {"n": True}
    assert "".join(piece.text for piece in await every(at.content(first.id, vector_store_id=store))) == "All about tea."
    assert {one.id for one in await every(at.list(store, limit=1))} == {first.id, uploaded.id, picture}
    assert [one.id for one in await every(at.list(store, filter="failed"))] == [picture]
    assert (await told(at.delete(picture, vector_store_id=store))).object == "vector_store.file.deleted"


async def batches_of(client: Client, store: str) -> None:
    at = client.vector_stores.file_batches
    done = await told(at.upload_and_poll(store, files=TEXTS[2:4]))
    assert (done.status, done.file_counts.completed) == ("completed", 2)
    file = (await told(client.files.create(file=TEXTS[4], purpose="assistants"))).id
    one = await told(at.create_and_poll(store, files=[{"file_id": file, "attributes": {"last": True}}]))
    assert one.file_counts.completed == 1
    again = await told(at.create(store, file_ids=[file], chunking_strategy={"type": "auto"}))
    polled = await told(at.poll(again.id, vector_store_id=store))
    assert await told(at.retrieve(again.id, vector_store_id=store)) == polled
    assert [each.id for each in await every(at.list_files(again.id, vector_store_id=store, limit=1))] == [file]
    assert (await told(at.cancel(again.id, vector_store_id=store))) == polled, "a finished batch stays as it is"


ERRORS: list[tuple[int, type[openai.APIStatusError], str | None, Callable[[Client, str], Any]]] = [
    (400, openai.BadRequestError, "query", lambda client, store: client.vector_stores.search(store, query="")),
    (401, openai.AuthenticationError, None, lambda client, _: client.with_options(api_key="sk-no").models.list()),
    (
        403,
        openai.PermissionDeniedError,
        None,
        lambda client, _: client.with_options(api_key=READ_ONLY_KEY).vector_stores.create(),
    ),
    (404, openai.NotFoundError, "model", lambda client, _: client.embeddings.create(model="gpt-9", input="x")),
    (404, openai.NotFoundError, None, lambda client, _: client.get("/assistants", cast_to=object)),
    (405, openai.APIStatusError, None, lambda client, _: client.put("/files", cast_to=object)),
    (413, openai.APIStatusError, None, lambda client, _: client.embeddings.create(model="x", input="x" * (33 << 20))),
    (503, openai.InternalServerError, None, lambda client, store: client.vector_stores.search(store, query="x")),
]


def without_its_model(server: Server) -> StoreId:
    """A store that was made when the settings had a model which they have no more."""
    catalog, store = server.service.resources.catalog, new_store_id()
    with catalog.transaction() as tx:
        tx.stores.add(server.project, NewStore(store, "gone", 64), catalog.now())
    return store


@pytest.mark.parametrize("kind", [0, 1], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("status", "error", "param", "act"), ERRORS, ids=[f"{row[0]}-{at}" for at, row in enumerate(ERRORS)]
)
def test_every_class_of_error_is_the_one_that_the_sdk_has_for_it(
    server: Server,
    kind: int,
    status: int,
    error: type[openai.APIStatusError],
    param: str | None,
    act: Callable[[Client, str], Any],
) -> None:
    store = without_its_model(server)

    async def program() -> openai.APIStatusError:
        async with within(clients(server, set())[kind]()) as client:
            with pytest.raises(error) as caught:
                await told(act(client, store))
            return caught.value

    raised = asyncio.run(program())
    assert (raised.status_code, raised.param) == (status, param)
    assert raised.request_id
    assert raised.message
    if status == 503:
        assert int(raised.response.headers["retry-after"]) >= 1
        assert "'gone'" in raised.message


@pytest.mark.parametrize("kind", [0, 1], ids=["sync", "async"])
def test_who_asks_too_often_gets_a_rate_limit_error_with_the_time_to_come_back(server: Server, kind: int) -> None:
    key = server.new_key({"requests_per_minute": 1})

    async def program() -> openai.RateLimitError:
        async with within(clients(server, set())[kind]()) as client:
            mine = client.with_options(api_key=key)
            await told(mine.models.retrieve("hashed"))
            with pytest.raises(openai.RateLimitError) as caught:
                await told(mine.models.retrieve("hashed"))
            return caught.value

    raised = asyncio.run(program())
    assert raised.code == "rate_limit_exceeded"
    assert 0 < float(raised.response.headers["retry-after-ms"]) <= 60_000


def test_files_of_a_store_whose_model_is_gone_wait_for_it(server: Server) -> None:
    store, client = without_its_model(server), server.client()
    with server.worker.paused():
        file = client.vector_stores.files.upload(vector_store_id=store, file=TEXTS[0])
        assert index_waiting(store, server.worker.resources) == 1
        waiting = client.vector_stores.files.retrieve(file.id, vector_store_id=store)
        assert (waiting.status, waiting.last_error) == ("in_progress", None)
        with server.service.resources.catalog.reading() as tx:
            [put_off] = tx.progress.of_store(server.project, store, server.service.resources.catalog.now()).put_off
        assert (put_off.trouble, put_off.files) == (Trouble.MODEL_MISSING, 1)
        assert "'gone'" in put_off.message
    client.vector_stores.delete(store)
