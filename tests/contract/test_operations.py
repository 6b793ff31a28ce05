"""What operators see: readiness part by part, metrics, usage, costs, and logs that tell no secrets."""

import io
import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Never

import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from carrel.logs import NdJson
from retrieval.api import metrics
from retrieval.api.readiness import PARTS, Readiness
from retrieval.api.service import readiness_of
from retrieval.errors import CatalogUnavailable, StorageFull
from retrieval.ids import StoreId
from retrieval.search.searcher import Searcher
from tests.support.server import KEY, READ_ONLY_KEY, Server, run_server
from tests.support.wire import assert_is
from workers.sweeping import Grace
from workers.upkeep import Upkeep, UpkeepLimits

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
PRICED = {"CARREL_EMBEDDING_DOLLARS_PER_MILLION_TOKENS": "20"}


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("priced"), environment=PRICED) as running:
        yield running


def shown(server: Server) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = httpx.get(f"{server.url}/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def ledgers(server: Server) -> None:
    server.service.ledger.write()
    server.worker.ledger.write()


def ready(server: Server, query: str = "") -> httpx.Response:
    return httpx.get(f"{server.url}/readyz{query}")


# Health


def test_ready_names_every_part(server: Server) -> None:
    answer = ready(server)
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "ready"
    assert set(answer.json()["parts"]) == set(PARTS)


class Ailing:
    """A part that fails as it is told to."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def check(self) -> None:
        raise self._error


def wrong_with(server: Server, monkeypatch: pytest.MonkeyPatch, part: str, value: object) -> None:
    resources, doorbell = server.service.resources, server.service.doorbell
    fresh = readiness_of(resources, doorbell)
    monkeypatch.setattr(fresh, part, value)
    monkeypatch.setattr(Readiness, "report", lambda _: fresh._look())


def test_a_full_disk_stops_ingestion_and_not_searches(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_with(server, monkeypatch, "_storage", Ailing(StorageFull("/secret/path: 3 bytes free")))
    answer = ready(server)
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert (answer.json()["search"], answer.json()["ingestion"]) == (True, False)
    assert "full" in answer.json()["parts"]["storage"]["why"]
    assert "secret" not in answer.text
    assert ready(server, "?for=search").status_code == 200
    assert httpx.get(f"{server.url}/healthz").status_code == 200


def test_health_is_told_also_to_who_wants_no_body(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = httpx.head(f"{server.url}/healthz")
    assert (answer.status_code, answer.content) == (200, b"")
    wrong_with(server, monkeypatch, "_storage", Ailing(StorageFull("full")))
    answer = httpx.head(f"{server.url}/readyz")
    assert (answer.status_code, answer.content) == (503, b"")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_catalog_that_is_away_stops_both(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong_with(server, monkeypatch, "_catalog", Ailing(CatalogUnavailable("at host secret")))
    answer = ready(server, "?for=search")
    assert answer.status_code == 503
    assert answer.json()["search"] is answer.json()["ingestion"] is False
    assert "secret" not in answer.text


def test_without_workers_and_broker_ingestion_would_not_go_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    class Deaf:
        def reachable(self) -> bool:
            return False

    monkeypatch.setattr("retrieval.catalog.presence.LIVE_SECONDS", -1000)
    wrong_with(server, monkeypatch, "_doorbell", Deaf())
    answer = ready(server).json()
    assert not answer["parts"]["broker"]["ok"]
    assert not answer["parts"]["workers"]["ok"]
    assert (answer["search"], answer["ingestion"]) == (True, False)


# Metrics


def test_every_metric_is_served_and_on_its_page(server: Server) -> None:
    server.client().vector_stores.search(server.client().vector_stores.create().id, query="seen")
    endings = re.compile(r"_(bucket|count|sum|created)\Z")
    histograms = set(metrics.BUCKETS)
    served = {name if (bare := endings.sub("", name)) not in histograms else bare for name, _ in shown(server)}
    assert served == metrics.names()
    assert set(re.findall(r"^\| `(carrel_\w+)`", PAGE.read_text("utf-8"), re.MULTILINE)) == served


def test_metrics_count_what_was_done(priced: Server) -> None:
    client = priced.client()
    ledgers(priced)  # what other tests have used
    before = shown(priced)
    store = client.vector_stores.create().id
    client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.txt", b"some words to be found"))
    client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("b.png", b"\x89PNG\r\n\x1a\n" + bytes(50)))
    for _ in range(2):
        client.vector_stores.search(store, query="words")
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.search("vs_nowhere", query="words")
    ledgers(priced)
    after = shown(priced)

    def more(name: str, **labels: str) -> float:
        key = (name, frozenset(labels.items()))
        return after[key] - before.get(key, 0)

    route = "/v1/vector_stores/{vector_store_id}/search"
    assert more("carrel_http_requests_total", route=route, method="POST", status="200") == 2
    assert more("carrel_http_requests_total", route=route, method="POST", status="404") == 1
    assert more("carrel_http_request_seconds_count", route=route, method="POST") == 3
    assert more("carrel_http_request_seconds_bucket", route=route, method="POST", le="+Inf") == 3
    assert more("carrel_searches_total", answer="made", questions="embedded") == 1
    assert more("carrel_searches_total", answer="remembered", questions="remembered") == 1
    assert {more("carrel_search_stage_seconds_count", stage=stage) for stage in ("open", "embed", "all")} == {1}
    assert more("carrel_files_ingested_total") == 1
    assert more("carrel_ingested_bytes_total") == 22
    assert more("carrel_ingested_chunks_total") == 1
    assert more("carrel_ingest_calls_total") == 1
    assert more("carrel_files_failed_total", code="unsupported_file") == 1
    assert more("carrel_store_files", status="completed") == 1
    assert more("carrel_tokens_total", purpose="ingest") > 0
    assert more("carrel_tokens_total", purpose="search") > 0
    assert more("carrel_cost_dollars_total") > 0
    assert more("carrel_uploaded_bytes_total") == 22 + 58
    assert after["carrel_files_waiting", frozenset()] == 0
    assert after["carrel_workers", frozenset()] == 1
    assert all(value == 1 for (name, _), value in after.items() if name == "carrel_ready")


def test_files_that_wait_are_seen_with_their_age(priced: Server) -> None:
    client = priced.client()
    store = client.vector_stores.create().id
    with priced.worker.paused():
        client.vector_stores.files.upload(vector_store_id=store, file=("w.txt", b"waiting"))
        assert shown(priced)["carrel_files_waiting", frozenset()] == 1
    client.vector_stores.files.poll(client.files.list().data[0].id, vector_store_id=store)


# Usage and cost


def test_every_answer_says_what_it_cost(priced: Server, server: Server) -> None:
    client = priced.client()
    made = client.embeddings.with_raw_response.create(model="hashed", input=["ten words of input"] * 3)
    tokens = made.parse().usage.total_tokens
    assert float(made.headers["x-request-cost"]) == pytest.approx(tokens * 20 / 1e6)
    store = client.vector_stores.create().id
    first = client.vector_stores.with_raw_response.search(store, query="how much is a question")
    assert float(first.headers["x-request-cost"]) > 0
    assert "e" not in first.headers["x-request-cost"]
    again = client.vector_stores.with_raw_response.search(store, query="how much is a question")
    assert again.headers["x-request-cost"] == "0", "its vector was remembered"
    free = server.client().embeddings.with_raw_response.create(model="hashed", input="local models cost nothing")
    assert free.headers["x-request-cost"] == "0"
    assert httpx.get(f"{server.url}/healthz").headers["x-request-cost"] == "0"


def test_usage_is_told_by_day_kind_and_key_to_keys_that_may_know(priced: Server) -> None:
    key = priced.new_key({"bytes_stored": 10**6})
    client = priced.client(key)
    store = client.vector_stores.create().id
    client.vector_stores.files.upload_and_poll(vector_store_id=store, file=("a.txt", b"words of mine"))
    client.vector_stores.search(store, query="whose words")
    client.embeddings.create(model="hashed", input="words")
    ledgers(priced)
    with priced.http(key) as http:
        told = http.get("/v1/usage").json()
        other_days = http.get("/v1/usage", params={"start_time": 0, "end_time": 86_400}).json()
        first_day = http.get("/v1/usage", params={"end_time": 0}).json()
        beyond = http.get("/v1/usage", params={"end_time": 10**20})
        refused = http.get("/v1/usage", params={"start_time": 86_400 * 3, "end_time": 86_400})
    assert told["bytes_stored"] == 13
    assert told["limits"] == {"bytes_stored": 10**6}
    assert told["totals"]["searches"] == 1
    assert told["totals"]["ingested_files"] == 1
    assert told["totals"]["uploaded_bytes"] == 13
    assert told["totals"]["embedding_tokens"] > 0
    assert told["totals"]["cost_microdollars"] > 0
    assert told["totals"]["requests"] >= 5
    by_key = {entry["kind"]: entry["key_id"] for entry in told["data"]}
    assert by_key["searches"].startswith("key_")
    assert by_key["ingested_files"] is None
    assert other_days["data"] == []
    assert refused.status_code == 400
    assert (first_day["start_time"], first_day["data"]) == (0, [])
    assert (beyond.status_code, beyond.json()["error"]["param"]) == (400, "end_time")
    with priced.http(READ_ONLY_KEY) as http:
        assert http.get("/v1/usage").status_code == 403


# Logs


@contextmanager
def logged() -> Iterator[io.StringIO]:
    """What is logged within, as the service writes it."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(NdJson())
    handler.addFilter(lambda record: not record.name.startswith(("httpx", "openai")))  # the clients of this test
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield written
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def lines_of(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


def test_logs_tell_what_happened_and_never_what_was_said(priced: Server) -> None:
    with logged() as written:
        client = priced.client()
        store = client.vector_stores.create(name="zanzibar", metadata={"a": "zanzibar"}).id
        file = client.vector_stores.files.upload_and_poll(
            vector_store_id=store, file=("zanzibar.txt", b"zanzibar in the text"), attributes={"zanzibar": "zanzibar"}
        )
        client.vector_stores.search(store, query="zanzibar?")
        client.embeddings.create(model="hashed", input=["zanzibar"])
        with priced.http() as http:
            http.get("/v1/files?after=zanzibar")
            http.post(f"/v1/vector_stores/{store}/search", json={"query": 7, "zanzibar": "zanzibar"})
            http.post(f"/v1/vector_stores/{store}/search", content=b'{"query": "zanzibar')
        with priced.http("sk-zanzibar") as http:
            assert http.get("/v1/files").status_code == 401
        client.vector_stores.files.upload_and_poll(
            vector_store_id=store, file=("zanzibar.json", b'{"zanzibar": zanzibar}')
        )
    text = written.getvalue()
    assert "zanzibar" not in text.lower()
    assert KEY not in text
    lines = lines_of(written)
    mine = [line for line in lines if line.get("store") == store or line.get("vector_store_id") == store]
    events = [line["event"] for line in mine]
    for event in ("request", "claimed", "parsed", "embedded", "published"):
        assert event in events
    search = next(line for line in mine if str(line.get("route")).endswith("/search") and line["status"] == 200)
    assert search["request_id"].startswith("req_")
    assert search["project"] == priced.project
    assert search["model"] == "hashed"
    assert search["prompt_tokens"] > 0
    assert search["cost_usd"] > 0
    assert search["latency_ms"] > 0
    assert search["client"].startswith("OpenAI/Python")
    embedded = next(line for line in mine if line["event"] == "embedded")
    assert embedded["file_ids"] == [file.id]
    assert embedded["tokens"] > 0
    assert embedded["cost_usd"] > 0


@pytest.mark.parametrize("way", ["", "?trace=false"], ids=["quick", "ordinary"])
def test_a_bug_is_told_to_the_log_and_its_id_to_the_caller(
    server: Server, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> Never:
        raise ZeroDivisionError("of the inside")

    store = server.client().vector_stores.create().id
    monkeypatch.setattr(Searcher, "search", broken)
    with logged() as written, server.http() as http:
        answer = http.post(f"/v1/vector_stores/{store}/search{way}", json={"query": "tea"})
    assert answer.status_code == 500
    assert_is("ErrorResponse", answer.json())
    assert answer.json()["error"]["message"].startswith("The server failed.")
    lines = lines_of(written)
    [request] = [line for line in lines if line["event"] == "request"]
    assert (request["status"], request["request_id"]) == (500, answer.headers["x-request-id"])
    assert "of the inside" in next(line for line in lines if line["event"] == "request failed")["exception"]


def test_every_line_about_a_batch_names_it_from_the_request_to_what_is_found(server: Server) -> None:
    client = server.client()
    with logged() as written:
        store = client.vector_stores.create().id
        files = [client.files.create(file=(f"{n}.txt", b"words %d" % n), purpose="assistants").id for n in range(3)]
        batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=files[:2]).id
        client.vector_stores.files.create_and_poll(files[2], vector_store_id=store)
    lines = lines_of(written)
    [asked] = [line for line in lines if line["event"] == "request" and str(line["route"]).endswith("/file_batches")]
    assert (asked["batch_id"], asked["vector_store_id"]) == (batch, store)
    [attached] = [line for line in lines if line.get("method") == "POST" and str(line["route"]).endswith("}/files")]
    assert attached["file_id"] == files[2]
    made = {line["route"]: line for line in lines if line.get("method") == "POST"}
    assert made["/v1/vector_stores"]["vector_store_id"] == store
    assert made["/v1/files"]["file_id"] == files[2]
    work = [line for line in lines if line.get("store") == store]
    for event in ("claimed", "parsed", "embedded", "published"):
        of_batch = [line for line in work if line["event"] == event and set(line["file_ids"]) <= set(files[:2])]
        assert of_batch
        assert all(line["batch_ids"] == [batch] for line in of_batch)
    assert all("batch_ids" not in line for line in work if line["file_ids"] == [files[2]])


def test_upkeep_tells_what_it_did_in_one_line_and_nothing_when_there_was_nothing(tmp_path: Path) -> None:
    with run_server(tmp_path) as server:
        client, resources = server.client(), server.service.resources
        store = client.vector_stores.create().id
        for number in range(10):
            client.vector_stores.files.upload_and_poll(vector_store_id=store, file=(f"{number}.txt", b"%d" % number))
        upkeep = Upkeep(resources.catalog, resources.storage, UpkeepLimits(grace=Grace(removed_seconds=-1)))
        upkeep.expire()
        with logged() as written:
            upkeep.tend_store(StoreId(store))
            upkeep.sweep()
        merged, swept = lines_of(written)
        assert (merged["event"], merged["store"], merged["project"]) == ("store merged", store, server.project)
        assert merged["segments"] > merged["made"] > 0
        assert (swept["event"], swept["segments"]) == ("swept", merged["segments"])
        with logged() as written:
            upkeep.tend_store(StoreId(store))
            upkeep.sweep()
            upkeep.expire()
        assert lines_of(written) == []
