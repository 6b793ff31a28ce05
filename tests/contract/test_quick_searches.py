"""Searches by the shorter way answer what the ordinary route answers, to good requests and to bad ones."""

import json

import pytest

from tests.support.server import OTHER_KEY, READ_ONLY_KEY, Server

GOOD = {"query": "green tea"}
BODIES = {
    "a good one": GOOD,
    "with everything": {
        "query": ["green tea", "schooner"],
        "max_num_results": 3,
        "filters": {"type": "and", "filters": [{"type": "gte", "key": "n", "value": 1}]},
        "ranking_options": {
            "ranker": "none",
            "score_threshold": 0.01,
            "hybrid_search": {"embedding_weight": 1, "text_weight": 0.5},
        },
        "rewrite_query": False,
    },
    "an unknown key": {**GOOD, "colour": "green"},
    "no query": {},
    "an empty query": {"query": " "},
    "a query of the wrong type": {"query": 7},
    "a number as text": {**GOOD, "max_num_results": "3"},
    "too many results": {**GOOD, "max_num_results": 1000},
    "an unknown ranker": {**GOOD, "ranking_options": {"ranker": "best"}},
    "a broken filter": {**GOOD, "filters": {"type": "eq", "key": "n"}},
    "no object": [1, 2],
}
RAW = {
    "no JSON": b'{"query": ',
    "half a character": b'{"query": "\\ud800"}',
    "bytes that are no text": b'{"query": "\xff"}',
    "not a number": b'{"query": "tea", "ranking_options": {"score_threshold": NaN}}',
    "nothing": b"",
} | {name: json.dumps(body).encode() for name, body in BODIES.items()}


@pytest.fixture(scope="module")
def store(server: Server) -> str:
    client = server.client()
    made = client.vector_stores.create().id
    for name, text, number in (("tea.txt", b"Green tea is steamed.", 1), ("ship.txt", b"The schooner left.", 2)):
        file = client.files.create(file=(name, text), purpose="assistants").id
        client.vector_stores.files.create_and_poll(file, vector_store_id=made, attributes={"n": number})
    return made


@pytest.mark.parametrize("name", RAW)
def test_both_ways_answer_alike(server: Server, store: str, name: str) -> None:
    with server.http() as http:
        http.headers["content-type"] = "application/json"
        quick, ordinary = (
            http.post(f"/v1/vector_stores/{store}/search{way}", content=RAW[name]) for way in ("", "?trace=false")
        )
    assert (quick.status_code, quick.json()) == (ordinary.status_code, ordinary.json())
    assert quick.status_code == (200 if name in {"a good one", "with everything"} else 400)


def test_keys_and_ids_are_looked_at_on_both_ways(server: Server, store: str) -> None:
    for key, status in ((READ_ONLY_KEY, 200), (OTHER_KEY, 404), ("wrong", 401), (None, 401)):
        with server.http(key) as http:
            for way in ("", "?trace=false"):
                assert http.post(f"/v1/vector_stores/{store}/search{way}", json=GOOD).status_code == status
    with server.http() as http:
        assert http.post("/v1/vector_stores/vs_none/search", json=GOOD).status_code == 404


def test_what_is_not_plain_goes_the_ordinary_way(server: Server, store: str) -> None:
    path, body = f"/v1/vector_stores/{store}/search", json.dumps(GOOD).encode()
    with server.http() as http:
        assert "trace" in http.post(path, json=GOOD, headers={"x-carrel-trace": "1"}).json()
        spelt = http.post(path, content=body, headers={"content-type": "Application/JSON; charset=utf-8"})
        assert spelt.status_code == 200
        assert http.post(path, content=body, headers={"content-type": "text/plain"}).status_code == 400
        pieces = http.post(path, content=iter([body[:5], body[5:]]), headers={"content-type": "application/json"})
        assert pieces.json() == spelt.json()
        assert http.get(path).status_code == 405
