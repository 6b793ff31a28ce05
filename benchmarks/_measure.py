"""Yardsticks and stopwatches: medians of single calls, recall that counts ties, what this machine can read."""

import ctypes
import os
import resource
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Hits = Callable[[Matrix], Matrix]  # one query -> the exact scores of the rows found

SAME: Final = 1e-5


@dataclass(frozen=True, slots=True)
class Timing:
    median_us: float
    p95_us: float


def timing(call: Callable[[Matrix], object], queries: Iterable[Matrix], warm: int = 3) -> Timing:
    """One query a call. The first few are asked twice, and counted the second time."""
    asked = list(queries)
    for query in asked[:warm]:
        call(query)
    taken = []
    for query in asked:
        start = time.perf_counter()
        call(query)
        taken.append(time.perf_counter() - start)
    return Timing(float(np.median(taken)) * 1e6, float(np.quantile(taken, 0.95)) * 1e6)


def recall(found: Iterable[Matrix], truth: Iterable[Matrix]) -> float:
    """The share of the best rows found, where a row as good as the last of them counts as one of them."""
    shares = [
        1.0 if not len(best) else min(int(np.count_nonzero(scores >= best[-1] - SAME)), len(best)) / len(best)
        for scores, best in zip(found, truth, strict=True)
    ]
    return float(np.mean(shares))


def read_bandwidth(rows: Matrix, seconds: float = 0.5) -> float:
    """Bytes a second that one thread reads from these very rows, the best of some passes."""
    numbers = rows.reshape(-1)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end or not best:
        start = time.perf_counter()
        numbers.max()
        best = max(best, rows.nbytes / (time.perf_counter() - start))
    return best


def processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def private_bytes() -> int:
    """Memory of this process that no other shares: anonymous pages, and mapped ones that were written."""
    fields = Path(f"/proc/{os.getpid()}/smaps_rollup").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in fields if line.startswith("Private_Dirty:"))


def give_back() -> None:
    """Hand freed memory back to the system, so that what is measured next is not taken from it."""
    ctypes.CDLL(None).malloc_trim(0)


def mapped(rows: Matrix, folder: Path) -> Matrix:
    """The same rows as a mapped file: what a segment is."""
    path = folder / f"{len(rows)}x{rows.shape[1]}-{time.monotonic_ns()}.npy"
    np.save(path, rows)
    return np.asarray(np.load(path, mmap_mode="r"))
