"""Tallies: counters of a process that its siblings can read, so that whichever is asked answers for all of them.

Several API processes share one port and one data folder. Each keeps its counts in memory and writes them, whole, to a
file of its own now and then; a reader adds its own counts, those files, and what processes that have ended left
behind. A process holds a lock on a file while it lives, so the dead are known however they died: a reader folds
their counts into one file, which names whom it has taken in, so that no count is lost or taken twice however that
ends. At most the counts of a killed process' last seconds are lost.
"""

import fcntl
import json
import os
import secrets
import threading
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

WRITE_SECONDS: Final = 2.0
PAST: Final = "past.json"
LOCK: Final = "lock"

Labels = tuple[str, ...]
Counts = dict[tuple[str, Labels], list[float]]  # a counter has one number; a histogram its buckets, more, and the sum


class Tallies:
    """One per process, safe for threads. Without a folder its counts are its own."""

    def __init__(self, buckets: Mapping[str, Sequence[float]], folder: Path | None = None) -> None:
        self._buckets = buckets
        self._folder = folder
        self._counts: Counts = {}
        self._lock = threading.Lock()  # guards _counts
        self._name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._alive = -1
        self._ending = threading.Event()
        self._writer: threading.Thread | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._alive = os.open(folder / f"{self._name}.alive", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._alive, fcntl.LOCK_EX)
            self._writer = threading.Thread(target=self._write_often, name="tallies", daemon=True)
            self._writer.start()

    def add(self, name: str, labels: Labels = (), amount: float = 1.0) -> None:
        with self._lock:
            found = self._counts.get((name, labels))
            if found is None:
                self._counts[name, labels] = [amount]
            else:
                found[0] += amount

    def observe(self, name: str, labels: Labels, value: float) -> None:
        edges = self._buckets[name]
        place = bisect_left(edges, value)  # a bucket holds its upper edge
        with self._lock:
            found = self._counts.get((name, labels))
            if found is None:
                found = self._counts[name, labels] = [0.0] * (len(edges) + 2)
            found[place] += 1
            found[-1] += value

    def all(self) -> Counts:
        """Of this process, its siblings and those before them."""
        total = self._copy()
        if self._folder is None:
            return total
        with self._alone(self._folder) as folder:
            past, taken_in = _read_past(folder)
            past, taken_in = self._fold(folder, past, taken_in)
            known = {PAST, f"{self._name}.json", *(f"{name}.json" for name in taken_in)}
            others = [past, *(_read(path) for path in folder.glob("*.json") if path.name not in known)]
        for other in others:
            _add(total, other)
        return total

    def close(self) -> None:
        self._ending.set()
        if self._writer is not None:
            self._writer.join()
            self._write()
            os.close(self._alive)

    def _copy(self) -> Counts:
        with self._lock:
            return {key: list(numbers) for key, numbers in self._counts.items()}

    def _write_often(self) -> None:
        while not self._ending.wait(WRITE_SECONDS):
            with suppress(OSError):  # a full disk costs counts, and nothing else
                self._write()

    def _write(self) -> None:
        assert self._folder is not None
        _replace(self._folder / f"{self._name}.json", _lines(self._copy()))

    def _fold(self, folder: Path, past: Counts, taken_in: set[str]) -> tuple[Counts, set[str]]:
        """Take in whoever has died. Their names are written with the counts before their files go."""
        dead = {path.stem for path in folder.glob("*.alive") if path.stem != self._name and _is_free(path)}
        fresh = dead - taken_in
        for name in fresh:
            _add(past, _read(folder / f"{name}.json"))
        known = {path.stem for path in folder.glob("*.alive")} | {path.stem for path in folder.glob("*.json")}
        taken_in = (taken_in & known) | fresh
        if fresh:
            with suppress(OSError):
                _replace(folder / PAST, {"taken_in": sorted(taken_in), "counts": _lines(past)})
                for name in taken_in:
                    (folder / f"{name}.json").unlink(missing_ok=True)
                    (folder / f"{name}.alive").unlink(missing_ok=True)
        return past, taken_in

    @contextmanager
    def _alone(self, folder: Path) -> Iterator[Path]:
        with (folder / LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # held for milliseconds
            yield folder


def _is_free(path: Path) -> bool:
    try:
        with path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _lines(counts: Counts) -> list[object]:
    return [[name, list(labels), numbers] for (name, labels), numbers in counts.items()]


def _counts(lines: Sequence[tuple[str, list[str], list[float]]]) -> Counts:
    return {(name, tuple(labels)): numbers for name, labels, numbers in lines}


def _read(path: Path) -> Counts:
    try:
        return _counts(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return {}  # died before it wrote anything


def _read_past(folder: Path) -> tuple[Counts, set[str]]:
    try:
        found = json.loads((folder / PAST).read_bytes())
    except FileNotFoundError:
        return {}, set()
    return _counts(found["counts"]), set(found["taken_in"])


def _add(total: Counts, other: Counts) -> None:
    for key, numbers in other.items():
        known = total.get(key)
        if known is None:
            total[key] = list(numbers)
        elif len(known) == len(numbers):  # an earlier release may have had other buckets
            total[key] = [one + more for one, more in zip(known, numbers, strict=True)]


def _replace(path: Path, content: object) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(content, separators=(",", ":")))
    temporary.replace(path)
