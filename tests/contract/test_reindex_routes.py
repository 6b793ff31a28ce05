"""Re-indexing over HTTP: started, watched to its end, steered; refused in the contract's words."""

from typing import Any

import httpx
import pytest

from tests.support.server import READ_ONLY_KEY, Server
from tests.support.whole import pause


@pytest.fixture
def store(server: Server) -> str:
    client = server.client()
    made = client.vector_stores.create()
    client.vector_stores.files.upload_and_poll(vector_store_id=made.id, file=("a.txt", b"the lamp by the river"))
    return made.id


def post(server: Server, path: str, body: Any = None) -> httpx.Response:
    with server.http() as http:
        return http.post(f"/v1{path}", json=body) if body is not None else http.post(f"/v1{path}")


def done(server: Server, store: str, status: str) -> dict[str, Any]:
    with server.http() as http:
        for _ in range(1000):
            found: dict[str, Any] = http.get(f"/v1/vector_stores/{store}/reindex").json()
            if found["status"] == status:
                return found
            pause(0.02)
    raise AssertionError(found)


def test_a_model_is_changed_and_changed_back(server: Server, store: str) -> None:
    estimate = post(server, f"/vector_stores/{store}/reindex/estimate", {"embedding_model": "wide"}).json()
    assert (estimate["files"], estimate["chunks"], estimate["embedding_dimension"]) == (1, 1, 64)
    assert estimate["tokens"] > 0
    started = post(server, f"/vector_stores/{store}/reindex", {"embedding_model": "wide", "keep_seconds": 60}).json()
    assert (started["embedding_model"], started["replaces_model"]) == ("wide", "hashed")
    swapped = done(server, store, "swapped")
    assert swapped["kept_until"] == swapped["swapped_at"] + 60
    assert (swapped["progress"]["files_done"], swapped["failures"]) == (1, [])
    with server.http() as http:
        statistics = http.get(f"/v1/vector_stores/{store}/statistics").json()
    assert (statistics["embedding_model"], statistics["embedding_dimension"]) == ("wide", 64)
    assert server.client().vector_stores.search(store, query="lamp").data[0].filename == "a.txt"
    assert post(server, f"/vector_stores/{store}/reindex/rollback").json()["status"] == "rolled_back"
    assert server.client().vector_stores.search(store, query="lamp").data[0].filename == "a.txt"


def test_what_cannot_be_is_refused_with_the_reason(server: Server, store: str) -> None:
    path = f"/vector_stores/{store}/reindex"
    for body, words in (
        ({}, "what is to change"),
        ({"embedding_model": "hashed"}, "nothing would change"),
        ({"embedding_model": "nobody"}, "does not exist"),
        ({"embedding_model": "wide", "keep_seconds": -1}, "keep_seconds"),
        ({"embedding_model": "wide", "chunks_per_second": 0}, "chunks_per_second"),
        ({"embedding_model": "wide", "chunks_per_second": 1e-300}, "chunks_per_second"),
        ({"embedding_model": "wide", "chunks_per_second": 1e308}, "chunks_per_second"),
        ({"colour": "red"}, "colour"),
    ):
        answer = post(server, path, body)
        assert answer.status_code in {400, 404}
        assert words in answer.json()["error"]["message"]
    assert post(server, f"{path}/pause").status_code == 400, "there is none"
    with server.http() as http:
        assert http.get(f"/v1{path}").status_code == 404
    with server.http(READ_ONLY_KEY) as http:
        assert http.post(f"/v1{path}", json={"embedding_model": "wide"}).status_code == 403


def test_a_re_index_is_paused_resumed_cancelled_and_finished(server: Server, store: str) -> None:
    path = f"/vector_stores/{store}/reindex"
    with server.worker.paused():
        assert post(server, path, {"chunking_strategy": {"type": "auto"}}).json()["status"] == "running"
        assert post(server, f"{path}/pause").json()["status"] == "paused"
        refused = post(server, f"{path}/pause")
        assert refused.status_code == 400
        assert "paused" in refused.json()["error"]["message"]
        assert post(server, f"{path}/resume").json()["status"] == "running"
        assert post(server, f"{path}/cancel").json()["status"] == "cancelled"
        assert post(server, path, {"embedding_model": "wide"}).json()["status"] == "running"
    done(server, store, "swapped")
    assert post(server, f"{path}/finish").json()["status"] == "completed"
    assert post(server, f"{path}/rollback").status_code == 400


def test_all_stores_of_a_project_are_started_and_those_that_need_not_be_are_told(server: Server) -> None:
    key = server.new_key()
    client = server.client(key)
    stores = [client.vector_stores.create().id for _ in range(2)]
    wide = client.vector_stores.create(extra_body={"embedding_model": "wide"}).id
    with server.http(key) as http:
        answer = http.post("/v1/reindex", json={"embedding_model": "wide"}).json()
        assert [one["vector_store_id"] for one in answer["started"]] == stores
        assert [one["vector_store_id"] for one in answer["skipped"]] == [wide]
        listed = http.get("/v1/reindex", params={"limit": 1}).json()["data"]
        assert [one["vector_store_id"] for one in listed] == [stores[-1]]
        assert http.post("/v1/reindex", json={}).status_code == 400


def test_further_models_are_listed_and_embed(server: Server) -> None:
    client = server.client()
    assert {"hashed", "wide", "text-embedding-3-small"} <= {model.id for model in client.models.list()}
    assert len(client.embeddings.create(model="wide", input="lamp").data[0].embedding) == 64
