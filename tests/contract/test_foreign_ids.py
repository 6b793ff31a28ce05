"""Projects are invisible to each other: every route, every kind of id, asked for with another project's key.

The matrix is made from the route table of the running application. A new route that takes an id is in it without
being listed; one that needs a body fails here until BODIES says what to send, so that it cannot slip through.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from fastapi import FastAPI

from retrieval.api.routes import ROUTERS
from tests.support.server import OTHER_KEY, Server
from tests.support.wire import assert_is

PLACE = {"source": {"type": "urls", "urls": ["https://docs.example.com/a"]}}
# What a route needs to get as far as looking for its ids. `{…}` are the ids under test.
BODIES: Mapping[tuple[str, str], Any] = {
    ("POST", "/v1/vector_stores/{vector_store_id}"): {"name": "stolen"},
    ("POST", "/v1/vector_stores/{vector_store_id}/search"): {"query": "words"},
    ("POST", "/v1/vector_stores/{vector_store_id}/chunks"): {},
    ("POST", "/v1/vector_stores/{vector_store_id}/files"): {"file_id": "{file_id}"},
    ("POST", "/v1/vector_stores/{vector_store_id}/files/delete"): {
        "filters": {"type": "eq", "key": "stolen", "value": True}
    },
    ("POST", "/v1/vector_stores/{vector_store_id}/files/{file_id}"): {"attributes": {"stolen": True}},
    ("POST", "/v1/vector_stores/{vector_store_id}/file_batches"): {"file_ids": ["{file_id}"]},
    ("POST", "/v1/imports"): {"file_id": "{file_id}"},
    ("POST", "/v1/vector_stores/{vector_store_id}/sources"): PLACE,
    ("POST", "/v1/vector_stores/{vector_store_id}/sources/{source_id}"): {"include": ["stolen"]},
    ("POST", "/v1/vector_stores/{vector_store_id}/reindex"): {"chunking_strategy": {"type": "auto"}},
    ("POST", "/v1/vector_stores/{vector_store_id}/reindex/estimate"): {"chunking_strategy": {"type": "auto"}},
    ("POST", "/v1/uploads/{upload_id}/complete"): {"part_ids": ["{part_id}"]},
}
PARTS = {("POST", "/v1/uploads/{upload_id}/parts")}  # takes a form
OPEN = {"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json"}
NOBODYS = {"model"}  # parameters of paths that are no project's


@dataclass(frozen=True)
class Owned:
    """One thing of each kind, with the key of whom it belongs to."""

    ids: Mapping[str, str]
    key: str


def things_of(server: Server, key: str) -> Owned:
    client = server.client(key)
    store = client.vector_stores.create().id
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.txt", b"words to be found"))
    batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=[file.id])
    upload = client.uploads.create(filename="u.txt", purpose="assistants", bytes=3, mime_type="text/plain")
    part = client.uploads.parts.create(upload.id, data=b"abc")
    with server.http(key) as http:
        source = http.post(f"/v1/vector_stores/{store}/sources", json={**PLACE, "exclude": ["*.tmp"]}).json()["id"]
        run = http.post(f"/v1/vector_stores/{store}/sources/{source}/refresh").json()["id"]
    ids = {
        "vector_store_id": store,
        "file_id": file.id,
        "batch_id": batch.id,
        "upload_id": upload.id,
        "part_id": part.id,
        **moving_of(server, key, store, file.id),
        "source_id": source,
        "run_id": run,
    }
    return Owned(ids, key)


def moving_of(server: Server, key: str, store: str, file: str) -> dict[str, str]:
    """An export, and an import that will be refused: the file is no archive."""
    with server.http(key) as http:
        export = http.post(f"/v1/vector_stores/{store}/exports").json()["id"]
        return {"export_id": export, "import_id": http.post("/v1/imports", json={"file_id": file}).json()["id"]}


@pytest.fixture(scope="module")
def mine(server: Server) -> Owned:
    return things_of(server, server.new_key())


@pytest.fixture(scope="module")
def theirs(server: Server) -> Owned:
    return things_of(server, OTHER_KEY)


def table(app: FastAPI) -> list[tuple[str, str]]:
    """(method, path) of everything that can be asked for, as the application's own document lists it."""
    return [
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
        if path not in OPEN
    ]


