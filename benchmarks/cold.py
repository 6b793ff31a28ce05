"""A running process meets a store for the first time: open it, and give the first right answer.

    python -m benchmarks cold [ROWSxWIDTH ...] [--kinds mixture] [--folder KEPT]

The files are in the system's memory, as they are where they were written or another process uses them, and cycles are
collected as in the API's process.
"""

import time
from collections.abc import Iterator
from statistics import median

from benchmarks._asking import DEPTH, Asker
from benchmarks._stocked import options, stocked
from benchmarks.figure import Figure

TIMES = 7
TARGETS_MS = {100_000: 50, 1_000_000: 300}


def run(arguments: list[str]) -> Iterator[Figure]:
    with options("cold", arguments, "100000x384 1000000x384", "mixture") as chosen:
        for kind, rows, width in chosen.stores():
            with stocked(chosen, kind, rows, width) as at:
                opening, whole, right = [], [], []
                for query in at.queries[:TIMES]:
                    at.shelf.reopen()
                    asker = Asker(at.shelf, at.store)
                    started = time.perf_counter()
                    answer = asker.ask(query)
                    whole.append(1e3 * (time.perf_counter() - started))
                    opening.append(answer.milliseconds["open"])
                    again = Asker(at.shelf, at.store).ask(query)  # warm, and not from memory: another question
                    right.append([hit.file_id for hit in answer.hits] == [hit.file_id for hit in again.hits])
                took = median(whole)
                most = next((ms for size, ms in TARGETS_MS.items() if rows <= size), None)
                target = ("", None) if most is None else (f"≤ {most}", took <= most)
                yield Figure(f"{at.name}: open and first answer, p50", took, "ms", "", None, *target)
                yield Figure(f"{at.name}: of which opening", median(opening), "ms")
                same = all(right) and len(answer.hits) == DEPTH
                yield Figure(f"{at.name}: first answers", "as later ones" if same else "differ", "", "", None, "", same)
