"""What a process that searches a store keeps for itself, and what it shares with the others.

    python -m benchmarks memory [ROWSxWIDTH ...] [--kinds mixture] [--folder KEPT]

Two processes open the store and search it, filtered and not. Private is memory that no other process shares; of the
segment's mapped vectors nothing may be private.
"""

import multiprocessing
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks._asking import Asker
from benchmarks._measure import Matrix, give_back, private_bytes
from benchmarks._shelves import Shelf
from benchmarks._stocked import options, stocked
from benchmarks.figure import Figure
from retrieval.ids import StoreId
from retrieval.search.filters import parse_filter

ROW_BYTES, FIXED_BYTES = 80, 50 << 20


def run(arguments: list[str]) -> Iterator[Figure]:
    with options("memory", arguments, "100000x384 1000000x384", "mixture") as chosen:
        for kind, rows, width in chosen.stores():
            with stocked(chosen, kind, rows, width) as at:
                folder, store, queries = at.shelf.folder, at.store, at.queries
                grown, vectors_private, vectors_shared = _of_second_process(folder, store, queries)
            most = ROW_BYTES * rows + FIXED_BYTES
            target = (f"≤ {most / 1e6:.0f}", grown <= most)
            yield Figure(f"{at.name}: private memory of a searching process", grown / 1e6, "MB", "", None, *target)
            yield Figure(f"{at.name}: private memory", grown / rows, "bytes a row")
            name = f"{at.name}: vectors, private to the process"
            yield Figure(
                name,
                vectors_private / 1e6,
                "MB",
                f"shared {vectors_shared / 1e6:.0f} MB",
                None,
                "≤ 1",
                vectors_private <= 1e6,
            )


def _of_second_process(folder: Path, store: StoreId, queries: Matrix) -> tuple[int, int, int]:
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(2)]
    processes = [context.Process(target=_search, args=(folder, store, queries, far)) for _, far in pipes]
    for one in processes:
        one.start()
    for near, _ in pipes:
        near.recv()  # both have read every vector
    for near, _ in pipes:
        near.send("measure")
    measured: list[tuple[int, int, int]] = [near.recv() for near, _ in pipes]
    for near, _ in pipes:
        near.send("end")
    for one in processes:
        one.join()
    return max(measured)


def _search(folder: Path, store: StoreId, queries: Matrix, pipe: Connection) -> None:
    with Shelf(folder, queries.shape[1]) as shelf:
        give_back()
        before = private_bytes()
        asker = Asker(shelf, store)
        for query in queries[:100]:
            asker.ask(query)
        for share in (0.001, 0.01, 0.1, 0.5):
            asker.ask(queries[0], parse_filter({"type": "lt", "key": "share", "value": share}))
        asker.ask(queries[0], exact=True)
        pipe.send("read")
        pipe.recv()
        give_back()
        pipe.send((private_bytes() - before, *_segments()))
        pipe.recv()  # the other one measures too: what both hold is shared only as long as both do


def _segments() -> tuple[int, int]:
    """Private and shared bytes of the segments mapped here."""
    private = shared = 0
    inside = False
    for line in Path("/proc/self/smaps").read_text("utf-8").splitlines():
        fields = line.split()
        if not fields[0].endswith(":"):
            inside = "/segments/" in line
        elif inside and fields[0].startswith("Private_"):
            private += int(fields[1]) * 1024
        elif inside and fields[0].startswith("Shared_"):
            shared += int(fields[1]) * 1024
    return private, shared
