"""A minute of searches during publishes, replacements, deletes, merges, codes and sweeps: every answer is checked."""

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from benchmarks.figure import Figure
from tests.support.shelf import Shelf
from tests.support.storm import storm


def run(arguments: list[str]) -> Iterable[Figure]:
    """`soak [SECONDS]`"""
    seconds = float(arguments[0]) if arguments else 60.0
    with tempfile.TemporaryDirectory(prefix="carrel-soak-") as folder, Shelf.open(Path(folder), width=64) as shelf:
        report = storm(shelf, seconds)
    if report.failures:
        raise report.failures[0]
    wrong = report.wrong
    times = np.array([seen.seconds for seen in report.answers]) * 1000
    yield Figure("answers", len(times), "answers")
    yield Figure("answers that no generation explains", len(wrong), "answers", target="0", met=not wrong)
    yield Figure("publishes, replacements and deletes", len(report.states) - 1, "commits")
    yield Figure("segments merged away", report.segments_merged, "segments")
    yield Figure("search, p50", float(np.percentile(times, 50)), "ms")
    yield Figure("search, p95", float(np.percentile(times, 95)), "ms")
    yield Figure("search, longest", float(times.max()), "ms")
