"""`carrel serve` as people run it: over a folder alone, and over PostgreSQL and Redis; used, killed, started again."""

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import openai
import psutil
import pytest

from tests.support.upstream import Asked, FakeUpstream
from tests.support.whole import Redis, Whole, installed, pause, settled

FILES = 40


@pytest.fixture(params=["a folder alone", "PostgreSQL and Redis"])
def whole(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Whole]:
    environment = {}
    if request.param != "a folder alone":
        redis: Redis = request.getfixturevalue("redis")
        redis.flush()
        environment = {
            "CARREL_CATALOG_URL": request.getfixturevalue("postgres_url"),
            "CARREL_BROKER_URL": redis.url,
        }
    with installed(tmp_path / "data", environment) as made:
        made.start()
        yield made


def pages(count: int) -> list[tuple[str, bytes]]:
    return [(f"page{number}.txt", f"Page {number} tells of thing{number}.".encode()) for number in range(count)]


def uploaded(client: openai.OpenAI, count: int) -> list[str]:
    return [client.files.create(file=page, purpose="assistants").id for page in pages(count)]


def assert_each_is_found_once(client: openai.OpenAI, store: str, count: int) -> None:
    found = [hit.filename for hit in client.vector_stores.search(store, query="tells of thing", max_num_results=50)]
    assert sorted(found) == sorted(name for name, _ in pages(count))


def test_it_serves_survives_and_ends(whole: Whole, redis: Redis) -> None:
    """One start for all of it: a start takes longer than everything else."""
    client = whole.client()
    store = client.vector_stores.create().id
    batch = client.vector_stores.file_batches.upload_and_poll(store, files=pages(3))
    assert batch.file_counts.completed == 3

    # Workers are killed at odd moments while files come in.
    chance = random.Random(1)
    store = client.vector_stores.create().id
    files = uploaded(client, FILES)
    for number, file in enumerate(files):
        client.vector_stores.files.create(vector_store_id=store, file_id=file)
        if number % 10 == 5 and (workers := whole.workers()):
            chance.choice(workers).kill()
    assert settled(client, store).file_counts.completed == FILES
    assert_each_is_found_once(client, store, FILES)

    # The whole of it is killed in the middle of a batch, and started again.
    store = client.vector_stores.create().id
    client.vector_stores.file_batches.create(store, file_ids=files)
    whole.kill_all()
    if "CARREL_BROKER_URL" in whole.environment:
        redis.kill()
        redis.start()
        redis.flush()  # doorbells are never all there is
    whole.start()
    assert settled(client, store).file_counts.completed == FILES
    assert_each_is_found_once(client, store, FILES)

    below = whole.processes()[1:]
    assert whole.stop() == 0
    assert not psutil.wait_procs(below, timeout=10)[1]


def test_a_folder_and_a_port_are_served_once_and_whatever_dies_starts_again(tmp_path: Path) -> None:
    with installed(tmp_path / "data") as whole:
        whole.start()
        second = Whole(whole.folder).launch()
        assert second.wait(60) == 75
        assert "in use by another Carrel" in (whole.folder / "log").read_text()

        other = Whole(tmp_path / "other", port=whole.port)
        assert other.launch().wait(60) == 78
        assert "CARREL_PORT" in (other.folder / "log").read_text()

        assert whole.process is not None
        for part in psutil.Process(whole.process.pid).children():
            part.kill()
        client = whole.client()
        for _ in range(600):
            try:
                store = client.vector_stores.create().id
                break
            except openai.APIConnectionError:
                pause(0.1)
        batch = client.vector_stores.file_batches.upload_and_poll(store, files=pages(2))
        assert batch.file_counts.completed == 2

        # A supervisor that is killed can tell nobody; its children notice.
        below = whole.processes()[1:]
        whole.process.kill()
        whole.process.wait()
        assert not psutil.wait_procs(below, timeout=30)[1]
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{whole.url}/healthz")
        whole.start()
        assert whole.stop() == 0


def test_a_broker_that_dies_while_a_worker_is_busy_is_heard_again(redis: Redis, tmp_path: Path) -> None:
    """The worker cannot say that it has answered its doorbell. It must not wait for ever for leave to hear another."""
    with FakeUpstream() as upstream:
        asked, answer = threading.Event(), threading.Event()

        def script(_: Asked) -> None:
            asked.set()
            answer.wait(60)

        environment = {
            "CARREL_BROKER_URL": redis.url,
            "CARREL_EMBEDDING_PROVIDER": "openai",
            "CARREL_EMBEDDING_MODEL": "m",
            "CARREL_EMBEDDING_DIMENSIONS": str(upstream.width),
            "CARREL_EMBEDDING_BASE_URL": upstream.base_url,
            "CARREL_EMBEDDING_ALIASES": "",
            "CARREL_WORKERS_SWEEP_SECONDS": "1",
        }
        with installed(tmp_path / "data", environment) as whole:
            whole.start()
            client = whole.client()
            store = client.vector_stores.create().id
            for page in pages(3):
                upstream.script = script
                asked.clear()
                answer.clear()
                client.vector_stores.files.upload(vector_store_id=store, file=page)
                assert asked.wait(60)
                redis.kill()
                upstream.script = lambda _: None
                answer.set()
                pause(1)  # it is done, and nobody hears it say so
                redis.start()
                assert settled(client, store, within_seconds=60).file_counts.failed == 0
            assert_each_is_found_once(client, store, 3)
