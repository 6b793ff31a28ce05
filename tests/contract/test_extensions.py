"""What Carrel offers beside the contract: chunks, statistics, retries, progress."""

import json
import threading
from typing import Any

import httpx

from tests.support.server import Server

PARAGRAPHS = [f"Paragraph {n} is about the number {n} and about nothing else at all." for n in range(400)]
BOOK = ("# Numbers\n\n" + "\n\n".join(PARAGRAPHS)).encode()


def chunks_of(http: httpx.Client, path: str, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        if path.endswith("/chunks") and "/files/" in path:
            page = http.get(path, params={"limit": 7, "after": after, **more}).json()
        else:
            page = http.post(path, json={"limit": 7, "after": after or None, **more}).json()
        found += page["data"]
        assert len(page["data"]) <= 7
        assert page["has_more"] == (page["next_page"] is not None)
        if not page["has_more"]:
            return found
        after = page["next_page"]


def test_chunks_of_a_file_are_its_text_with_places(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=("n.md", BOOK), attributes={"n": 7}
    ).id
    with server.http() as http:
        chunks = chunks_of(http, f"/v1/vector_stores/{store}/files/{file}/chunks")
    assert [chunk["ordinal"] for chunk in chunks] == list(range(len(chunks)))
    assert len(chunks) > 7
    text = BOOK.decode()
    for chunk in chunks:
        assert chunk["text"] == text[chunk["start"] : chunk["end"]]
        assert chunk["attributes"] == {"n": 7}
        assert chunk["tokens"] > 0
    assert chunks[0]["title"] == "Numbers"


def test_content_is_the_parsed_text_though_chunks_overlap(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    sizes = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 50}}
    text = " ".join(f"word{n}" for n in range(3000))
    file = client.vector_stores.files.upload_and_poll(
        vector_store_id=store,
        file=("w.txt", text.encode()),
        chunking_strategy=sizes,  # type: ignore[arg-type]  # a dict as the contract has it
    ).id
    pieces = client.vector_stores.files.content(file, vector_store_id=store)
    assert "".join(piece.text or "" for piece in pieces) == text


