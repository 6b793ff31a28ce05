"""Our own OpenAPI document, and its page: complete, true of the running service, and needing nothing from elsewhere."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from retrieval.api.document import operations
from retrieval.api.middleware import OPEN_PATHS
from retrieval.api.page import render
from retrieval.api.routes import ROUTERS
from tests.support.server import KEY, Server

Json = dict[str, Any]


@pytest.fixture(scope="module")
def document(server: Server) -> Json:
    answer = httpx.get(f"{server.url}/openapi.json")
    assert answer.status_code == 200
    found: Json = answer.json()
    return found


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for inner in node.values():
            yield from references(inner)
    elif isinstance(node, list):
        for inner in node:
            yield from references(inner)


def test_every_reference_leads_somewhere_and_nothing_is_left_over(document: Json) -> None:
    used = set(references(document))
    for reference in used:
        node: Any = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    schemas = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert schemas <= used


def test_every_schema_is_one(document: Json) -> None:
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for _, _, operation in operations(document):
        for answer in operation["responses"].values():
            for media in answer.get("content", {}).values():
                Draft202012Validator.check_schema(media["schema"])


def test_every_operation_has_a_name_a_tag_and_the_errors_it_may_end_with(document: Json) -> None:
    tags = {tag["name"] for tag in document["tags"]}
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) == len(set(names))
    for path, method, operation in operations(document):
        where = f"{method} {path}"
        assert operation["tags"], where
        assert set(operation["tags"]) <= tags, where
        assert "422" not in operation["responses"], where
        if path in OPEN_PATHS:
            assert operation["security"] == [], where
        else:
            assert {"400", "401", "403", "429", "500", "503"} <= set(operation["responses"]), where
            assert "security" not in operation, where
        if "{" in path:
            assert "404" in operation["responses"], where
        if "requestBody" in operation:
            assert operation["requestBody"]["content"], where
            assert "413" in operation["responses"], where
    assert document["security"] == [{"key": []}]
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"


def test_every_served_answer_has_a_schema(document: Json) -> None:
    for path, method, operation in operations(document):
        for kind, media in operation["responses"]["200"]["content"].items():
            if (path, method) != ("/v1/models/{model}", "delete"):  # which only ever refuses
                assert media["schema"] not in ({}, {"type": "null"}), f"{method} {path} answers {kind} of any shape"


def test_answers_are_what_the_document_says(server: Server, document: Json) -> None:
    client = server.client()
    store = client.vector_stores.create(name="described").id
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.txt", b"words to be found")).id
    batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=[file]).id
    ids = {"vector_store_id": store, "file_id": file, "batch_id": batch, "model": "hashed"}
    bodies = {
        "/v1/embeddings": {"model": "hashed", "input": "words"},
        "/v1/vector_stores/{vector_store_id}/search": {"query": "words"},
        "/v1/vector_stores/{vector_store_id}/chunks": {},
        "/v1/vector_stores": {"name": "another"},
        "/v1/uploads": {"filename": "u", "purpose": "assistants", "bytes": 3, "mime_type": "text/plain"},
    }
    asked = 0
    with server.http(KEY) as http:
        for path, method, operation in operations(document):
            known = set(re.findall(r"{(\w+)}", path)) <= set(ids)
            if not known or not (method == "get" or path in bodies):
                continue
            body = bodies.get(path) if method == "post" else None
            answer = http.request(method, path.format(**ids), json=body)
            if path.endswith("/reindex") and "{" in path:
                assert answer.status_code == 404  # never asked for
                continue
            assert answer.status_code == 200, f"{method} {path}: {answer.text}"
            content = operation["responses"]["200"]["content"]
            kind = answer.headers["content-type"].split(";")[0]
            assert kind in content, f"{method} {path} answers {kind}"
            assert set(operation["responses"]["200"]["headers"]) >= {"x-request-id", "x-request-cost"}
            if kind == "application/json":
                schema = {**content[kind]["schema"], "components": document["components"]}
                problems = [problem.message for problem in Draft202012Validator(schema).iter_errors(answer.json())]
                assert not problems, f"{method} {path}: {problems}"
            asked += 1
    assert asked >= 25


class Page(HTMLParser):
    """What a page holds, and whether its elements are closed in order."""

    VOID = frozenset({"meta", "wbr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert name not in {"src", "onclick", "onload"}, f"{tag} {name}"
            if name == "id":
                self.ids.append(str(value))
            if name == "href":
                self.links.append(str(value))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data


def read(html: str) -> Page:
    page = Page()
    page.feed(html)
    assert page.open == []
    return page


def test_the_page_shows_every_operation_and_object_and_fetches_nothing(server: Server, document: Json) -> None:
    answer = httpx.get(f"{server.url}/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    page = read(answer.text)
    for path, _, operation in operations(document):
        assert path in page.words
        assert operation["operationId"] in page.ids
    for name in document["components"]["schemas"]:
        assert f"schema-{name}" in page.ids
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        assert link == "/openapi.json" or link.removeprefix("#") in page.ids, link
    assert not re.search(r"<script|@import|url\(|https?://", answer.text)


def test_the_page_takes_no_word_of_the_document_for_markup() -> None:
    evil = "<script>alert(1)</script>"
    document = {
        "info": {"title": evil, "version": evil, "description": evil},
        "paths": {"/x": {"get": {"operationId": "x", "description": evil, "responses": {"200": {}}, "tags": [evil]}}},
        "components": {"schemas": {"X": {"properties": {evil: {"enum": [evil]}}, "description": evil}}},
    }
    assert "<script" not in render(document)


def test_the_framework_adds_no_page_of_its_own(server: Server) -> None:
    assert httpx.get(f"{server.url}/redoc").status_code in {401, 404}
    assert all(router.routes for router in ROUTERS)
