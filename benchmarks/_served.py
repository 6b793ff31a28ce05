"""A really started API over a filled store, for drivers in other processes: `carrel api` and an upstream for questions.

The store's vectors are made, so the model of its questions is an OpenAI-compatible endpoint of this process that
knows their vectors. A question is asked once before its time counts: its vector is remembered from then on.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import numpy as np
from numpy.typing import NDArray

from benchmarks._shelves import File, Matrix, Shelf, notes_of
from benchmarks._vectors import mixture
from retrieval.catalog.account_rows import Scope
from retrieval.catalog.keys import NewKey, hash_of, hint_of
from retrieval.ids import ProjectId, StoreId, new_key_id
from tests.support.upstream import FakeUpstream

KEY: Final = "sk-carrel-benchmark"
PEPPER: Final = "benchmark"
MODEL: Final = "given"
FILE_ROWS: Final = 20
TEXT_WORDS: Final = 120  # about 800 characters, a page of ten has some 9 KB
VOCABULARY: Final = 20_000
QUESTIONS: Final = 300
START_SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True)
class Library:
    """One store in a folder, and everything that a peer needs to hold the same rows."""

    folder: Path
    store: StoreId
    project: ProjectId
    vectors: Path
    queries: Path
    shares: Path
    texts: Path  # one a line; begins with the row's number
    questions: tuple[str, ...]

    def loaded(self) -> tuple[Matrix, Matrix, NDArray[np.float64]]:
        return np.load(self.vectors, mmap_mode="r"), np.load(self.queries), np.load(self.shares)


def library(folder: Path, rows: int, width: int) -> Library:
    """Made once, and kept in the folder."""
    if notes_of(folder) is None:
        _stock(folder, rows, width)
    notes = notes_of(folder) or {}
    return Library(
        folder,
        StoreId(notes["store"]),
        ProjectId(notes["project"]),
        folder / "vectors.npy",
        folder / "queries.npy",
        folder / "shares.npy",
        folder / "texts.txt",
        tuple((folder / "questions.txt").read_text().splitlines()),
    )


def _stock(folder: Path, rows: int, width: int) -> None:
    chance = np.random.default_rng(11)
    vectors = mixture(rows, width, 1)
    words = np.array(["".join(chance.choice(list("aeioulmnrst"), size)) for size in chance.integers(3, 10, VOCABULARY)])
    picked = np.minimum(chance.zipf(1.3, (rows, TEXT_WORDS)) - 1, VOCABULARY - 1)
    texts = [f"{row} {' '.join(words[picked[row]])}" for row in range(rows)]
    questions = [" ".join(words[np.minimum(chance.zipf(1.3, 8) - 1, VOCABULARY - 1)]) for _ in range(QUESTIONS)]
    questions = [f"{question} q{number}" for number, question in enumerate(questions)]
    shares = np.repeat(chance.random(-(-rows // FILE_ROWS)), FILE_ROWS)[:rows]
    with Shelf(folder, width) as shelf:
        store = shelf.new_store()
        files = [
            File(min(FILE_ROWS, rows - start), {"share": float(shares[start]), "number": start // FILE_ROWS})
            for start in range(0, rows, FILE_ROWS)
        ]
        shelf.add(store, files, vectors, texts)
        shelf.index(store)
        with shelf.catalog.transaction() as tx:
            hashed = hash_of(KEY, PEPPER.encode())
            scopes = (Scope.READ, Scope.WRITE, Scope.ADMIN)
            tx.keys.add(
                NewKey(new_key_id(), shelf.project, "benchmark", hashed, hint_of(KEY), scopes), int(time.time())
            )
        np.save(folder / "vectors.npy", vectors)
        np.save(folder / "queries.npy", mixture(QUESTIONS, width, 2))
        np.save(folder / "shares.npy", shares)
        (folder / "texts.txt").write_text("\n".join(texts))
        (folder / "questions.txt").write_text("\n".join(questions))
        shelf.remember({"store": store, "project": shelf.project})


class GivenUpstream(FakeUpstream):
    """Knows the vectors of the library's questions."""

    def __init__(self, at: Library) -> None:
        _, queries, _ = at.loaded()
        super().__init__(width=queries.shape[1])
        self._known = dict(zip(at.questions, queries, strict=True))

    def vector(self, text: str) -> NDArray[np.float32]:
        known = self._known.get(text)
        return super().vector(text) if known is None else known


@contextmanager
def api(folder: Path, *, processes: int = 1, environment: Mapping[str, str] | None = None) -> Iterator[str]:
    """`carrel api` over a data folder, until it is left; its address."""
    port = free_port()
    variables = {name: value for name, value in os.environ.items() if not name.startswith("CARREL_")}
    variables |= {
        "CARREL_DATA_DIR": str(folder),
        "CARREL_PORT": str(port),
        "CARREL_API_KEY": KEY,
        "CARREL_ACCESS_PEPPER": PEPPER,
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **(environment or {}),
    }
    if processes != 1:
        variables["CARREL_API_PROCESSES"] = str(processes)
    with (folder / "api.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "carrel", "api"], env=variables, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    try:
        _until_ready(process, url, folder / "api.log")
        yield url
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def searchable(at: Library, *, processes: int = 1) -> Iterator[str]:
    """The library's store behind an API whose model knows the questions."""
    with GivenUpstream(at) as upstream:
        given = {
            "CARREL_EMBEDDING_PROVIDER": "openai",
            "CARREL_EMBEDDING_MODEL": MODEL,
            "CARREL_EMBEDDING_DIMENSIONS": str(upstream.width),
            "CARREL_EMBEDDING_BASE_URL": upstream.base_url,
            "CARREL_EMBEDDING_UPSTREAM_KEY": "none",
        }
        with api(at.folder, processes=processes, environment=given) as url:
            yield url


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _until_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx.get(f"{url}/healthz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise SystemExit(f"the API did not start:\n{log.read_text()[-3000:]}")
