"""Who asks: one process that drives a search server as a client does, and tells what it measured as one JSON line.

    python -m benchmarks._drive TASK.json

Bodies of HTTP requests are written beforehand and answers are decoded, for every server alike. Found rows are scored
exactly, so that recall counts ties.
"""

import importlib
import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks._measure import recall

DEPTH: Final = 10
Find = Callable[[int, float | None], list[int]]  # number of the query, share of the files allowed -> rows


class Http:
    """One kept connection, as lean as a client can be."""

    def __init__(self, address: str, headers: dict[str, str]) -> None:
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._head = "".join(f"{name}: {value}\r\n" for name, value in {"host": address, **headers}.items())

    def post(self, path: str, body: bytes, kind: str = "application/json") -> Any:
        told = f"content-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
        self._socket.sendall(f"POST {path} HTTP/1.1\r\n{self._head}{told}".encode() + body)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = int(next(line for line in lines if line.startswith(b"content-length:")).split(b":")[1])
        while len(rest) < length:
            rest += self._more()
        if b" 200 " not in lines[0]:
            raise SystemExit(f"{path}: {head!r} {rest[:500]!r}")
        return json.loads(rest)

    def _more(self) -> bytes:
        piece = self._socket.recv(1 << 18)
        if not piece:
            raise SystemExit("the server closed the connection")
        return piece


def carrel(task: dict[str, Any], queries: np.ndarray) -> Find:
    """`nonce` makes each request differ in what does not matter, so that no answer is a remembered one."""
    http = Http(task["address"], {"authorization": f"Bearer {task['key']}"})
    path, questions, ranker = f"/v1/vector_stores/{task['store']}/search", task["questions"], task["ranker"]
    serial = iter(range(task["serial"], 1 << 40))
    del queries  # the server's model knows them by the questions

    def find(number: int, share: float | None) -> list[int]:
        nonce = next(serial) * 1e-16  # far below any score: it must cut nothing
        body: dict[str, Any] = {
            "query": questions[number],
            "max_num_results": DEPTH,
            "ranking_options": {"ranker": ranker, "score_threshold": nonce},
        }
        if share is not None:
            body["filters"] = {"type": "lt", "key": "share", "value": share}
        page = http.post(path, json.dumps(body).encode())
        return [int(hit["content"][0]["text"].split(" ", 1)[0]) for hit in page["data"]]

    return find


def chroma(task: dict[str, Any], queries: np.ndarray) -> Find:
    http = Http(task["address"], {})
    include = ["documents", "distances", "metadatas"]
    bodies = {
        share: [
            json.dumps(
                {
                    "query_embeddings": [query.tolist()],
                    "n_results": DEPTH,
                    "include": include,
                    **({} if share is None else {"where": {"share": {"$lt": share}}}),
                }
            ).encode()
            for query in queries
        ]
        for share in (None, *task["shares"])
    }

    def find(number: int, share: float | None) -> list[int]:
        return [int(row) for row in http.post(task["path"], bodies[share][number])["ids"][0]]

    return find


def pgvector(task: dict[str, Any], queries: np.ndarray) -> Find:
    connection = importlib.import_module("psycopg").connect(task["address"], autocommit=True)
    connection.execute(f"SET hnsw.ef_search = {task['effort']}")
    connection.execute("SET hnsw.iterative_scan = relaxed_order")
    texts = ["[" + ",".join(f"{value:.7g}" for value in query) + "]" for query in queries]

    def find(number: int, share: float | None) -> list[int]:
        where = "" if share is None else f" WHERE share < {share}"
        sql = f"SELECT id, share, body, v <#> %s::vector FROM items{where} ORDER BY v <#> %s::vector LIMIT {DEPTH}"
        rows = connection.execute(sql, (texts[number], texts[number]), prepare=True, binary=True).fetchall()
        return [int(row[0]) for row in rows]

    return find


def milvus(task: dict[str, Any], queries: np.ndarray) -> Find:
    client = importlib.import_module("pymilvus").MilvusClient(uri=task["address"])
    given = {"metric_type": "IP", "params": {"ef": task["effort"]}}

    def find(number: int, share: float | None) -> list[int]:
        found = client.search(
            "items",
            data=[queries[number].tolist()],
            limit=DEPTH,
            filter="" if share is None else f"share < {share}",
            output_fields=["share", "body"],
            search_params=given,
        )
        return [int(hit["id"]) for hit in found[0]]

    return find


KINDS: Final = {"carrel": carrel, "chroma": chroma, "pgvector": pgvector, "milvus": milvus}


def alone(find: Find, count: int, share: float | None) -> tuple[list[float], list[list[int]]]:
    """Milliseconds of each search, one after another, and what was found."""
    taken, found = [], []
    for number in range(count):
        started = time.perf_counter()
        rows = find(number, share)
        taken.append(1000 * (time.perf_counter() - started))
        found.append(rows)
    return taken, found


def together(task: dict[str, Any], queries: np.ndarray, share: float | None, clients: int, seconds: float) -> float:
    """Searches a second of so many clients, each with its own connection."""
    done = [0] * clients
    barrier = threading.Barrier(clients + 1)
    ends = [0.0]

    def work(number: int) -> None:
        find = KINDS[task["kind"]]({**task, "serial": task["serial"] + (number + 1) * 10_000_000}, queries)
        at = number * 37
        for _ in range(20):
            find(at % len(queries), share)
        barrier.wait(120)
        while time.perf_counter() < ends[0] or not ends[0]:
            at += 1
            find(at % len(queries), share)
            done[number] += 1

    threads = [threading.Thread(target=work, args=(number,)) for number in range(clients)]
    for one in threads:
        one.start()
    barrier.wait(120)
    started = time.perf_counter()
    ends[0] = started + seconds
    for one in threads:
        one.join()
    return sum(done) / (time.perf_counter() - started)


def main(task: dict[str, Any]) -> dict[str, Any]:
    vectors, queries = np.load(task["vectors"], mmap_mode="r"), np.load(task["queries"])
    shares = np.load(task["row_shares"])
    find = KINDS[task["kind"]]({**task, "serial": task["serial"]}, queries)
    told: dict[str, Any] = {"recall": {}, "p50": {}, "p95": {}, "qps": {}}
    for share in task["asked"]:
        count = len(queries) if share is None else 60
        name = key_of(share)
        alone(find, count, share)  # warm, and the questions' vectors remembered
        taken, found = alone(find, count, share)
        told["p50"][name], told["p95"][name] = float(np.median(taken)), float(np.quantile(taken, 0.95))
        allowed = np.asarray(vectors if share is None else vectors[np.flatnonzero(shares < share)])
        best = np.partition(queries[:count] @ allowed.T, -DEPTH, axis=1)[:, -DEPTH:]
        scores = [scored(vectors, query, one) for query, one in zip(queries[:count], found, strict=True)]
        told["recall"][name] = recall(scores, list(np.sort(best, axis=1)[:, ::-1]))
        if task["clients"]:
            told["qps"][name] = together(task, queries, share, task["clients"], task["seconds"])
    return told


def key_of(share: float | None) -> str:
    """By what a measurement is told."""
    return "all" if share is None else str(share)


def scored(vectors: np.ndarray, query: np.ndarray, rows: list[int]) -> np.ndarray:
    scores = np.full(DEPTH, -1, np.float32)
    scores[: len(rows)] = np.sort(vectors[np.array(rows, np.int64)] @ query)[::-1]
    return scores


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(json.loads(Path(sys.argv[1]).read_text()))))
