"""Bulk load: vectors at hand -> attached, durable, coded, found; then a tenth of the files deleted.

python -m benchmarks load [ROWSxWIDTH ...] [--no-peers]
"""

import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import numpy as np

from benchmarks._asking import Asker, knn
from benchmarks._measure import processor_seconds, recall
from benchmarks._peers import Peer, graphs, missing, stores
from benchmarks._shelves import File, Shelf, plain_texts
from benchmarks._stocked import options
from benchmarks._vectors import mixture
from benchmarks.figure import Figure
from retrieval.ids import FileId, StoreId

FILE_ROWS = 100
SEGMENT_ROWS = 100_000
QUERIES = 100


def run(arguments: list[str]) -> Iterator[Figure]:
    with options("load", arguments, "100000x384", "mixture") as chosen:
        for rows, width in chosen.sizes:
            vectors = mixture(rows, width, 1)
            folder = Path(tempfile.mkdtemp(prefix="carrel-bench-", dir=chosen.folder))
            try:
                with Shelf(folder, width) as shelf:
                    store = shelf.new_store()
                    spent, files = yield from _load(f"{rows}x{width}", shelf, store, vectors)
                    yield from _delete(f"{rows}x{width}", shelf, store, files, vectors)
            finally:
                shutil.rmtree(folder)
            if chosen.peers:
                for peer in _peers(vectors):
                    if isinstance(peer, str):
                        yield missing(f"{rows}x{width}: {peer}")
                        continue
                    yield Figure(
                        f"{rows}x{width}: {peer.name}", peer.build_seconds, "s", "ours", peer.build_seconds / spent
                    )


def _peers(vectors: np.ndarray) -> Iterator[Peer | str]:
    yield from graphs(vectors)
    yield from stores(vectors, np.zeros(len(vectors), np.float32))


def _load(
    name: str, shelf: Shelf, store: StoreId, vectors: np.ndarray
) -> Generator[Figure, None, tuple[float, list[FileId]]]:
    files = [File(min(FILE_ROWS, len(vectors) - start)) for start in range(0, len(vectors), FILE_ROWS)]
    uploaded, texts = shelf.upload(len(files)), plain_texts(len(vectors))
    started, used = time.perf_counter(), processor_seconds()
    shelf.attach(store, uploaded, files)
    attached = time.perf_counter()
    claims = shelf.claim(store, uploaded)
    each = SEGMENT_ROWS // FILE_ROWS
    for first in range(0, len(files), each):
        start, sizes = first * FILE_ROWS, [one.rows for one in files[first : first + each]]
        stop = start + sum(sizes)
        shelf.publish(store, claims[first : first + each], sizes, vectors[start:stop], texts[start:stop])
    durable = time.perf_counter()
    shelf.index(store)
    coded = time.perf_counter()
    asker = Asker(shelf, store)
    hit = asker.ask(vectors[len(vectors) // 2]).hits[0]
    done = time.perf_counter()
    if hit.file_id != uploaded[len(vectors) // 2 // FILE_ROWS]:
        raise SystemExit("the first search found another row than it asked for")
    spent, worked = done - started, processor_seconds() - used
    yield Figure(f"{name}: load to durable, coded and found", spent, "s", "", None, "≤ 10", spent <= 10)
    yield Figure(f"{name}: of which on the processor", worked, "s")
    parts = {"attach": attached - started, "durable": durable - attached, "coded": coded - durable}
    for label, seconds in {**parts, "first search": done - coded}.items():
        yield Figure(f"{name}: {label}", seconds, "s")
    return spent, uploaded


def _delete(name: str, shelf: Shelf, store: StoreId, files: list[FileId], vectors: np.ndarray) -> Iterator[Figure]:
    asker, queries = Asker(shelf, store), mixture(QUERIES, vectors.shape[1], 2)
    before = recall([asker.scores(query) for query in queries], [knn(vectors, query) for query in queries])
    gone = set(files[::10])
    started = time.perf_counter()
    with shelf.catalog.transaction() as tx:
        for file in gone:
            tx.store_files.delete(shelf.project, store, file, int(time.time()))
    asker.ask(queries[0])
    spent = time.perf_counter() - started
    yield Figure(
        f"{name}: delete {len(gone)} of {len(files)} files, then search", spent, "s", "", None, "≤ 0.5", spent <= 0.5
    )
    left = np.concatenate([vectors[at * FILE_ROWS : (at + 1) * FILE_ROWS] for at in range(len(files)) if at % 10])
    answers = [asker.ask(query) for query in queries]
    leaked = sum(hit.file_id in gone for answer in answers for hit in answer.hits)
    yield Figure(f"{name}: leaked hits of deleted files", leaked, "", "", None, "0", not leaked)
    found = [np.array([hit.score for hit in answer.hits], np.float32) for answer in answers]
    after = recall(found, [knn(left, query) for query in queries])
    change = after - before
    yield Figure(f"{name}: recall@10 after, {before:.4f} before", after, "", "", None, "within 0.002", change >= -0.002)