def test_chunks_of_a_store_are_listed_once_each_while_files_come_and_go(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    files = [("a.md", BOOK), ("b.md", BOOK[: len(BOOK) // 2]), ("c.txt", b"short")]
    ids = [client.files.create(file=file, purpose="assistants").id for file in files]
    client.vector_stores.file_batches.create_and_poll(store, file_ids=ids)
    path = f"/v1/vector_stores/{store}/chunks"
    with server.http() as http:
        every = chunks_of(http, path)
        assert len({chunk["id"] for chunk in every}) == len(every)
        assert {chunk["file_id"] for chunk in every} == set(ids)
        first = http.post(path, json={"limit": 3}).json()
        client.vector_stores.files.delete(first["data"][0]["file_id"], vector_store_id=store)
        rest = http.post(path, json={"limit": 100, "after": first["next_page"]}).json()["data"]
        assert first["data"][0]["file_id"] not in {chunk["file_id"] for chunk in rest}
        assert rest == [chunk for chunk in every if chunk["file_id"] != first["data"][0]["file_id"]][: len(rest)]
        assert rest


def test_statistics_count_what_is_there(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("n.md", BOOK)).id
    with server.http() as http:
        before = http.get(f"/v1/vector_stores/{store}/statistics").json()
        count = len(chunks_of(http, f"/v1/vector_stores/{store}/chunks"))
        assert before["segments"]["rows"] == before["segments"]["rows_living"] == count
        assert before["segments"]["live"] == before["documents_living"] == 1
        assert before["segments"]["bytes"] > 0
        assert (before["embedding_model"], before["embedding_dimension"]) == ("hashed", 384)
        assert before["index"] == {
            "coded_segments": 0,
            "bytes": 0,
            "trained_rows": 0,
            "candidates": 0,
            "recall": None,
        }
        client.vector_stores.files.delete(file, vector_store_id=store)
        after = http.get(f"/v1/vector_stores/{store}/statistics").json()
    assert after["segments"]["rows_living"] == after["documents_living"] == after["usage_bytes"] == 0
    assert after["generation"] > before["generation"]


def test_failed_files_are_tried_again_one_or_all(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    picture = b"\x89PNG\r\n\x1a\n" + bytes(64)
    bad = [client.files.create(file=(f"{n}.png", picture), purpose="assistants").id for n in range(3)]
    good = client.files.create(file=("a.txt", b"words"), purpose="assistants").id
    client.vector_stores.file_batches.create_and_poll(store, file_ids=[*bad, good])
    at = f"/v1/vector_stores/{store}"
    with server.http() as http:
        with server.worker.paused():
            one = http.post(f"{at}/files/{bad[0]}/retry")
            assert (one.json()["status"], one.json()["last_error"]) == ("in_progress", None)
            assert int(one.headers["openai-poll-after-ms"]) > 0
            assert http.post(f"{at}/files/{good}/retry").json()["status"] == "completed"
            assert http.post(f"{at}/retry").json()["retried"] == 2
            assert client.vector_stores.retrieve(store).file_counts.in_progress == 3
        settled = client.vector_stores.files.poll(bad[0], vector_store_id=store)
        assert settled.status == "failed"
        assert http.post(f"{at}/files/file-000000000000000000000000/retry").status_code == 404


def test_a_file_that_is_in_work_is_cancelled_alone(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    one, two = (client.files.create(file=("a.txt", b"words"), purpose="assistants").id for _ in range(2))
    with server.http() as http, server.worker.paused():
        batch = client.vector_stores.file_batches.create(store, file_ids=[one, two])
        assert http.post(f"/v1/vector_stores/{store}/files/{one}/cancel").json()["status"] == "cancelled"
    done = client.vector_stores.file_batches.poll(batch.id, vector_store_id=store)
    assert (done.file_counts.cancelled, done.file_counts.completed) == (1, 1)


def test_progress_counts_files_bytes_and_chunks_by_state(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("n.md", BOOK))
    file = client.files.create(file=("a.txt", b"12345"), purpose="assistants").id
    with server.http() as http, server.worker.paused():
        batch = client.vector_stores.file_batches.create(store, file_ids=[file]).id
        whole = http.get(f"/v1/vector_stores/{store}/progress").json()
        part = http.get(f"/v1/vector_stores/{store}/file_batches/{batch}/progress").json()
    assert whole["in_progress"] == {"files": 1, "bytes": 5, "chunks": 0}
    assert (whole["completed"]["files"], whole["completed"]["bytes"]) == (1, len(BOOK))
    assert whole["completed"]["chunks"] > 7
    assert whole["rate"]["bytes_per_second"] > 0
    assert whole["eta_seconds"] >= 1
    assert not whole["done"]
    assert (part["batch_id"], part["in_progress"]["files"], part["completed"]["files"]) == (batch, 1, 0)
    assert part["eta_seconds"] is None


def events(answer: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    found = []
    name = ""
    for line in answer.iter_lines():
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line.startswith("data: "):
            found.append((name, json.loads(line.removeprefix("data: "))))
    return found


def test_progress_is_streamed_until_all_has_settled(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    file = client.files.create(file=("a.txt", b"words"), purpose="assistants").id
    with server.http() as http:
        with server.worker.paused():
            batch = client.vector_stores.file_batches.create(store, file_ids=[file]).id
            path = f"/v1/vector_stores/{store}/file_batches/{batch}/progress"
            stream = http.stream("GET", path, headers={"accept": "text/event-stream"})
            answer = stream.__enter__()
        found = events(answer)
        stream.__exit__(None, None, None)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert [name for name, _ in found][:1] == ["progress"]
    assert not found[0][1]["done"]
    assert found[-1][0] == "done"
    assert found[-1][1]["completed"]["files"] == 1


def test_a_stream_ends_with_an_error_when_the_store_goes(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    file = client.files.create(file=("a.txt", b"words"), purpose="assistants").id
    with server.http() as http, server.worker.paused():
        client.vector_stores.files.create(store, file_id=file)
        with http.stream("GET", f"/v1/vector_stores/{store}/progress?stream=true") as answer:
            deleting = threading.Thread(target=client.vector_stores.delete, args=(store,))
            deleting.start()
            found = events(answer)
            deleting.join()
    assert found[-1][0] == "error"
    assert "No such VectorStore" in found[-1][1]["error"]["message"]


def test_the_other_address_of_file_contents_gives_the_same_bytes(server: Server) -> None:
    content = bytes(range(256)) * 1000
    file = server.client().files.create(file=("b.bin", content), purpose="assistants").id
    with server.http() as http:
        assert http.get(f"/v1/file-contents-v2/{file}").content == content
        part = http.get(f"/v1/file-contents-v2/{file}", headers={"range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, content[10:20])
        assert http.get("/v1/file-contents-v2/file-000000000000000000000000").status_code == 404
