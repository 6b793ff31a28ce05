"""Vector stores through the official SDK, as programs use it."""

import asyncio
from typing import Any

import openai
import pytest

from retrieval.catalog.account_rows import NewFile
from retrieval.ids import FileId, new_file_id
from tests.support.server import Server
from tests.support.wire import assert_is

TEA = ("tea.md", b"# Tea\n\nGreen tea is steamed in Japan.\n\n# Coffee\n\nCoffee is roasted in Brazil.")
SHIPS = ("ships.txt", b"The schooner left the harbour at dawn with nine sailors.")


def as_json(answer: Any) -> Any:
    return answer.to_dict(mode="json")


def test_a_program_of_twenty_lines_runs_unchanged(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create(name="Drinks")
    assert store.file_counts.total == 0
    assert store.status == "completed"
    batch = client.vector_stores.file_batches.upload_and_poll(store.id, files=[TEA, SHIPS])
    assert batch.status == "completed"
    assert batch.file_counts.completed == batch.file_counts.total == 2
    found = client.vector_stores.search(store.id, query="where is tea steamed")
    assert found.data[0].filename == "tea.md"
    assert "steamed" in found.data[0].content[0].text
    assert found.data == sorted(found.data, key=lambda hit: -hit.score)
    text = client.vector_stores.files.content(found.data[0].file_id, vector_store_id=store.id)
    assert "".join(piece.text or "" for piece in text) == TEA[1].decode()
    assert client.vector_stores.retrieve(store.id).usage_bytes > 0
    assert client.vector_stores.delete(store.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.retrieve(store.id)


def test_the_async_client_does_the_same(server: Server) -> None:
    async def program() -> None:
        async with server.async_client() as client:
            store = await client.vector_stores.create()
            batch = await client.vector_stores.file_batches.upload_and_poll(store.id, files=[TEA, SHIPS])
            assert batch.file_counts.completed == 2
            page = await client.vector_stores.search(store.id, query=["sailors", "coffee"], max_num_results=5)
            assert {hit.filename async for hit in page} == {"tea.md", "ships.txt"}
            await client.vector_stores.delete(store.id)

    asyncio.run(program())


def test_polling_helpers_end_with_the_settled_file(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create()
    done = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=SHIPS)
    assert (done.status, done.last_error) == ("completed", None)
    assert done.usage_bytes > 0
    assert_is("VectorStoreFileObject", as_json(done))
    picture = client.files.create(file=("a.png", b"\x89PNG\r\n\x1a\n" + bytes(64)), purpose="assistants")
    failed = client.vector_stores.files.create_and_poll(picture.id, vector_store_id=store.id)
    assert failed.status == "failed"
    assert failed.last_error is not None
    assert failed.last_error.code == "unsupported_file"
    assert_is("VectorStoreFileObject", as_json(failed))
    counts = client.vector_stores.retrieve(store.id).file_counts
    assert (counts.completed, counts.failed, counts.total) == (1, 1, 2)


def test_counts_are_right_in_the_answer_that_creates(server: Server) -> None:
    client = server.client()
    files = [client.files.create(file=(f"{n}.txt", b"words %d" % n), purpose="assistants").id for n in range(3)]
    with server.worker.paused():
        raw = client.vector_stores.with_raw_response.create(file_ids=files)
        store = raw.parse()
        assert (store.status, store.file_counts.in_progress, store.file_counts.total) == ("in_progress", 3, 3)
        assert int(raw.headers["openai-poll-after-ms"]) > 0
        other = client.vector_stores.create()
        batch = client.vector_stores.file_batches.with_raw_response.create(other.id, file_ids=files)
        assert batch.parse().file_counts.in_progress == 3
        assert_is("VectorStoreFileBatchObject", batch.http_response.json())
        assert int(batch.headers["openai-poll-after-ms"]) > 0
    done = client.vector_stores.file_batches.poll(batch.parse().id, vector_store_id=other.id)
    assert (done.file_counts.in_progress, done.file_counts.completed) == (0, 3)


def test_a_batch_of_files_carries_attributes_and_chunking_for_each(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create()
    one, two = (client.files.create(file=("x.txt", b"same words"), purpose="assistants").id for _ in range(2))
    sizes = {"type": "static", "static": {"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 100}}
    client.vector_stores.file_batches.create_and_poll(
        store.id,
        files=[
            {"file_id": one, "attributes": {"n": 5, "yes": True, "half": 0.5, "name": "ä"}},
            {"file_id": two, "chunking_strategy": sizes},  # type: ignore[typeddict-item]
        ],
        attributes={"ignored": "for files"},
    )
    first = client.vector_stores.files.retrieve(one, vector_store_id=store.id)
    second = client.vector_stores.files.retrieve(two, vector_store_id=store.id)
    assert first.attributes == {"n": 5, "yes": True, "half": 0.5, "name": "ä"}
    assert second.attributes is None
    assert as_json(second)["chunking_strategy"] == sizes
    assert as_json(first)["chunking_strategy"]["static"] == {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 0}


def test_cancelling_a_batch_stops_what_is_not_done(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create()
    files = [client.files.create(file=(f"{n}.txt", b"words"), purpose="assistants").id for n in range(3)]
    with server.worker.paused():
        batch = client.vector_stores.file_batches.create(store.id, file_ids=files)
        cancelled = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert cancelled.status == "cancelled"
    assert (cancelled.file_counts.cancelled, cancelled.file_counts.in_progress) == (3, 0)
    listed = client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, filter="cancelled")
    assert {file.id for file in listed} == set(files)
    again = client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)
    assert again == cancelled


def test_two_thousand_files_are_one_batch(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create()
    uploaded = client.files.create(file=SHIPS, purpose="assistants").id
    catalog = server.service.resources.catalog
    files = [new_file_id() for _ in range(2000)]
    with catalog.transaction() as tx:
        row = tx.files.get(server.project, FileId(uploaded))
        for file in files:
            new = NewFile(file, f"{file}.txt", row.purpose, row.bytes, row.sha256, row.blob)
            tx.files.add(server.project, new, catalog.now())
    with server.worker.paused():
        batch = client.vector_stores.file_batches.create(store.id, file_ids=files)
        assert batch.file_counts.in_progress == 2000
        listed = [file.id for file in client.vector_stores.files.list(store.id, limit=100, order="asc")]
        assert listed == files
        client.vector_stores.file_batches.cancel(batch.id, vector_store_id=store.id)


def test_attaching_a_file_again_changes_its_attributes_and_nothing_is_there_twice(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create()
    file = client.files.create(file=SHIPS, purpose="assistants").id
    client.vector_stores.files.create_and_poll(file, vector_store_id=store.id, attributes={"v": 1})
    client.vector_stores.files.create_and_poll(file, vector_store_id=store.id, attributes={"v": 2})
    assert [one.id for one in client.vector_stores.files.list(store.id)] == [file]
    hits = client.vector_stores.search(store.id, query="schooner").data
    assert [hit.attributes for hit in hits] == [{"v": 2}]


def test_updating_attributes_is_seen_by_the_next_search(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create()
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=SHIPS, attributes={"port": "Kiel"})
    client.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"port": "Oslo"})

    def ports(port: str) -> int:
        wanted = {"type": "eq", "key": "port", "value": port}
        return len(client.vector_stores.search(store.id, query="ships", filters=wanted).data)  # type: ignore[arg-type]

    assert (ports("Kiel"), ports("Oslo")) == (0, 1)
    cleared = client.vector_stores.files.update(file.id, vector_store_id=store.id, attributes=None)
    assert cleared.attributes is None
    assert ports("Oslo") == 0


def test_a_detached_file_is_found_no_more_and_stays_a_file(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create()
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=SHIPS)
    gone = client.vector_stores.files.delete(file.id, vector_store_id=store.id)
    assert (gone.deleted, gone.object) == (True, "vector_store.file.deleted")
    assert client.vector_stores.search(store.id, query="schooner").data == []
    assert client.files.retrieve(file.id).filename == SHIPS[0]
    after = client.vector_stores.retrieve(store.id)
    assert (after.usage_bytes, after.file_counts.total) == (0, 0)
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.delete(file.id, vector_store_id=store.id)


def test_deleting_a_file_takes_it_out_of_every_store(server: Server) -> None:
    client = server.client()
    stores = [client.vector_stores.create().id for _ in range(2)]
    file = client.files.create(file=SHIPS, purpose="assistants").id
    for store in stores:
        client.vector_stores.files.create_and_poll(file, vector_store_id=store)
    client.files.delete(file)
    for store in stores:
        assert client.vector_stores.search(store, query="schooner").data == []
        assert client.vector_stores.retrieve(store).file_counts.total == 0


def test_update_leaves_what_is_not_named_and_null_clears(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create(
        name="one", metadata={"a": "1"}, expires_after={"anchor": "last_active_at", "days": 2}, description="why"
    )
    assert store.expires_at == (store.last_active_at or 0) + 2 * 86400
    renamed = client.vector_stores.update(store.id, name="two")
    assert (renamed.name, renamed.metadata) == ("two", {"a": "1"})
    assert renamed.expires_after is not None
    assert as_json(renamed)["description"] == "why"
    cleared = client.vector_stores.update(store.id, name=None, metadata=None, expires_after=None)
    assert (cleared.name, cleared.metadata, cleared.expires_after, cleared.expires_at) == ("", {}, None, None)
    assert_is("VectorStoreObject", as_json(client.vector_stores.retrieve(store.id)))


def test_pages_of_stores_follow_each_other_without_gaps_or_repeats(server: Server) -> None:
    client = server.client(server.new_key())
    made = [client.vector_stores.create(name=str(n)).id for n in range(7)]
    assert [store.id for store in client.vector_stores.list(limit=2)] == made[::-1]
    assert [store.id for store in client.vector_stores.list(limit=3, order="asc")] == made
    page = client.vector_stores.list(limit=3, order="asc", before=made[5])
    assert [store.id for store in page.data] == made[2:5]
    assert page.has_more
    between = client.vector_stores.list(limit=2, order="asc", after=made[1], before=made[5])
    assert [store.id for store in between] == made[2:5]
    client.vector_stores.delete(made[3])
    assert [store.id for store in client.vector_stores.list(after=made[3], order="asc")] == made[4:]


def test_lists_of_files_are_filtered_and_cursors_are_file_ids(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create()
    files = [("a.txt", b"one"), ("b.png", b"\x89PNG\r\n\x1a\n" + bytes(9)), ("c.txt", b"three")]
    ids = [client.files.create(file=file, purpose="assistants").id for file in files]
    batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=ids)
    assert (batch.status, batch.file_counts.failed, batch.file_counts.completed) == ("completed", 1, 2)
    for lister in (
        lambda **more: client.vector_stores.files.list(store.id, **more),
        lambda **more: client.vector_stores.file_batches.list_files(batch.id, vector_store_id=store.id, **more),
    ):
        assert [file.id for file in lister(order="asc", limit=1)] == ids
        assert [file.id for file in lister(filter="failed")] == [ids[1]]
        assert [file.id for file in lister(filter="completed", after=ids[1], order="asc")] == [ids[2]]


def test_every_answer_is_what_the_published_description_says(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create(name="s", metadata={"k": "v"})
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store.id, file=TEA, attributes={"n": 1})
    batch = client.vector_stores.file_batches.create_and_poll(store.id, file_ids=[file.id])
    with server.http() as http:
        at = f"/v1/vector_stores/{store.id}"
        question = {"query": "tea", "ranking_options": {"ranker": "auto", "score_threshold": 0}}
        for schema, answer in (
            ("VectorStoreObject", http.get(at)),
            ("ListVectorStoresResponse", http.get("/v1/vector_stores")),
            ("VectorStoreFileObject", http.get(f"{at}/files/{file.id}")),
            ("ListVectorStoreFilesResponse", http.get(f"{at}/files")),
            ("ListVectorStoreFilesResponse", http.get(f"{at}/files?filter=failed")),
            ("VectorStoreFileBatchObject", http.get(f"{at}/file_batches/{batch.id}")),
            ("ListVectorStoreFilesResponse", http.get(f"{at}/file_batches/{batch.id}/files")),
            ("VectorStoreFileContentResponse", http.get(f"{at}/files/{file.id}/content")),
            ("VectorStoreSearchResultsPage", http.post(f"{at}/search", json=question)),
            ("VectorStoreFileObject", http.post(f"{at}/files/{file.id}", json={"attributes": {"n": 2}})),
            ("VectorStoreObject", http.post(at, json={"name": "t"})),
            ("DeleteVectorStoreFileResponse", http.delete(f"{at}/files/{file.id}")),
            ("DeleteVectorStoreResponse", http.delete(at)),
        ):
            assert answer.status_code == 200, answer.text
            assert answer.headers["x-request-id"].startswith("req_")
            assert_is(schema, answer.json())
