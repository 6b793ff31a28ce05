"""A whole running service for tests: a real HTTP server, a real catalog and disk, and a worker beside it.

    def test_x(server): server.client().vector_stores.create()

The worker is a thread that ingests what stores ring for, with the code that real workers run.
"""

import queue
import secrets
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import openai
import pytest
import uvicorn
from fastapi import FastAPI

from carrel.api import server_config
from configs.settings import Settings, load_settings
from ingest.children import ChildPool
from ingest.parsing.limits import Limits
from retrieval.api.app import create_app
from retrieval.api.auth import Gate
from retrieval.api.dependencies import Service, Wire
from retrieval.api.limits import Limiter
from retrieval.api.metrics import BUCKETS, Metrics
from retrieval.api.service import TALLIES, looking, readiness_of
from retrieval.catalog.account_rows import Limits as Allowed
from retrieval.catalog.account_rows import Scope
from retrieval.catalog.keys import NewKey, hash_of, hint_of
from retrieval.catalog.transaction import Catalog
from retrieval.ids import ProjectId, SourceId, StoreId, new_key_id, new_project_id
from retrieval.ledger import Ledger
from retrieval.resources import Resources, open_resources
from retrieval.tallies import Tallies
from tests.support.wire import alooks_at_answer, looks_at_answer
from workers.import_waiting import import_waiting
from workers.pipeline import index_waiting
from workers.presence import Pulse
from workers.reindex import build
from workers.resources import WorkerResources
from workers.upkeep import Upkeep

PEPPER = b"tests"
KEY = "sk-carrel-tests-0123456789abcdef"
OTHER_KEY = "sk-carrel-tests-of-another-project"
READ_ONLY_KEY = "sk-carrel-tests-that-may-only-read"
ALL_SCOPES = (Scope.READ, Scope.WRITE, Scope.ADMIN)
START_SECONDS = 30.0


class _Looking(openai.DefaultHttpxClient):
    """Closed when nobody holds it any more, as the SDK's own is."""

    def __del__(self) -> None:
        if not self.is_closed:
            self.close()


class Worker:
    """Ingests what rings, one store after another."""

    def __init__(self, resources: Resources) -> None:
        self._rung: queue.Queue[StoreId | Literal["imports"] | None] = queue.Queue()
        self._working = threading.Lock()  # held while a store is worked on, or while nobody may
        children = ChildPool(1, Limits())
        self.ledger = Ledger(resources.catalog)
        self.resources = WorkerResources(
            resources.catalog,
            resources.storage,
            children,
            resources.embedders.get,
            note=lambda project, kind, quantity: self.ledger.add(project, None, kind, quantity),
        )
        self._pulse = Pulse(resources.catalog)
        self._upkeep = Upkeep(resources.catalog, resources.storage)
        self._thread = threading.Thread(target=self._work, name="test worker")
        self._thread.start()

    def ring(self, store: StoreId, *, bulk: bool = False) -> None:
        self._rung.put(store)

    def ring_for_imports(self) -> None:
        self._rung.put("imports")

    def ring_for_refresh(self, source: SourceId) -> None:
        """Nobody is there: tests of routes look at what is asked for, tests of workers carry it out."""

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Whatever is attached within stays `in_progress`."""
        with self._working:
            yield

    def reachable(self) -> bool:
        return True

    def waiting(self, queue: str) -> int:
        return self._rung.qsize()

    def close(self) -> None:
        self._rung.put(None)
        self._thread.join()
        self.resources.children.close()
        self._pulse.close()

    def _work(self) -> None:
        while (rung := self._rung.get()) is not None:
            with self._working:
                if rung == "imports":
                    while import_waiting(self.resources):
                        self._ring_for_files()
                else:
                    while index_waiting(rung, self.resources) or build(rung, self.resources, self._upkeep):
                        pass

    def _ring_for_files(self) -> None:
        """What the sweeper does: an import may bring files that are to be ingested."""
        with self.resources.catalog.reading() as tx:
            waiting = tx.claims.waiting(now=self.resources.now())
        for one in waiting:
            self.ring(one.store_id, bulk=True)


@dataclass(frozen=True, slots=True)
class Server:
    url: str
    app: FastAPI
    service: Service
    worker: Worker
    project: ProjectId
    other_project: ProjectId

    def client(self, key: str = KEY, **options: object) -> openai.OpenAI:
        """Every answer is compared with the published description."""
        http = _Looking(event_hooks={"response": [looks_at_answer]})
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, http_client=http, **options)  # type: ignore[arg-type]  # keyword arguments of many types

    def async_client(self, key: str = KEY) -> openai.AsyncOpenAI:
        """To be closed by whoever asked for it."""
        http = openai.DefaultAsyncHttpxClient(event_hooks={"response": [alooks_at_answer]})
        return openai.AsyncOpenAI(base_url=f"{self.url}/v1", api_key=key, max_retries=0, http_client=http)

    def new_key(self, limits: Allowed | None = None, *, key_limits: Allowed | None = None) -> str:
        """A key of a project of its own, for tests that count what there is."""
        secret = f"sk-carrel-tests-{secrets.token_hex(8)}"
        catalog = self.service.resources.catalog
        add_key(catalog, _add_project(catalog, secret, limits), secret, limits=key_limits)
        return secret

    def wait(self, store: StoreId) -> None:
        """Until nothing in the store is in progress."""
        waiting = threading.Event()
        for _ in range(int(START_SECONDS / 0.01)):
            with self.service.resources.catalog.reading() as tx:
                if not tx.stores.get(self.project, store).counts.in_progress:
                    return
            waiting.wait(0.01)
        raise AssertionError(f"{store} is still in progress")

    def http(self, key: str | None = KEY) -> httpx.Client:
        """Raw requests, for what no SDK would send."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        hooks = {"response": [looks_at_answer]}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, event_hooks=hooks)


