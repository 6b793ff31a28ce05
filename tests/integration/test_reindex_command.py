"""`carrel reindex` against a running server: what it costs, another model, and back again."""

import json
import threading
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from carrel.exits import Exit
from carrel.failing import ServerError
from carrel.reindex import app, chunking_of
from retrieval.ids import StoreId
from tests.support.server import KEY, Server, run_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("carrel")) as running:
        yield running


def test_a_store_changes_its_model_and_goes_back(server: Server) -> None:
    client, runner = server.client(), CliRunner()
    store = client.vector_stores.create(name="changing").id
    file = client.files.create(file=("heron.md", b"# Herons\n\nHerons stand in the stream."), purpose="assistants").id
    client.vector_stores.files.create(vector_store_id=store, file_id=file)
    server.wait(StoreId(store))
    before = client.vector_stores.search(store, query="herons").data[0].score

    def carrel(*words: str, code: int = 0) -> str:
        result = runner.invoke(app, [*words, "--url", server.url, "--key", KEY])
        assert result.exit_code == code, result.output
        return result.stdout

    estimate = json.loads(carrel("estimate", "changing", "--model", "wide", "--json"))
    assert (estimate["files"], estimate["embedding_model"]) == (1, "wide")
    begun = json.loads(carrel("start", "changing", "--model", "wide", "--yes", "--no-wait", "--json"))
    assert begun["status"] == "running"
    assert "paused" in carrel("pause", "changing")
    assert "running" in carrel("resume", "changing")
    worker = threading.Thread(target=server.wait, args=(StoreId(store),))
    worker.start()
    found = json.loads(carrel("wait", "changing", "--json"))
    worker.join()
    assert (found["status"], found["embedding_model"]) == ("swapped", "wide")
    assert "wide" in carrel("show", "changing")
    assert len(carrel("list").splitlines()) == 1
    assert "rolled_back" in carrel("rollback", "changing")
    assert client.vector_stores.search(store, query="herons").data[0].score == pytest.approx(before)


def test_what_is_to_change_must_be_said(server: Server) -> None:
    client = server.client()
    store = client.vector_stores.create(name="unchanged").id
    for words, said in (
        (["start", store], "--model"),
        (["start", "--model", "wide"], "--all"),
        (["start", store, "--all", "--model", "wide"], "--all"),
        (["estimate", store, "--chunking", "small"], "TOKENS/OVERLAP"),
    ):
        result = CliRunner().invoke(app, [*words, "--url", server.url, "--key", KEY])
        assert isinstance(result.exception, ServerError)
        assert result.exception.exit_code is Exit.USAGE
        assert said in result.exception.message


def test_chunking_is_named_by_its_sizes() -> None:
    assert chunking_of("auto") == {"type": "auto"}
    sizes = {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}
    assert chunking_of("800/400") == {"type": "static", "static": sizes}
    assert chunking_of("300")["static"]["chunk_overlap_tokens"] == 0
