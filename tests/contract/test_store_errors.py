"""What vector stores, their files, batches and searches refuse: status, code and the path to the field."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.support.server import READ_ONLY_KEY, Server
from tests.support.wire import assert_is

STORES, STORE, FILES, FILE, BATCHES, SEARCH, CHUNKS = (
    "/v1/vector_stores",
    "/v1/vector_stores/{store}",
    "/v1/vector_stores/{store}/files",
    "/v1/vector_stores/{store}/files/{file}",
    "/v1/vector_stores/{store}/file_batches",
    "/v1/vector_stores/{store}/search",
    "/v1/vector_stores/{store}/chunks",
)
MISSING, UNKNOWN, TYPE, VALUE = "missing_required_parameter", "unknown_parameter", "invalid_type", "invalid_value"
BELOW, ABOVE = "integer_below_min_value", "integer_above_max_value"
LONG, MANY, EMPTY, NOTHING = "string_above_max_length", "array_above_max_length", "empty_array", "empty_string"
PAIRS = "object_above_max_properties"
EMBED = "/v1/embeddings"
ABSENT_FILE = "file-000000000000000000000000"


@dataclass(frozen=True)
class Place:
    store: str
    file: str
    http: httpx.Client


@pytest.fixture(scope="module")
def place(server: Server) -> Iterator[Place]:
    client = server.client()
    store = client.vector_stores.create().id
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.txt", b"some words")).id
    with server.http() as http:
        yield Place(store, file, http)


def static(most: Any, overlap: Any) -> dict[str, Any]:
    return {"type": "static", "static": {"max_chunk_size_tokens": most, "chunk_overlap_tokens": overlap}}


CHUNKING = [
    ("auto", TYPE, ""),
    ({}, MISSING, ".type"),
    ({"type": "other"}, VALUE, ".type"),
    ({"type": ["auto"]}, VALUE, ".type"),
    ({"type": "auto", "static": {}}, UNKNOWN, ".static"),
    ({"type": "static"}, MISSING, ".static"),
    ({"type": "static", "static": []}, TYPE, ".static"),
    ({"type": "static", "static": {"chunk_overlap_tokens": 0}}, MISSING, ".static.max_chunk_size_tokens"),
    ({"type": "static", "static": {"max_chunk_size_tokens": 100}}, MISSING, ".static.chunk_overlap_tokens"),
    (static(99, 0), BELOW, ".static.max_chunk_size_tokens"),
    (static(4097, 0), ABOVE, ".static.max_chunk_size_tokens"),
    (static(100.0, 0), TYPE, ".static.max_chunk_size_tokens"),
    (static(True, 0), TYPE, ".static.max_chunk_size_tokens"),
    (static("100", 0), TYPE, ".static.max_chunk_size_tokens"),
    (static(100, -1), BELOW, ".static.chunk_overlap_tokens"),
    (static(100, 51), ABOVE, ".static.chunk_overlap_tokens"),
    ({"type": "static", "max_chunk_size_tokens": 50}, BELOW, ".max_chunk_size_tokens"),
    ({"type": "static", "max_chunk_size_tokens": 200, "chunk_overlap_tokens": 101}, ABOVE, ".chunk_overlap_tokens"),
    ({"type": "static", "max_chunk_size_tokens": 200, "more": 1}, UNKNOWN, ".more"),
]
ATTRIBUTES = [
    ([], TYPE, ""),
    ("a", TYPE, ""),
    ({str(n): n for n in range(17)}, PAIRS, ""),
    ({"k" * 65: 1}, LONG, ""),
    ({"k": "v" * 513}, LONG, ".k"),
    ({"k": None}, TYPE, ".k"),
    ({"k": []}, TYPE, ".k"),
    ({"k": {}}, TYPE, ".k"),
    ({"k": 10**400}, VALUE, ".k"),
    ({"k": "\ud800"}, VALUE, ".k"),
    ({"\udfff": "v"}, VALUE, ""),
]
FILTERS = [
    ("x", TYPE, ""),
    ({}, MISSING, ".type"),
    ({"type": "like", "key": "k", "value": 1}, VALUE, ".type"),
    ({"type": "eq", "key": "k"}, MISSING, ".value"),
    ({"type": "eq", "value": 1}, MISSING, ".key"),
    ({"type": "eq", "key": 1, "value": 1}, TYPE, ".key"),
    ({"type": "eq", "key": "k", "value": None}, TYPE, ".value"),
    ({"type": "eq", "key": "k", "value": [1]}, TYPE, ".value"),
    ({"type": "in", "key": "k", "value": 1}, TYPE, ".value"),
    ({"type": "in", "key": "k", "value": [1, {}]}, TYPE, ".value[1]"),
    ({"type": "eq", "key": "k", "value": 1, "property": "x"}, UNKNOWN, ".property"),
    ({"type": "and", "filters": {}}, TYPE, ".filters"),
    ({"type": "and", "filters": [{"type": "eq", "key": "k", "value": 1}, {"type": "x"}]}, VALUE, ".filters[1].type"),
]
BODIES: list[tuple[str, object, str | None, str | None]] = [
    # vector stores
    (STORES, {"names": "x"}, UNKNOWN, "names"),
    (STORES, {"name": 5}, TYPE, "name"),
    (STORES, {"name": "x" * 5000}, LONG, "name"),
    (STORES, {"name": "a\u0000b"}, VALUE, "name"),
    (STORES, {"name": "\ud800"}, VALUE, "name"),
    (STORES, {"file_ids": "file-1"}, TYPE, "file_ids"),
    (STORES, {"file_ids": ["a", 5]}, TYPE, "file_ids[1]"),
    (STORES, {"file_ids": ["file-x"] * 501}, MANY, "file_ids"),
    (STORES, {"expires_after": {"anchor": "created_at", "days": 1}}, VALUE, "expires_after.anchor"),
    (STORES, {"expires_after": {"anchor": "last_active_at"}}, MISSING, "expires_after.days"),
    (STORES, {"expires_after": {"days": 1}}, MISSING, "expires_after.anchor"),
    (STORES, {"expires_after": {"anchor": "last_active_at", "days": 0}}, BELOW, "expires_after.days"),
    (STORES, {"expires_after": {"anchor": "last_active_at", "days": 366}}, ABOVE, "expires_after.days"),
    (STORES, {"expires_after": {"anchor": "last_active_at", "days": 1, "x": 1}}, UNKNOWN, "expires_after.x"),
    (STORES, {"metadata": {"k": 5}}, TYPE, "metadata.k"),
    (STORES, {"metadata": {"k": "v" * 513}}, LONG, "metadata.k"),
    (STORES, {"metadata": {str(n): "v" for n in range(17)}}, PAIRS, "metadata"),
    (STORES, {"embedding_dimension": 7}, VALUE, "embedding_dimension"),
    (STORE, {"file_ids": []}, UNKNOWN, "file_ids"),
    (STORE, {"name": []}, TYPE, "name"),
    (STORE, {"expires_after": {"anchor": "last_active_at", "days": "7"}}, TYPE, "expires_after.days"),
    # files of a store
    (FILES, {}, MISSING, "file_id"),
    (FILES, {"file_id": 5}, TYPE, "file_id"),
    (FILES, {"file_id": None}, TYPE, "file_id"),
    (FILES, {"file_id": "file-1", "metadata": {"a": 1}, "attributes": {"a": 1}}, VALUE, "metadata"),
    (FILE, {}, MISSING, "attributes"),
    (FILE, {"attributes": {}, "file_id": "x"}, UNKNOWN, "file_id"),
    # batches
    (BATCHES, {}, MISSING, "file_ids"),
    (BATCHES, {"file_ids": None, "files": None}, MISSING, "file_ids"),
    (BATCHES, {"file_ids": ["a"], "files": [{"file_id": "a"}]}, VALUE, "files"),
    (BATCHES, {"file_ids": []}, EMPTY, "file_ids"),
    (BATCHES, {"files": []}, EMPTY, "files"),
    (BATCHES, {"file_ids": ["a"] * 2001}, MANY, "file_ids"),
    (BATCHES, {"files": [{"file_id": "a"}, {}]}, MISSING, "files[1].file_id"),
    (BATCHES, {"files": [{"file_id": "a", "x": 1}]}, UNKNOWN, "files[0].x"),
    (BATCHES, {"files": ["a"]}, TYPE, "files[0]"),
    (BATCHES, {"files": [{"file_id": "a"}, {"file_id": "b", "attributes": {"k": []}}]}, TYPE, "files[1].attributes.k"),
    (
        BATCHES,
        {"files": [{"file_id": "a", "chunking_strategy": static(1, 0)}]},
        BELOW,
        "files[0].chunking_strategy.static.max_chunk_size_tokens",
    ),
    # search
    (SEARCH, {}, MISSING, "query"),
    (SEARCH, {"query": None}, TYPE, "query"),
    (SEARCH, {"query": 5}, TYPE, "query"),
    (SEARCH, {"query": ""}, NOTHING, "query"),
    (SEARCH, {"query": "  "}, NOTHING, "query"),
    (SEARCH, {"query": []}, EMPTY, "query"),
    (SEARCH, {"query": ["a", ""]}, NOTHING, "query[1]"),
    (SEARCH, {"query": ["a", 5]}, TYPE, "query[1]"),
    (SEARCH, {"query": ["a"] * 65}, MANY, "query"),
    (SEARCH, {"query": "a" * 40_000}, LONG, "query"),
    (SEARCH, {"query": "\ud800"}, VALUE, "query"),
    (SEARCH, {"query": "a", "limit": 5}, UNKNOWN, "limit"),
    (SEARCH, {"query": "a", "max_num_results": 0}, BELOW, "max_num_results"),
    (SEARCH, {"query": "a", "max_num_results": 101}, ABOVE, "max_num_results"),
    (SEARCH, {"query": "a", "max_num_results": 1.5}, TYPE, "max_num_results"),
    (SEARCH, {"query": "a", "max_num_results": True}, TYPE, "max_num_results"),
    (SEARCH, {"query": "a", "rewrite_query": "yes"}, TYPE, "rewrite_query"),
    (SEARCH, {"query": "a", "ranking_options": []}, TYPE, "ranking_options"),
    (SEARCH, {"query": "a", "ranking_options": {"ranker": "best"}}, VALUE, "ranking_options.ranker"),
    (SEARCH, {"query": "a", "ranking_options": {"x": 1}}, UNKNOWN, "ranking_options.x"),
    (
        SEARCH,
        {"query": "a", "ranking_options": {"score_threshold": 1.1}},
        "decimal_above_max_value",
        "ranking_options.score_threshold",
    ),
    (
        SEARCH,
        {"query": "a", "ranking_options": {"score_threshold": -0.1}},
        "decimal_below_min_value",
        "ranking_options.score_threshold",
    ),
    (
        SEARCH,
        {"query": "a", "ranking_options": {"hybrid_search": {"embedding_weight": 1}}},
        MISSING,
        "ranking_options.hybrid_search.text_weight",
    ),
    (
        SEARCH,
        {"query": "a", "ranking_options": {"hybrid_search": {"embedding_weight": 0, "text_weight": 0}}},
        "decimal_below_min_value",
        "ranking_options.hybrid_search",
    ),
    (
        SEARCH,
        {"query": "a", "ranking_options": {"hybrid_search": {"embedding_weight": -1, "text_weight": 1}}},
        "decimal_below_min_value",
        "ranking_options.hybrid_search.embedding_weight",
    ),
    # chunks
    (CHUNKS, {"limit": 0}, BELOW, "limit"),
    (CHUNKS, {"limit": 101}, ABOVE, "limit"),
    (CHUNKS, {"after": "chunk"}, VALUE, "after"),
    (CHUNKS, {"query": "a"}, UNKNOWN, "query"),
    # embeddings
    (EMBED, {}, MISSING, "input"),
    (EMBED, {"input": "x"}, MISSING, "model"),
    (EMBED, {"model": "hashed", "input": ""}, NOTHING, "input"),
    (EMBED, {"model": "hashed", "input": 5}, TYPE, "input"),
    (EMBED, {"model": "hashed", "input": None}, TYPE, "input"),
    (EMBED, {"model": "hashed", "input": [None]}, TYPE, "input[0]"),
    (EMBED, {"model": "hashed", "input": []}, EMPTY, "input"),
    (EMBED, {"model": "hashed", "input": ["a", ""]}, NOTHING, "input[1]"),
    (EMBED, {"model": "hashed", "input": ["a", 5]}, TYPE, "input[1]"),
    (EMBED, {"model": "hashed", "input": ["\ud800"]}, VALUE, "input[0]"),
    (EMBED, {"model": "hashed", "input": ["a"] * 4097}, MANY, "input"),
    (EMBED, {"model": "hashed", "input": [5, "a"]}, TYPE, "input[1]"),
    (EMBED, {"model": "hashed", "input": [True]}, TYPE, "input[0]"),
    (EMBED, {"model": "hashed", "input": [1.5]}, TYPE, "input[0]"),
    (EMBED, {"model": "hashed", "input": [-1]}, BELOW, "input[0]"),
    (EMBED, {"model": "hashed", "input": [10**9]}, VALUE, "input"),
    (EMBED, {"model": "hashed", "input": [1] * 8193}, MANY, "input"),
    (EMBED, {"model": "hashed", "input": [[1], []]}, EMPTY, "input[1]"),
    (EMBED, {"model": "hashed", "input": [[1], "a"]}, TYPE, "input[1]"),
    (EMBED, {"model": "hashed", "input": [[1, "a"]]}, TYPE, "input[0][1]"),
    (EMBED, {"model": "hashed", "input": "x", "encoding_format": "hex"}, VALUE, "encoding_format"),
    (EMBED, {"model": "hashed", "input": "x", "dimensions": 0}, BELOW, "dimensions"),
    (EMBED, {"model": "hashed", "input": "x", "dimensions": 385}, ABOVE, "dimensions"),
    # not objects
    (STORES, [], TYPE, None),
    (STORES, "x", TYPE, None),
    (STORES, None, None, None),
    (SEARCH, 5, TYPE, None),
]
BODIES += [(FILES, {"file_id": "file-1", "chunking_strategy": s}, c, f"chunking_strategy{p}") for s, c, p in CHUNKING]
BODIES += [(STORES, {"chunking_strategy": s}, c, f"chunking_strategy{p}") for s, c, p in CHUNKING]
BODIES += [(FILE, {"attributes": a}, c, f"attributes{p}") for a, c, p in ATTRIBUTES]
BODIES += [(FILES, {"file_id": "file-1", "metadata": a}, c, f"metadata{p}") for a, c, p in ATTRIBUTES]
BODIES += [(BATCHES, {"file_ids": ["f"], "attributes": a}, c, f"attributes{p}") for a, c, p in ATTRIBUTES]
BODIES += [(SEARCH, {"query": "a", "filters": f}, c, f"filters{p}") for f, c, p in FILTERS]
BODIES += [(CHUNKS, {"filters": f}, c, f"filters{p}") for f, c, p in FILTERS]


def refused(answer: httpx.Response, status: int, code: str | None, param: str | None) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    assert_is("ErrorResponse", answer.json())
    error = answer.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param), error
    message: str = error["message"]
    assert message.endswith((".", ". ", "typos.")) or "No such" in message
    return message


@pytest.mark.parametrize(("path", "body", "code", "param"), BODIES)
def test_a_bad_body_is_refused_by_the_name_of_the_field(
    place: Place, path: str, body: object, code: str | None, param: str | None
) -> None:
    if body is None:
        answer = place.http.post(path, content=b"null", headers={"content-type": "application/json"})
        assert answer.status_code == 400
        return
    sent = json.dumps(body).encode()  # ASCII, so that half characters arrive as they would from other languages
    headers = {"content-type": "application/json"}
    answer = place.http.post(path.format(store=place.store, file=place.file), content=sent, headers=headers)
    message = refused(answer, 400, code, param)
    assert param is None or param.split(".")[0] in message or "key" in message


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"query": NaN}', b"{'a': 1}"])
def test_what_is_no_json_is_refused(place: Place, body: bytes) -> None:
    for path in (STORES, SEARCH, BATCHES):
        answer = place.http.post(
            path.format(store=place.store), content=body, headers={"content-type": "application/json"}
        )
        assert answer.status_code == 400, answer.text
        assert_is("ErrorResponse", answer.json())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"metadata": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", "arrays or objects are nested too deeply"),
        (b'{"max_num_results": ' + b"9" * 5_000 + b"}", "number of too many digits"),
    ],
)
def test_json_that_cannot_be_read_is_told_why(place: Place, body: bytes, told: str) -> None:
    for path in (STORES, SEARCH, BATCHES):
        headers = {"content-type": "application/json"}
        answer = place.http.post(path.format(store=place.store), content=body, headers=headers)
        assert told in refused(answer, 400, None, None)


@pytest.mark.parametrize(
    ("path", "methods"), [("/v1/files", ["GET", "POST"]), (STORE, ["DELETE", "GET", "POST"]), (SEARCH, ["POST"])]
)
def test_a_wrong_method_is_told_every_right_one(place: Place, path: str, methods: list[str]) -> None:
    answer = place.http.put(path.format(store=place.store))
    assert refused(answer, 405, "method_not_supported", None).endswith(f"Use {' or '.join(methods)}.")
    assert answer.headers["allow"].split(", ") == methods


@pytest.mark.parametrize("body", [b'"\xff"', '{"name": "Bücher"}'.encode("latin-1")])
def test_json_in_another_encoding_is_told_so(place: Place, body: bytes) -> None:
    for path in (STORES, SEARCH, BATCHES):
        headers = {"content-type": "application/json"}
        answer = place.http.post(path.format(store=place.store), content=body, headers=headers)
        assert refused(answer, 400, None, None) == "The request body is not valid JSON: it is not UTF-8."


@pytest.mark.parametrize(
    ("path", "body", "told"),
    [
        (STORES, {"names": "x"}, "Unknown parameter: 'names'. Perhaps 'name' was meant."),
        (STORES, {"expires_after": {"anchor": "last_active_at", "days": 1, "day": 1}}, "Perhaps 'days' was meant."),
        (SEARCH, {"query": "x", "max_results": 5}, "Perhaps 'max_num_results' was meant."),
        (SEARCH, {"query": "x", "ranking_options": {"rankers": "auto"}}, "Perhaps 'ranker' was meant."),
        (SEARCH, {"query": "x", "filters": {"type": "eq", "keys": "a", "value": 1}}, "Perhaps 'key' was meant."),
        (BATCHES, {"files": [{"file_id": "x", "attribute": {}}]}, "[0].attribute'. Perhaps 'attributes' was meant."),
        (FILES, {"file_id": "x", "chunking_strategy": {"type": "auto", "size": 1}}, "Known here: 'type'."),
        (STORE, {"zzz": 1}, "Unknown parameter: 'zzz'. Known here: 'name', "),
    ],
)
def test_an_unknown_name_is_answered_with_the_one_that_was_meant_or_all_that_are_known(
    place: Place, path: str, body: dict[str, Any], told: str
) -> None:
    answer = place.http.post(path.format(store=place.store), json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], told in error["message"]) == (400, UNKNOWN, True), error


@pytest.mark.parametrize("said", [None, "text/plain", "application/x-www-form-urlencoded"])
def test_json_that_is_not_called_json_is_refused_with_the_way_out(place: Place, said: str | None) -> None:
    headers = {} if said is None else {"content-type": said}
    answer = place.http.post(STORES, content=b"{}", headers=headers)
    assert "Content-Type: application/json" in refused(answer, 400, None, None)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_does_not_have_are_refused(place: Place, number: str) -> None:
    at = f"/v1/vector_stores/{place.store}"
    headers = {"content-type": "application/json"}
    for path, body in (
        (f"{at}/files/{place.file}", '{"attributes": {"k": %s}}'),
        (f"{at}/search", '{"query": "a", "filters": {"type": "eq", "key": "k", "value": %s}}'),
        (f"{at}/search", '{"query": "a", "ranking_options": {"score_threshold": %s}}'),
        (
            f"{at}/search",
            '{"query": "a", "ranking_options": {"hybrid_search": {"embedding_weight": %s, "text_weight": 1}}}',
        ),
        (f"{at}/search", '{"query": "a", "max_num_results": %s}'),
    ):
        answer = place.http.post(path, content=body % number, headers=headers)
        assert answer.status_code == 400, (path, answer.text)
        assert_is("ErrorResponse", answer.json())


@pytest.mark.parametrize(
    ("query", "code", "param"),
    [
        ("limit=0", BELOW, "limit"),
        ("limit=101", ABOVE, "limit"),
        ("limit=x", TYPE, "limit"),
        ("limit=1.5", TYPE, "limit"),
        ("order=up", VALUE, "order"),
        ("after=vs_nowhere", VALUE, "after"),
        ("before=%00", VALUE, "before"),
    ],
)
@pytest.mark.parametrize("path", [STORES, FILES])
def test_bad_paging_is_refused(place: Place, path: str, query: str, code: str, param: str) -> None:
    refused(place.http.get(f"{path.format(store=place.store)}?{query}"), 400, code, param)


def test_an_unknown_state_to_filter_by_is_refused_and_an_empty_one_is_none(place: Place) -> None:
    path = FILES.format(store=place.store)
    refused(place.http.get(f"{path}?filter=done"), 400, VALUE, "filter")
    assert len(place.http.get(f"{path}?filter=&after=&before=").json()["data"]) == 1


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (FILES, {"file_id": ABSENT_FILE}, "file_id"),
        (FILES, {"file_id": ""}, "file_id"),
        (FILES, {"file_id": "../../etc"}, "file_id"),
        (FILES, {"file_id": "\x00"}, "file_id"),
        (STORES, {"file_ids": ["{file}", ABSENT_FILE]}, "file_ids[1]"),
        (BATCHES, {"file_ids": ["{file}", "{file}", ABSENT_FILE]}, "file_ids[2]"),
        (BATCHES, {"files": [{"file_id": "{file}"}, {"file_id": ABSENT_FILE}]}, "files[1].file_id"),
    ],
)
def test_an_unknown_file_is_named_by_its_place(place: Place, path: str, body: dict[str, Any], param: str) -> None:
    filled = {
        key: [one if isinstance(one, dict) else one.format(file=place.file) for one in value]
        if isinstance(value, list)
        else value
        for key, value in body.items()
    }
    if "files" in filled:
        filled = {"files": [{"file_id": one["file_id"].format(file=place.file)} for one in body["files"]]}
    before = place.http.get(STORE.format(store=place.store)).json()
    refused(place.http.post(path.format(store=place.store), json=filled), 404, None, param)
    after = place.http.get(STORE.format(store=place.store)).json()
    assert after["file_counts"] == before["file_counts"]  # all or none


@pytest.mark.parametrize("identifier", ["vs_000000000000000000000000", "x", "vs_%00", "%2e%2e", "a" * 500])
def test_an_unknown_store_is_not_found_everywhere(place: Place, identifier: str) -> None:
    at = f"/v1/vector_stores/{identifier}"
    for method, path, body in (
        ("GET", at, None),
        ("POST", at, {}),
        ("DELETE", at, None),
        ("GET", f"{at}/files", None),
        ("POST", f"{at}/files", {"file_id": place.file}),
        ("POST", f"{at}/file_batches", {"file_ids": [place.file]}),
        ("POST", f"{at}/search", {"query": "a"}),
        ("GET", f"{at}/statistics", None),
        ("GET", f"{at}/progress?stream=true", None),
    ):
        answer = place.http.request(method, path, json=body)
        assert answer.status_code == 404, (method, path, answer.text)
        assert_is("ErrorResponse", answer.json())


def test_an_unknown_model_is_refused_by_its_name(place: Place) -> None:
    refused(place.http.post(STORES, json={"embedding_model": "gpt-9"}), 404, "model_not_found", "embedding_model")


def test_a_model_is_known_by_its_aliases_and_its_width(place: Place) -> None:
    body = {"embedding_model": "text-embedding-3-small", "embedding_dimension": 384}
    assert place.http.post(STORES, json=body).status_code == 200


def test_a_key_that_may_only_read_changes_nothing(server: Server, place: Place) -> None:
    with server.http(READ_ONLY_KEY) as http:
        assert http.get(STORE.format(store=place.store)).status_code == 200
        assert http.post(SEARCH.format(store=place.store), json={"query": "a"}).status_code == 200
        for method, path, body in (
            ("POST", STORES, {}),
            ("POST", STORE, {"name": "x"}),
            ("DELETE", STORE, None),
            ("POST", FILES, {"file_id": place.file}),
            ("POST", BATCHES, {"file_ids": [place.file]}),
            ("DELETE", FILE, None),
        ):
            answer = http.request(method, path.format(store=place.store, file=place.file), json=body)
            assert answer.status_code == 403, (method, path)


def test_an_expired_store_says_so(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 1}).id
    file = client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.txt", b"some words")).id
    catalog = server.service.resources.catalog
    later = catalog.now() + 2 * 86400
    with catalog.transaction() as tx:
        assert tx.stores.expire(next(one for one in tx.stores.expiring(later, 100) if one == store), later)
    assert client.vector_stores.retrieve(store).status == "expired"
    with server.http() as http:
        for path, body in ((SEARCH, {"query": "a"}), (FILES, {"file_id": file}), (CHUNKS, {})):
            message = refused(http.post(path.format(store=store), json=body), 400, None, "vector_store_id")
            assert "expired" in message


def test_content_of_a_file_that_has_none_is_refused_with_the_reason(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create().id
    failed = client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.png", b"\x89PNG\r\n\x1a\n1234"))
    file = client.files.create(file=("b.txt", b"words"), purpose="assistants").id
    with server.http() as http, server.worker.paused():
        client.vector_stores.files.create(store, file_id=file)
        at = f"/v1/vector_stores/{store}/files"
        assert "still being processed" in refused(http.get(f"{at}/{file}/content"), 400, None, "file_id")
        client_answer = http.post(f"{at}/{file}/cancel")
        assert client_answer.json()["status"] == "cancelled"
        assert "cancelled" in refused(http.get(f"{at}/{file}/chunks"), 400, None, "file_id")
        assert failed.last_error is not None
        assert failed.last_error.message in refused(http.get(f"{at}/{failed.id}/content"), 400, None, "file_id")


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        (STORES, {"Name": "a"}, "Name"),
        (STORES, {"str": "a"}, "str"),
        (STORES, {"metadata": {"Author": 1}}, "metadata.Author"),
        (STORES, {"chunking_strategy": {"type": "auto", "Static": {}}}, "chunking_strategy.Static"),
        (SEARCH, {"query": "a", "ranking_options": {"Ranker": "auto"}}, "ranking_options.Ranker"),
        (BATCHES, {"files": [{"file_id": "a", "File": 1}]}, "files[0].File"),
    ],
)
def test_a_name_that_looks_like_a_type_is_told_as_it_was_sent(
    place: Place, path: str, body: object, param: str
) -> None:
    error = place.http.post(path.format(store=place.store), json=body)
    assert error.status_code == 400
    assert error.json()["error"]["param"] == param
    assert f"'{param}'" in error.json()["error"]["message"]


@pytest.mark.parametrize("path", [STORES, SEARCH, "/v1/files"])
def test_a_coded_body_is_refused_for_its_coding(place: Place, path: str) -> None:
    answer = place.http.post(path.format(store=place.store), content=b"\x1f\x8b", headers={"content-encoding": "gzip"})
    assert answer.status_code == 400
    assert_is("ErrorResponse", answer.json())
    assert "'Content-Encoding: gzip'" in answer.json()["error"]["message"]


def test_a_weight_that_is_no_number_is_refused_in_a_sentence(place: Place) -> None:
    body = b'{"query": "a", "ranking_options": {"hybrid_search": {"embedding_weight": Infinity, "text_weight": 1}}}'
    answer = place.http.post(
        SEARCH.format(store=place.store), content=body, headers={"content-type": "application/json"}
    )
    name = "ranking_options.hybrid_search.embedding_weight"
    assert answer.json()["error"]["message"] == f"Invalid value for '{name}': must be a finite number."
