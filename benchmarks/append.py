"""Appending: a hundred embedded rows, from claimed to found by another process; and searching while it goes on.

    python -m benchmarks append [ROWSxWIDTH ...] [--folder KEPT]

Every store is copied first, so that a kept one stays as it is; segments are linked, not copied.
"""

import multiprocessing
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks._asking import Asker, OtherProcess
from benchmarks._measure import timing
from benchmarks._shelves import File, Matrix, Shelf, notes_of, plain_texts
from benchmarks._stocked import Options, options, stocked
from benchmarks._vectors import mixture
from benchmarks.figure import Figure
from retrieval.ids import StoreId
from workers.merging import merge_store

APPENDS = 50
APPENDED_ROWS = 100
UNMERGED = 200
BUSY_SECONDS = 10.0
MERGED_EVERY = 20  # appends
PAUSE_SECONDS = 0.1  # between appends


def run(arguments: list[str]) -> Iterator[Figure]:
    with options("append", arguments, "100000x384 1000000x384", "mixture") as chosen:
        empty = None
        for rows, width in ((0, 384), *chosen.sizes):
            with _copy(chosen, rows, width) as (shelf, store):
                name = f"{rows:,} rows"
                took, found_at = _appends(shelf, store, width)
                target = ("≤ 25", took <= 25)
                yield Figure(
                    f"{name}: append {APPENDED_ROWS} rows until another process finds them, p50",
                    took,
                    "ms",
                    "",
                    None,
                    *target,
                )
                yield Figure(f"{name}: of which that process's search", found_at, "ms")
                empty = empty or took
                ratio = took / empty
                yield Figure(f"{name}: append", took, "ms", "the empty store", ratio, "≤ 1.3", ratio <= 1.3)
                if rows:
                    yield from _unmerged(name, shelf, store, width)
                    yield from _busy(name, shelf, store, width)


@contextmanager
def _copy(chosen: Options, rows: int, width: int) -> Iterator[tuple[Shelf, StoreId]]:
    with tempfile.TemporaryDirectory(prefix="carrel-bench-", dir=chosen.folder) as temporary:
        folder = Path(temporary)
        if not rows:
            with Shelf(folder, width) as shelf:
                yield shelf, shelf.new_store()
            return
        with stocked(chosen, "mixture", rows, width):
            pass
        kept = chosen.folder / f"mixture-{rows}x{width}"
        shutil.copytree(kept / "objects", folder / "objects", copy_function=os.link)
        shutil.copy(kept / "catalog.db", folder)
        notes = notes_of(kept) or {}
        with Shelf(folder, width) as shelf:
            yield shelf, StoreId(notes["store"])


def _appends(shelf: Shelf, store: StoreId, width: int) -> tuple[float, float]:
    """Median milliseconds of the whole, and of the other process's search alone."""
    batches = _batches(APPENDS, width, 11)
    whole, search = [], []
    with OtherProcess(shelf.folder, store, width) as other:
        for rows in batches:  # a process that searches already: the first look at old rows is what `cold` measures
            other.search(rows[7])
        for rows in batches:
            [file] = shelf.upload(1)
            files = [File(len(rows))]
            shelf.attach(store, [file], files)
            started = time.perf_counter()
            shelf.publish(store, shelf.claim(store, [file]), [len(rows)], rows, plain_texts(len(rows)))
            published = time.perf_counter()
            hits = other.search(rows[7])
            search.append(1e3 * (time.perf_counter() - published))
            whole.append(1e3 * (time.perf_counter() - started))
            if file not in {name for name, _ in hits}:
                raise SystemExit(f"{file} was published and is not found by another process")
    return median(whole), median(search)


def _unmerged(name: str, shelf: Shelf, store: StoreId, width: int) -> Iterator[Figure]:
    asker, queries = Asker(shelf, store), mixture(200, width, 2)
    for rows in _batches(UNMERGED - APPENDS, width, 12):
        shelf.add(store, [File(len(rows))], rows)
    for query in queries:
        asker.ask(query)
    before = asker.timing(queries).median_us
    segments = len(shelf.snapshot(store).segments)
    started = time.perf_counter()
    merge_store(store, shelf.catalog, shelf.storage)
    spent = time.perf_counter() - started
    after = asker.timing(queries).median_us
    left = len(shelf.snapshot(store).segments)
    ratio = before / after
    label = f"{name}: search after {UNMERGED} appends, {segments} segments"
    yield Figure(label, before, "us", f"merged to {left}", ratio, "≤ 1.5", ratio <= 1.5)
    yield Figure(f"{name}: merging them", spent, "s")


def _busy(name: str, shelf: Shelf, store: StoreId, width: int) -> Iterator[Figure]:
    """Search while another process appends and merges; every row appended before a search must be in it, once."""
    asker, queries = Asker(shelf, store), mixture(200, width, 2)
    quiet = timing(asker.ask, queries)
    context = multiprocessing.get_context("spawn")
    near, far = context.Pipe()
    stop = context.Event()
    writer = context.Process(target=_write, args=(shelf.folder, store, width, far, stop), daemon=True)
    writer.start()
    near.recv()
    done: list[tuple[str, Matrix]] = []
    taken, missing, double, asked = [], 0, 0, 0
    end = time.perf_counter() + BUSY_SECONDS
    while time.perf_counter() < end and writer.is_alive():
        started = time.perf_counter()
        asker.ask(queries[asked % len(queries)])
        taken.append(time.perf_counter() - started)
        asked += 1
        while near.poll():
            done.append(near.recv())
        if done:
            file, row = done[-1]
            hits = asker.ask(row).hits
            missing += file not in {hit.file_id for hit in hits}
            double += max(Counter((hit.file_id, hit.chunk.ordinal) for hit in hits).values()) > 1
    failed = not writer.is_alive()
    stop.set()
    while near.poll(1):
        near.recv()
    writer.join(10)
    p50, p95 = float(np.quantile(taken, 0.5)) * 1e6, float(np.quantile(taken, 0.95)) * 1e6
    label = f"{name}: while {len(done)} appends and merges run"
    ratio = p95 / quiet.p95_us
    yield Figure(f"{label}, search p95", p95, "us", "quiet p95", ratio, "≤ 1.5", ratio <= 1.5)
    yield Figure(f"{label}, search p50", p50, "us", "quiet p50", p50 / quiet.median_us)
    wrong = missing + double + failed
    yield Figure(f"{label}: missing, double, failed", f"{missing}, {double}, {failed:d}", "", "", None, "0", not wrong)


def _write(folder: Path, store: StoreId, width: int, pipe: Connection, stop: Event) -> None:
    """Append until told to stop, and merge as a worker would."""
    with Shelf(folder, width) as shelf:
        batches = _batches(500, width, 13)
        pipe.send("open")
        for count, rows in enumerate(batches, 1):
            if stop.is_set():
                return
            [file] = shelf.add(store, [File(len(rows))], rows)
            pipe.send((file, rows[3]))
            if not count % MERGED_EVERY:
                merge_store(store, shelf.catalog, shelf.storage)
            time.sleep(PAUSE_SECONDS)


def _batches(count: int, width: int, seed: int) -> list[Matrix]:
    made = mixture(min(count, 500) * APPENDED_ROWS, width, seed)
    return [made[start : start + APPENDED_ROWS] for start in range(0, len(made), APPENDED_ROWS)]
