"""`Idempotency-Key`: what comes again is answered as before and done once, however close the twins are."""

import secrets
import threading
from typing import Any

import httpx
import openai
import pytest

from retrieval.catalog.kept_answers import KEPT_SECONDS
from tests.support.server import Server


def key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(8)}


@pytest.fixture
def client(server: Server) -> openai.OpenAI:
    return server.client(server.new_key())


def twice(http: httpx.Client, path: str, **said: Any) -> tuple[httpx.Response, httpx.Response]:
    headers = key()
    first, second = (http.post(path, headers=headers, **said) for _ in range(2))
    assert first.status_code == 200, first.text
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert second.json() == first.json()
    assert second.headers["x-request-id"] != first.headers["x-request-id"]
    return first, second


def test_everything_that_is_made_by_a_post_is_made_once(server: Server) -> None:
    secret = server.new_key()
    client, storage = server.client(secret), server.service.resources.storage
    with server.http(secret) as http:
        form = {"files": {"file": ("a.txt", b"words once")}, "data": {"purpose": "assistants"}}
        file = twice(http, "/v1/files", **form)[0].json()["id"]
        held = len(list(storage.list("")))
        twice(http, "/v1/files", **form)
        assert len(list(storage.list(""))) == held, "equal bytes are kept once, also when they came again"
        store = twice(http, "/v1/vector_stores", json={"name": "once", "file_ids": [file]})[0].json()["id"]
        twice(http, f"/v1/vector_stores/{store}/files", json={"file_id": file})
        twice(http, f"/v1/vector_stores/{store}/file_batches", json={"file_ids": [file]})
        wish = {"filename": "u", "purpose": "assistants", "bytes": 3, "mime_type": "text/plain"}
        twice(http, "/v1/uploads", json=wish)
    assert len(client.files.list().data) == 2
    assert len(client.vector_stores.list().data) == 1


def test_the_first_answer_is_given_whatever_became_of_it(client: openai.OpenAI) -> None:
    headers = key()
    first = client.vector_stores.create(name="gone", extra_headers=headers)
    client.vector_stores.delete(first.id)
    assert client.vector_stores.create(name="gone", extra_headers=headers) == first
    assert client.vector_stores.list().data == []


def test_twins_at_the_same_moment_make_one(server: Server) -> None:
    secret, headers, made = server.new_key(), key(), list[str]()

    def ask() -> None:
        made.append(server.client(secret).vector_stores.create(name="twin", extra_headers=headers).id)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert len(set(made)) == 1
    assert len(server.client(secret).vector_stores.list().data) == 1


def test_a_key_that_comes_with_another_request_is_refused(client: openai.OpenAI) -> None:
    headers = key()
    client.vector_stores.create(name="one", extra_headers=headers)
    with pytest.raises(openai.BadRequestError, match="another request") as caught:
        client.vector_stores.create(name="two", extra_headers=headers)
    assert caught.value.param == "Idempotency-Key"
    with pytest.raises(openai.BadRequestError):
        client.files.create(file=("a.txt", b"a"), purpose="assistants", extra_headers=headers)
    with pytest.raises(openai.BadRequestError, match="255"):
        client.vector_stores.create(extra_headers={"Idempotency-Key": "k" * 256})
    assert len(client.vector_stores.list().data) == 1


def test_a_refusal_is_not_kept(client: openai.OpenAI) -> None:
    headers = key()
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.create(file_ids=["file-nowhere"], extra_headers=headers)
    client.vector_stores.create(name="mended", extra_headers=headers)


def test_projects_have_their_own_keys_and_without_one_everything_is_done(server: Server) -> None:
    headers = key()
    one, two = server.client(server.new_key()), server.client(server.new_key())
    assert one.vector_stores.create(extra_headers=headers).id != two.vector_stores.create(extra_headers=headers).id
    assert one.vector_stores.create().id != one.vector_stores.create().id


def test_after_a_day_a_key_may_be_used_anew_and_is_swept(server: Server) -> None:
    catalog, headers = server.service.resources.catalog, key()
    client = server.client(server.new_key())
    first = client.vector_stores.create(extra_headers=headers).id
    now = catalog.now()
    with catalog.transaction() as tx:
        assert tx.kept_answers.forget(now - KEPT_SECONDS, 1000) == 0
        assert tx.kept_answers.forget(now + 1, 100_000) >= 1
        assert tx.kept_answers.begin(server.project, "again", "one", now - KEPT_SECONDS) is None
        assert tx.kept_answers.begin(server.project, "again", "two", now) is None
    assert client.vector_stores.create(extra_headers=headers).id != first
