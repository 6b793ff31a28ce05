"""The API over the wire, driven by another process, beside Chroma's and Milvus' servers and pgvector on the same rows.

    python -m benchmarks http [--rows N] [--folder KEPT] [--peers Chroma,pgvector,Milvus] [--seconds S] [--effort N]
        [--no-uploads]

Peers run one after another, and Carrel before and after each, so that what disturbs one disturbs the other. Everyone
answers with text, attribute and score of ten rows. A peer's graph is searched with the least effort of EFFORTS that
finds 99 in 100 of the nearest ten, for each filter by itself, or with the most. `--effort N` is for all of them,
whatever they find. `--peers ""` asks nobody else.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np

from benchmarks._drive import Http, key_of
from benchmarks._peer_servers import PEERS, Served
from benchmarks._served import KEY, Library, api, library, searchable
from benchmarks._shelves import Shelf
from benchmarks.figure import Figure
from ingest.embedding import CacheConfig, EmbedderConfig, open_embedder
from retrieval.search.query import Query

WIDTH: Final = 384
SHARES: Final = (0.01, 0.1, 0.5)
CLIENTS: Final = 8
PROCESSES: Final = 2
UPLOADS, UPLOAD_BYTES, CONNECTIONS = 1_000, 10_000, 16
INPUTS, INPUT_WORDS = 4_096, 32  # words that make about 60 tokens
EFFORTS: Final = (50, 100, 150, 200, 300, 400, 800)
ENOUGH: Final = 0.99  # recall at ten
NAMES: Final[dict[float | None, str]] = {None: "unfiltered", **{share: f"filter {share:.0%}" for share in SHARES}}


def run(arguments: list[str]) -> Iterator[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks http")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="keeps the store for the next run")
    parser.add_argument("--peers", default=",".join(PEERS), help=f"of {', '.join(PEERS)}; nothing for none")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement with many clients")
    parser.add_argument("--effort", type=int, help="of every peer's graph, whatever it finds")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--no-uploads", action="store_true", help="searches only")
    given = parser.parse_args(arguments)
    if unknown := set(filter(None, given.peers.split(","))) - set(PEERS):
        parser.error(f"no such peers: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="carrel-bench-") as temporary:
        folder = (given.folder or Path(temporary)) / f"http-{given.rows}x{WIDTH}"
        at = library(folder, given.rows, WIDTH)
        driver = Driver(at, Path(temporary), given.seconds)
        yield from _alone(driver, at)
        for name in filter(None, given.peers.split(",")):
            yield from _beside(driver, name, EFFORTS if given.effort is None else (given.effort,))
        if not given.no_uploads:
            yield from _uploads(Path(temporary) / "uploads")
            yield from _embeddings(Path(temporary) / "embeddings", given.models)


class Driver:
    """Measures servers from another process."""

    def __init__(self, at: Library, folder: Path, seconds: float) -> None:
        self.at = at
        self._folder = folder
        self._seconds = seconds
        self._serial = 1

    def fitting(self, served: Served, efforts: Sequence[int]) -> dict[float | None, int]:
        """For each filter the least effort that finds enough, or the most."""
        chosen: dict[float | None, int] = {}
        for effort in efforts:
            left = [share for share in NAMES if share not in chosen]
            if effort != efforts[-1]:
                found = self.measure({**served.with_effort(effort), "asked": left}, clients=0)["recall"]
                left = [share for share in left if found[key_of(share)] >= ENOUGH]
            chosen |= dict.fromkeys(left, effort)
        return chosen

    def together(self, served: Served, efforts: Mapping[float | None, int]) -> dict[str, dict[str, float]]:
        """A peer, each filter with its effort."""
        told: dict[str, dict[str, float]] = {}
        for effort in sorted(set(efforts.values())):
            asked = [share for share in NAMES if efforts[share] == effort]
            for what, figures in self.measure({**served.with_effort(effort), "asked": asked}).items():
                told.setdefault(what, {}).update(figures)
        return told

    def measure(self, task: dict[str, Any], *, clients: int = CLIENTS) -> dict[str, dict[str, float]]:
        self._serial += 1_000_000_000  # no request is ever like one of an earlier measurement
        whole = {
            "asked": list(NAMES),
            **task,
            "vectors": str(self.at.vectors),
            "queries": str(self.at.queries),
            "row_shares": str(self.at.shares),
            "shares": SHARES,
            "clients": clients,
            "seconds": self._seconds,
            "serial": self._serial,
        }
        path = self._folder / "task.json"
        path.write_text(json.dumps(whole))
        words = [sys.executable, "-m", "benchmarks._drive", str(path)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        told: dict[str, dict[str, float]] = json.loads(done.stdout.splitlines()[-1])
        return told

    def carrel(self, url: str, *, ranker: str = "none", clients: int = CLIENTS) -> dict[str, dict[str, float]]:
        return self.measure(
            {
                "kind": "carrel",
                "address": url.removeprefix("http://"),
                "key": KEY,
                "store": self.at.store,
                "questions": self.at.questions,
                "ranker": ranker,
            },
            clients=clients,
        )

    def both(self) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
        """Carrel with one process and one client; with several of both."""
        with searchable(self.at) as url:
            one = self.carrel(url, clients=0)
        with searchable(self.at, processes=PROCESSES) as url:
            return one, self.carrel(url)


def _alone(driver: Driver, at: Library) -> Iterator[Figure]:
    with searchable(at) as url:
        ours = driver.carrel(url, clients=0)
        hybrid = driver.carrel(url, ranker="auto", clients=0)
    inside = _searcher(at)
    over = ours["p50"]["all"] - inside
    yield Figure("Searcher in process, p50", inside, "ms")
    yield Figure("over HTTP, 1 client, p50", ours["p50"]["all"], "ms")
    yield Figure("over HTTP, 1 client, p95", ours["p95"]["all"], "ms")
    yield Figure("what HTTP adds to Searcher, p50", over, "ms", "", None, "≤ 1.5 ms", over <= 1.5)
    found = ours["recall"]["all"]
    yield Figure("recall@10 over HTTP", found, "", "", None, "≥ 0.99", found >= ENOUGH)
    yield Figure("with keywords and rereading (the default), p50", hybrid["p50"]["all"], "ms")


def _searcher(at: Library) -> float:
    """Milliseconds of the same searches without HTTP."""
    with Shelf(at.folder, WIDTH) as shelf:
        for question, vector in zip(at.questions, np.load(at.queries), strict=True):
            shelf.embedder.ask(question, vector)
        taken = []
        for number in range(2 * len(at.questions)):
            question = at.questions[number % len(at.questions)]
            query = Query((question,), limit=10, ranker="vectors", score_threshold=number * 1e-10)
            started = time.perf_counter()
            shelf.searcher.search(at.project, at.store, query)
            taken.append(1000 * (time.perf_counter() - started))
    return float(np.median(taken[len(at.questions) :]))


def _beside(driver: Driver, name: str, efforts: Sequence[int]) -> Iterator[Figure]:
    with PEERS[name](driver.at) as served:
        if served is None:
            yield Figure(name, "not installed: make bench-deps")
            return
        fitting = driver.fitting(served, efforts)
        theirs = driver.together(served, fitting)
    one, many = driver.both()
    yield Figure(f"{name}: load and index", served.load_seconds, "s")
    for share, effort in fitting.items():
        yield Figure(f"{name}: effort of its graph, {NAMES[share]}", effort)
    yield from _compared(name, theirs, one, many)


def _compared(
    name: str,
    theirs: dict[str, dict[str, float]],
    one: dict[str, dict[str, float]],
    many: dict[str, dict[str, float]],
) -> Iterator[Figure]:
    mine, other = one["p50"]["all"], theirs["p50"]["all"]
    yield Figure(f"{name}: 1 client p50, recall {theirs['recall']['all']:.3f}", other, "ms")
    yield Figure(f"{name}: 1 client p95", theirs["p95"]["all"], "ms")
    if name == "pgvector":
        yield Figure("Carrel, 1 client p50", mine, "ms", name, mine / other, "within 1 ms of it", mine - other <= 1)
    else:
        most = {"Chroma": 0.6, "Milvus": 1.0}[name]
        yield Figure("Carrel, 1 client p50", mine, "ms", name, mine / other, f"≤ {most} times", mine / other <= most)
    for share, label in NAMES.items():
        key = key_of(share)
        ours, them = many["qps"][key], theirs["qps"][key]
        least = 2.0 if share is not None else 2.5 if name == "Chroma" else 1.1
        recalls = f"recall {many['recall'][key]:.3f} against {theirs['recall'][key]:.3f}"
        yield Figure(f"{name}: {CLIENTS} clients, {label}", them, "/s")
        yield Figure(
            f"Carrel: {CLIENTS} clients, {PROCESSES} processes, {label}, {recalls}",
            ours,
            "/s",
            name,
            ours / them,
            f"≥ {least} times",
            ours / them >= least,
        )


def _uploads(folder: Path) -> Iterator[Figure]:
    folder.mkdir()
    chance = np.random.default_rng(7)
    forms = [_form(f"{at}.txt", chance.integers(97, 122, UPLOAD_BYTES, np.uint8).tobytes()) for at in range(UPLOADS)]
    with api(folder, environment={"CARREL_EMBEDDING_PROVIDER": "hashed", "CARREL_EMBEDDING_MODEL": "hashed"}) as url:

        def send(numbers: range) -> int:
            http = Http(url.removeprefix("http://").removesuffix("/v1"), {"authorization": f"Bearer {KEY}"})
            for number in numbers:
                http.post("/v1/files", forms[number], "multipart/form-data; boundary=-")
            return len(numbers)

        with ThreadPoolExecutor(CONNECTIONS) as threads:
            started = time.perf_counter()
            sent = sum(threads.map(send, [range(at, UPLOADS, CONNECTIONS) for at in range(CONNECTIONS)]))
            rate = sent / (time.perf_counter() - started)
    yield Figure(f"uploads of 10 KB, {CONNECTIONS} connections", rate, "files/s", "", None, "≥ 300", rate >= 300)


def _form(name: str, content: bytes) -> bytes:
    part = '---\r\ncontent-disposition: form-data; name="'
    purpose = f'{part}purpose"\r\n\r\nassistants\r\n'
    return f'{purpose}{part}file"; filename="{name}"\r\n\r\n'.encode() + content + b"\r\n-----\r\n"


def _embeddings(folder: Path, models: Path) -> Iterator[Figure]:
    """The same texts, which nobody has embedded before, by the API and by the embedder itself."""
    folder.mkdir()
    chance = np.random.default_rng(8)
    words = ["".join(chance.choice(list("aeioulmnrst"), 3)) for _ in range(2_000)]
    texts = [[" ".join(chance.choice(words, INPUT_WORDS)) for _ in range(INPUTS)] for _ in range(2)]
    direct = open_embedder(EmbedderConfig(folder=models, cache=CacheConfig(folder=folder / "direct")))
    try:
        started = time.perf_counter()
        tokens = direct.embed(texts[0]).tokens
        alone = time.perf_counter() - started
    finally:
        direct.close()
    with api(folder, environment={"CARREL_EMBEDDING_MODELS_DIR": str(models.absolute())}) as url:
        body = {"model": "all-MiniLM-L6-v2", "input": texts[1], "encoding_format": "base64"}
        headers = {"authorization": f"Bearer {KEY}"}
        httpx.post(f"{url}/v1/embeddings", json={**body, "input": "warm"}, headers=headers, timeout=60)
        started = time.perf_counter()
        httpx.post(f"{url}/v1/embeddings", json=body, headers=headers, timeout=600).raise_for_status().json()
        spent = time.perf_counter() - started
    name = f"embeddings of {INPUTS:,} inputs of {tokens / INPUTS:.0f} tokens"
    yield Figure(name, spent, "s", "the embedder itself", spent / alone, "≤ 1.1 times", spent / alone <= 1.1)
