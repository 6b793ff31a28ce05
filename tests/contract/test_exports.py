"""Exports and imports over HTTP: what is answered, to whom, and that a store carried so is the same store."""

import threading

import pytest

from tests.support.server import OTHER_KEY, READ_ONLY_KEY, Server


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    return server.new_key()


@pytest.fixture(scope="module")
def store(server: Server, key: str) -> str:
    client = server.client(key)
    made = client.vector_stores.create(name="carried", metadata={"team": "a"}).id
    for number in range(3):
        file = client.files.create(file=(f"{number}.txt", f"words of {number}".encode()), purpose="assistants").id
        client.vector_stores.files.create_and_poll(file, vector_store_id=made, attributes={"number": number})
    return made


def archive_of(server: Server, key: str, store: str) -> bytes:
    with server.http(key) as http:
        export = http.post(f"/v1/vector_stores/{store}/exports").json()
        answer = http.get(f"/v1/vector_stores/{store}/exports/{export['id']}/content")
        assert answer.headers["content-type"] == "application/x-tar"
        assert (len(answer.content), int(answer.headers["content-length"])) == (export["bytes"], export["bytes"])
        assert http.delete(f"/v1/vector_stores/{store}/exports/{export['id']}").json()["deleted"] is True
        assert http.get(f"/v1/vector_stores/{store}/exports/{export['id']}/content").status_code == 404
        return answer.content


def imported(server: Server, key: str, archive: bytes, **body: str) -> dict[str, object]:
    file = server.client(key).files.create(file=("a.carrel", archive), purpose="user_data").id
    with server.http(key) as http:
        row = http.post("/v1/imports", json={"file_id": file, **body}).json()
        while row["status"] == "in_progress":
            threading.Event().wait(0.02)
            row = http.get(f"/v1/imports/{row['id']}").json()
    return dict(row)


def test_a_store_is_carried_to_another_project_under_new_ids(server: Server, key: str, store: str) -> None:
    archive = archive_of(server, key, store)
    other = server.new_key()
    row = imported(server, other, archive, ids="new", name="arrived")
    assert (row["status"], row["files"], row["error"]) == ("completed", 3, None)
    client = server.client(other)
    made = client.vector_stores.retrieve(str(row["vector_store_id"]))
    assert (made.name, made.metadata, made.file_counts.completed) == ("arrived", {"team": "a"}, 3)
    found = client.vector_stores.search(made.id, query="words of 1", max_num_results=3).data
    before = server.client(key).vector_stores.search(store, query="words of 1", max_num_results=3).data
    assert [(hit.filename, hit.score, hit.attributes) for hit in found] == [
        (hit.filename, hit.score, hit.attributes) for hit in before
    ]
    assert client.files.content(found[0].file_id).read().startswith(b"words of")


def test_the_same_store_where_it_is_changes_nothing(server: Server, key: str, store: str) -> None:
    before = server.client(key).vector_stores.retrieve(store)
    row = imported(server, key, archive_of(server, key, store))
    assert (row["status"], row["unchanged"], row["vector_store_id"]) == ("completed", True, store)
    after = server.client(key).vector_stores.retrieve(store)
    assert after.file_counts == before.file_counts


def test_ids_of_another_project_are_not_taken_over(server: Server, key: str, store: str) -> None:
    row = imported(server, OTHER_KEY, archive_of(server, key, store))
    assert row["status"] == "failed"
    assert "new ids" in str(row["error"])
    assert server.client(key).vector_stores.retrieve(store).file_counts.completed == 3


def test_what_is_wrong_with_a_request_is_named(server: Server, key: str, store: str) -> None:
    file = server.client(key).files.create(file=("a.txt", b"words"), purpose="user_data").id
    with server.http(key) as http:
        for body, param in (
            ({}, "file_id"),
            ({"file_id": file, "ids": "some"}, "ids"),
            ({"file_id": file, "name": 5}, "name"),
            ({"file_id": file, "more": 1}, "more"),
        ):
            answer = http.post("/v1/imports", json=body)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
        unknown = http.post("/v1/imports", json={"file_id": file, "embedding_model": "nobody's"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "model_not_found")
        export = http.post(f"/v1/vector_stores/{store}/exports").json()
        path = f"/v1/vector_stores/{store}/exports/{export['id']}/content"
        assert http.get(path, headers={"range": f"bytes={export['bytes']}-"}).status_code == 416
        part = http.get(path, headers={"range": "bytes=100-611"})
        assert (part.status_code, len(part.content)) == (206, 512)
        assert part.headers["content-range"] == f"bytes 100-611/{export['bytes']}"
    with server.http(READ_ONLY_KEY) as http:
        assert http.post("/v1/imports", json={"file_id": file}).status_code == 403
