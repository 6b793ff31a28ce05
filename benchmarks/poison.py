"""`python -m benchmarks poison [WORD…]`: every bad document through a real child; outcome, seconds, peak memory.

With words, only the documents whose label holds one of them. The documents are those of the tests.
"""

import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figure import Figure
from ingest.children import Attempt, ChildPool, Reading
from ingest.errors import MachineError
from ingest.parsing.limits import MEBIBYTE, Limits
from tests.support.poison import Poison, all_poisons, judged

MOST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Row:
    poison: Poison
    attempt: Attempt
    wrong: str

    @property
    def outcome(self) -> str:
        if self.attempt.error is not None:
            return f"{type(self.attempt.error).__name__} ({self.attempt.error.code})"
        assert self.attempt.prepared is not None
        return f"{len(self.attempt.prepared.chunks):,} chunks"

    @property
    def peak_megabytes(self) -> float:
        return (self.attempt.cost.peak_bytes or 0) / MEBIBYTE


def run(arguments: list[str]) -> Iterable[Figure]:
    limits = Limits(cpu_seconds=int(MOST_SECONDS), wall_seconds=2 * int(MOST_SECONDS))
    poisons = [poison for poison in all_poisons() if not arguments or any(word in poison.label for word in arguments)]
    rows = []
    with tempfile.TemporaryDirectory() as folder, ChildPool(1, limits) as pool:
        path = Path(folder) / "document"
        print(f"{'document':44}  {'outcome':34}  {'seconds':>8}  {'peak MB':>8}")
        for poison in poisons:
            poison.write(path)
            begun = time.monotonic()
            attempt = pool.attempt(Reading(path, poison.name))
            seconds = time.monotonic() - begun
            text = None if attempt.prepared is None else attempt.prepared.text
            row = Row(poison, attempt, judged(poison, attempt.error, text))
            print(f"{poison.label:44}  {row.outcome:34}  {seconds:8.2f}  {row.peak_megabytes:8.0f}", flush=True)
            if row.wrong:
                print(f"    WRONG: {row.wrong}")
            rows.append(row)
    return figures(rows, limits)


def figures(rows: list[Row], limits: Limits) -> list[Figure]:
    wrong = [row for row in rows if row.wrong]
    faults = [row for row in rows if isinstance(row.attempt.error, MachineError)]
    slowest = max(rows, key=lambda row: row.attempt.cost.seconds)
    largest = max(rows, key=lambda row: row.peak_megabytes)
    cap = limits.memory_bytes // MEBIBYTE
    return [
        Figure("poison.documents", len(rows), "documents"),
        Figure("poison.not_as_stated", len(wrong), "documents", target="0", met=not wrong),
        Figure("poison.blamed_on_the_machine", len(faults), "documents", target="0", met=not faults),
        Figure(
            "poison.slowest",
            slowest.attempt.cost.seconds,
            "s",
            against=slowest.poison.label,
            target=f"<= {MOST_SECONDS:.0f}",
            met=slowest.attempt.cost.seconds <= MOST_SECONDS,
        ),
        Figure(
            "poison.peak_memory",
            largest.peak_megabytes,
            "MB",
            against=largest.poison.label,
            ratio=largest.peak_megabytes / cap,
            target=f"<= {cap}",
            met=largest.peak_megabytes <= cap,
        ),
    ]