def test_the_document_leaves_no_route_out(server: Server) -> None:
    """The matrix is as complete as the document that it is made from."""
    documented = {path for _, path in table(server.app)} | OPEN
    for router in ROUTERS:
        for route in router.routes:
            assert re.sub(r":\w+}", "}", getattr(route, "path", "")) in documented


def parameters(path: str) -> list[str]:
    return [name.split(":")[0] for name in re.findall(r"{([^}]+)}", path)]


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub(r"{(\w+)(?::\w+)?}", lambda found: ids[found.group(1)], value)
    if isinstance(value, dict):
        return {key: filled(inner, ids) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, ids) for inner in value]
    return value


def ask(server: Server, key: str, method: str, path: str, ids: Mapping[str, str]) -> Any:
    body = BODIES.get((method, path))
    with server.http(key) as http:
        if (method, path) in PARTS:
            return http.request(method, filled(path, ids), files={"data": b"abc"})
        return http.request(method, filled(path, ids), json=None if body is None else filled(body, ids))


def test_every_route_that_takes_ids_answers_404_for_those_of_another_project(
    server: Server, mine: Owned, theirs: Owned
) -> None:
    asked = 0
    for method, path in table(server.app):
        body = BODIES.get((method, path))
        kinds = {name for name in parameters(path) if name not in NOBODYS}
        kinds |= set(re.findall(r"{(\w+)}", json.dumps(body)))
        for foreign in sorted(kinds):
            # One id is another project's, the others are the caller's own: each must be looked at by itself.
            ids = {**mine.ids, foreign: theirs.ids[foreign]}
            answer = ask(server, mine.key, method, path, ids)
            expected = {404} if foreign != "part_id" else {400, 404}
            assert answer.status_code in expected, f"{method} {path} with a foreign {foreign}: {answer.text}"
            assert_is("ErrorResponse", answer.json())
            assert server.project not in answer.text
            asked += 1
    assert asked >= 30, "the route table is not what it was"
    # Nothing of it has happened to the other project's things.
    other = server.client(theirs.key)
    assert other.vector_stores.retrieve(theirs.ids["vector_store_id"]).file_counts.completed == 1
    assert other.vector_stores.retrieve(theirs.ids["vector_store_id"]).name == ""
    file = other.vector_stores.files.retrieve(theirs.ids["file_id"], vector_store_id=theirs.ids["vector_store_id"])
    assert file.attributes is None
    assert other.files.retrieve(theirs.ids["file_id"]).id == theirs.ids["file_id"]


def test_the_same_requests_with_the_owners_key_do_not_answer_404(server: Server) -> None:
    """Or the matrix would prove nothing. Each request gets things of its own: some of them delete."""
    key = server.new_key()
    shared = things_of(server, key)
    for method, path in table(server.app):
        if not [name for name in parameters(path) if name not in NOBODYS]:
            continue
        owned = things_of(server, key) if method == "DELETE" or path.endswith(("complete", "cancel")) else shared
        answer = ask(server, owned.key, method, path, owned.ids)
        if "/reindex/" in path:  # whether a step can be taken depends on how far the re-index has come
            assert answer.status_code != 404, f"{method} {path}: {answer.text}"
            continue
        assert answer.status_code < 300 or "upload" in path, f"{method} {path}: {answer.text}"
        assert answer.status_code != 404, f"{method} {path}: {answer.text}"


def test_lists_show_only_the_callers_own(server: Server, mine: Owned, theirs: Owned) -> None:
    client = server.client(mine.key)
    assert [store.id for store in client.vector_stores.list()] == [mine.ids["vector_store_id"]]
    assert theirs.ids["file_id"] not in {file.id for file in client.files.list()}
    with server.http(mine.key) as http:
        for name in ("after", "before"):
            answer = http.get(f"/v1/vector_stores?{name}={theirs.ids['vector_store_id']}")
            assert answer.status_code == 400, "a foreign cursor must not be told from one that never was"


def test_every_route_of_the_api_asks_for_a_key(server: Server, mine: Owned) -> None:
    for method, path in table(server.app):
        with server.http(None) as http:
            answer = http.request(method, filled(path, {**mine.ids, "model": "hashed"}))
        assert answer.status_code == 401, f"{method} {path}"
        assert_is("ErrorResponse", answer.json())
