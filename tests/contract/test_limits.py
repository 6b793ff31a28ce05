"""Rate limits and quotas as callers meet them: headers, 429 with a time to come back, and nothing taken in vain."""

import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import openai
import pytest

from tests.support.server import Server
from tests.support.wire import assert_is


def test_a_fresh_installation_has_no_limits_and_says_nothing_of_any(server: Server) -> None:
    with server.http() as http:
        answer = http.get("/v1/models")
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


def test_headers_count_down_and_the_last_request_too_many_is_told_when_to_come_back(server: Server) -> None:
    key = server.new_key({"requests_per_minute": 2})
    with server.http(key) as http:
        first = http.get("/v1/models")
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-reset-requests"].endswith("s")
        http.get("/v1/models")
        refused = http.get("/v1/models")
    assert refused.status_code == 429
    assert_is("ErrorResponse", refused.json())
    assert refused.json()["error"]["type"] == "rate_limit_error"
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert int(refused.headers["retry-after"]) >= 1
    assert 0 < int(refused.headers["retry-after-ms"]) <= 60_000
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert refused.headers["x-request-id"]


def test_the_sdk_raises_its_rate_limit_error(server: Server) -> None:
    client = server.client(server.new_key({"requests_per_minute": 1}))
    client.models.list()
    with pytest.raises(openai.RateLimitError, match="1 requests a minute"):
        client.models.list()


def test_tokens_of_embeddings_and_of_questions_are_counted_once_each(server: Server) -> None:
    key = server.new_key({"tokens_per_minute": 1000})
    client = server.client(key)
    made = client.embeddings.with_raw_response.create(model="hashed", input=["seven words " * 20])
    used = made.parse().usage.total_tokens
    assert used > 0
    left = int(made.headers["x-ratelimit-remaining-tokens"])
    assert abs(left - (1000 - used)) <= 2  # some flows back meanwhile
    store = client.vector_stores.create().id
    asked = client.vector_stores.with_raw_response.search(store, query="a question nobody asked before")
    assert int(asked.headers["x-ratelimit-remaining-tokens"]) < 1000
    again = client.vector_stores.with_raw_response.search(store, query="a question nobody asked before")
    assert int(again.headers["x-ratelimit-remaining-tokens"]) >= int(asked.headers["x-ratelimit-remaining-tokens"])
    client.embeddings.create(model="hashed", input=["seven words " * 500])
    with pytest.raises(openai.RateLimitError, match="1000 tokens a minute"):
        client.embeddings.create(model="hashed", input=["one more"])


def test_who_asks_for_too_much_is_refused_before_his_body_is_read(server: Server) -> None:
    key = server.new_key({"uploads_per_minute": 1})
    server.client(key).files.create(file=("a.txt", b"first"), purpose="assistants")
    address = httpx.URL(server.url)
    head = f"POST /v1/files HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\ncontent-length: 99999999\r\n\r\n"
    with socket.create_connection((address.host, address.port or 0), timeout=10) as link:
        link.sendall(head.encode())
        assert b" 429 " in link.recv(4096), "answered although nothing of the body has been sent"


def test_a_key_that_may_attach_once_a_minute_may_do_so_in_each_store(server: Server) -> None:
    client = server.client(server.new_key(key_limits={"attaches_per_minute": 1}))
    file = client.files.create(file=("a.txt", b"words"), purpose="assistants").id
    for _ in range(2):
        store = client.vector_stores.create().id
        client.vector_stores.files.create(store, file_id=file)
        with pytest.raises(openai.RateLimitError):
            client.vector_stores.file_batches.create(store, file_ids=[file])


def test_a_project_that_keeps_all_it_may_is_told_so_and_not_to_try_again(server: Server) -> None:
    key = server.new_key({"bytes_stored": 1000})
    client = server.client(key)
    kept = client.files.create(file=("a.txt", b"a" * 600), purpose="assistants").id
    before = {one.name for one in server.service.resources.storage.list("")}
    with server.http(key) as http:
        refused = http.post("/v1/files", files={"file": b"b" * 600}, data={"purpose": "assistants"})
    assert refused.status_code == 429
    assert_is("ErrorResponse", refused.json())
    assert refused.json()["error"]["code"] == refused.json()["error"]["type"] == "insufficient_quota"
    assert refused.headers["x-should-retry"] == "false"
    assert "retry-after" not in refused.headers
    assert {one.name for one in server.service.resources.storage.list("")} == before, "nothing of it is left"
    with pytest.raises(openai.RateLimitError, match="1000 bytes"):
        client.uploads.create(filename="u", purpose="assistants", bytes=600, mime_type="text/plain")
    client.files.delete(kept)
    client.files.create(file=("a.txt", b"b" * 600), purpose="assistants")


def test_parts_of_unfinished_uploads_count_too(server: Server) -> None:
    client = server.client(server.new_key({"bytes_stored": 3 << 20}))
    upload = client.uploads.create(filename="u", purpose="assistants", bytes=2 << 20, mime_type="text/plain").id
    client.uploads.parts.create(upload, data=b"a" * (2 << 20))
    with pytest.raises(openai.RateLimitError):
        client.uploads.parts.create(upload, data=b"a" * (4 << 20))
    with pytest.raises(openai.RateLimitError):
        client.files.create(file=("a.txt", b"a" * (4 << 20)), purpose="assistants")


def test_parts_sent_at_once_do_not_all_find_the_same_room(server: Server) -> None:
    """Each looks before its bytes are taken in; only one of them may stay."""
    client = server.client(server.new_key({"bytes_stored": 1_000_000}))
    upload = client.uploads.create(filename="u", purpose="assistants", bytes=900_000, mime_type="text/plain").id
    before = {one.name for one in server.service.resources.storage.list("")}

    def send(_: int) -> bool:
        try:
            client.uploads.parts.create(upload, data=b"a" * 600_000)
        except openai.RateLimitError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(send, range(4))) == 1
    after = {one.name for one in server.service.resources.storage.list("")}
    assert len(after - before) == 1, "nothing is left of those that were refused"


def test_searching_and_reading_go_on_when_the_quota_is_used_up(server: Server) -> None:
    client = server.client(server.new_key({"bytes_stored": 5}))
    client.files.create(file=("a.txt", b"words"), purpose="assistants")
    store = client.vector_stores.create().id
    assert client.vector_stores.search(store, query="words").data == []
    assert len(client.files.list().data) == 1
