"""Stores that several benchmarks ask, made once: kept in the folder given, or in one that goes with the run.

Three kinds of vectors: `mixture`, `hard`, and `text` (see `_vectors` and `_text`). Of each store a twenty-thousandth
(at least 40 rows) around one point stands in files of its own, and five hundredths more around the same point in
others: the filters that have everything to do with the vectors.
"""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks._shelves import File, Matrix, Shelf, notes_of
from benchmarks._text import default_folders, embedded, questions, read_passages
from benchmarks._vectors import KINDS, queries_for
from ingest.embedding import EmbedderConfig, open_embedder
from retrieval.ids import StoreId

FILE_ROWS: Final = 20
FEW: Final = 200_000  # rows; files of larger stores are larger
CLUSTER_SHARE: Final = 1 / 2_000
REGION_SHARE: Final = 1 / 20
QUERIES: Final = 300
TEXT_WIDTH: Final = 384  # of the local model


@dataclass(frozen=True, slots=True)
class Options:
    sizes: tuple[tuple[int, int], ...]
    kinds: tuple[str, ...]
    folder: Path
    text: tuple[Path, ...]
    models: Path
    text_rows: int
    peers: bool

    def stores(self) -> Iterator[tuple[str, int, int]]:
        """(kind, rows, width) of every store asked for; of real text there is one, as large as embedding allows."""
        for rows, width in self.sizes:
            for kind in self.kinds:
                if kind != "text":
                    yield kind, rows, width
        if "text" in self.kinds:
            yield "text", self.text_rows, TEXT_WIDTH


@dataclass(frozen=True, slots=True)
class Stocked:
    """A filled store, questions to ask it, and what its making took."""

    name: str
    shelf: Shelf
    store: StoreId
    queries: Matrix
    questions: Sequence[str]  # as text, for the keyword side; of made vectors they mean nothing
    seconds: dict[str, float]


@contextmanager
def options(name: str, arguments: Sequence[str], sizes: str, kinds: str) -> Iterator[Options]:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}")
    parser.add_argument("sizes", nargs="*", default=sizes.split(), help=f"ROWSxWIDTH, by default {sizes}")
    parser.add_argument("--kinds", default=kinds, help=f"of {', '.join([*KINDS, 'text'])}; by default {kinds}")
    parser.add_argument("--folder", type=Path, help="keeps what was made, for the next run")
    parser.add_argument("--text", type=Path, action="append", help="folders of documentation and sources")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--text-rows", type=int, default=20_480, help="passages to embed; 100,000 take an hour")
    parser.add_argument("--no-peers", action="store_true")
    given = parser.parse_args(arguments)
    pairs = tuple((int(rows), int(width)) for rows, width in (one.split("x") for one in given.sizes))
    with tempfile.TemporaryDirectory(prefix="carrel-bench-") as temporary:
        folder = given.folder or Path(temporary)
        text = tuple(given.text or default_folders())
        yield Options(
            pairs, tuple(given.kinds.split(",")), folder, text, given.models, given.text_rows, not given.no_peers
        )


@contextmanager
def stocked(chosen: Options, kind: str, rows: int, width: int) -> Iterator[Stocked]:
    """One store of `rows` vectors, in one segment, indexed. Real text has the width of its model."""
    folder = chosen.folder / f"{kind}-{rows}x{width}"
    if notes_of(folder) is None:
        shutil.rmtree(folder, ignore_errors=True)
        _stock(folder, chosen, kind, rows, width)
    notes = notes_of(folder) or {}
    asked = np.load(folder / "queries.npy")
    texts = (folder / "questions.txt").read_text().splitlines()
    seconds = {name: float(value) for name, value in notes.items() if name.endswith("seconds")}
    with Shelf(folder, width) as shelf:
        yield Stocked(f"{rows}x{width} {kind}", shelf, StoreId(notes["store"]), asked, texts, seconds)


def made_vectors(
    chosen: Options, kind: str, rows: int, width: int
) -> tuple[Matrix, Sequence[str] | None, Matrix, list[str]]:
    """Rows, their texts if they have any, queries, and questions in words."""
    if kind != "text":
        vectors = KINDS[kind](rows, width, 1)
        return vectors, None, queries_for(kind, vectors, QUERIES, 2), [f"question {n}" for n in range(QUERIES)]
    passages = read_passages(chosen.text, rows)
    embedder = open_embedder(EmbedderConfig(folder=chosen.models))
    try:
        vectors = embedded(passages, embedder, chosen.folder / "text")
        asked = questions(passages, QUERIES, 2)
        queries = embedder.embed(asked, purpose="query").vectors
    finally:
        embedder.close()
    if vectors.shape[1] != width:
        raise SystemExit(f"the local model makes vectors of width {vectors.shape[1]}, not {width}")
    if len(vectors) < rows:
        print(f"only {len(vectors):,} passages of text found, {rows:,} wanted")
    return vectors, passages.texts, queries, asked


def _stock(folder: Path, chosen: Options, kind: str, rows: int, width: int) -> None:
    begun = time.perf_counter()
    vectors, texts, queries, asked = made_vectors(chosen, kind, rows, width)
    order, files = _arranged(vectors)
    vectors = vectors[order]
    words = None if texts is None else [texts[row] for row in order]
    made = time.perf_counter()
    with Shelf(folder, width) as shelf:
        store = shelf.new_store()
        shelf.add(store, files, vectors, words)
        loaded = time.perf_counter()
        shelf.index(store)
        indexed = time.perf_counter()
        np.save(folder / "queries.npy", queries)
        (folder / "questions.txt").write_text("\n".join(asked))
        seconds = {"making_seconds": made - begun, "load_seconds": loaded - made, "index_seconds": indexed - loaded}
        shelf.remember({"store": store, **seconds})


def _arranged(vectors: Matrix) -> tuple[np.ndarray, list[File]]:
    """An order of the rows in which the cluster and the region around it stand first, and the files of that order."""
    chance = np.random.default_rng(5)
    nearness = vectors @ vectors[int(chance.integers(len(vectors)))]
    cluster, region = max(int(len(vectors) * CLUSTER_SHARE), 40), int(len(vectors) * REGION_SHARE)
    by_nearness = np.argsort(-nearness)
    rest = np.sort(by_nearness[cluster + region :])
    order = np.concatenate([by_nearness[: cluster + region], rest])
    files: list[File] = []
    done = 0
    while done < len(order):
        end = cluster if done < cluster else cluster + region if done < cluster + region else len(order)
        size = min(FILE_ROWS if len(order) <= FEW else FILE_ROWS * 5, end - done)
        place = "cluster" if done < cluster else "region" if done < cluster + region else "elsewhere"
        files.append(File(size, {"share": float(chance.random()), "place": place, "number": len(files)}))
        done += size
    return order, files