def settings_for(folder: Path, more: Mapping[str, str] | None = None) -> Settings:
    environment = {
        "CARREL_DATA_DIR": str(folder),
        "CARREL_EMBEDDING_PROVIDER": "hashed",
        "CARREL_EMBEDDING_MODEL": "hashed",
        "CARREL_SOURCES_ROOTS": str(folder / "sources"),
        "CARREL_SOURCES_HOSTS": "docs.example.com",
        "CARREL_MODELS": '{"wide": {"provider": "hashed", "dimensions": 64}}',
        "CARREL_EMBEDDING_ALIASES": "text-embedding-3-small,text-embedding-ada-002",
    }
    return load_settings(environment | dict(more or {}))


def add_key(
    catalog: Catalog,
    project: ProjectId,
    secret: str,
    scopes: Sequence[Scope] = ALL_SCOPES,
    *,
    limits: Allowed | None = None,
) -> None:
    with catalog.transaction() as tx:
        hashed = hash_of(secret, PEPPER)
        key = NewKey(new_key_id(), project, "tests", hashed, hint_of(secret), scopes, limits=limits or {})
        tx.keys.add(key, catalog.now())


def _add_project(catalog: Catalog, name: str, limits: Allowed | None = None) -> ProjectId:
    with catalog.transaction() as tx:
        return tx.projects.add(new_project_id(), name, catalog.now(), limits).id


@contextmanager
def run_app(app: FastAPI, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """Serve from a thread of this process, on a free port; the address."""
    # The protocol is named, or asyncio leaves Nagle's algorithm on and every answer waits for 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(server_config(load_settings(environment or {}), app))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="test server")
        thread.start()
        try:
            port = listening.getsockname()[1]
            waiting = threading.Event()
            for _ in range(int(START_SECONDS / 0.01)):
                if server.started or not thread.is_alive():
                    break
                waiting.wait(0.01)
            assert server.started, "the test server did not start"
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def run_server(
    folder: Path, *, limiter: Limiter | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    with ExitStack() as stack:
        resources = stack.enter_context(open_resources(settings_for(folder, environment)))
        project = _add_project(resources.catalog, "tests")
        other = _add_project(resources.catalog, "another project")
        add_key(resources.catalog, project, KEY)
        add_key(resources.catalog, other, OTHER_KEY)
        add_key(resources.catalog, project, READ_ONLY_KEY, (Scope.READ,))
        worker = Worker(resources)
        stack.callback(worker.close)
        ledger = Ledger(resources.catalog)
        gate = Gate(resources.catalog, PEPPER)
        readiness = readiness_of(resources, worker)
        tallies = Tallies(BUCKETS, folder / TALLIES)
        stack.callback(tallies.close)
        metrics = Metrics(tallies, looking(resources, worker, readiness, 0), seconds=0)
        service = Service(resources, gate, worker, Wire(), limiter or Limiter(), ledger, readiness, metrics)

        @contextmanager
        def opened() -> Iterator[Service]:
            yield service

        app = create_app(opened)
        url = stack.enter_context(run_app(app, environment))
        yield Server(url, app, service, worker, project, other)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with run_server(tmp_path_factory.mktemp("carrel")) as running:
        yield running
