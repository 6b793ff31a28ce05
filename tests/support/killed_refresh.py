"""A program that refreshes, killed at random moments and taken up again, and what has come of it each time.

The program is a process of its own over the same catalog and disk. What it leaves half done is carried on by the
next one; a run of another mirror that nobody disturbs shows what the folder should have become.
"""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from ingest.children import ChildPool
from ingest.parsing.limits import Limits
from retrieval.catalog.source_rows import RunStatus
from retrieval.catalog.transaction import Catalog
from retrieval.ids import ProjectId, SourceId, StoreId
from tests.support.mirror import Mirror, mirror_again, open_mirror

START = b"ready\n"
PATIENCE_SECONDS = 60.0
MOST_KILLS_OF_A_RUN = 4  # a file under which six workers died is given up, and rightly


@dataclass
class Killed:
    kills: int = 0
    rounds: int = 0
    finished: int = 0
    wrong: int = 0
    lines: list[str] = field(default_factory=list)


def killed_at_random(folder: Path, url: str, *, kills: int, files: int, seed: int) -> Killed:
    chance, report = random.Random(seed), Killed()
    with (
        Catalog.open(url) as catalog,
        ChildPool(1, Limits()) as children,
        open_mirror(catalog, folder, children) as mirror,
    ):
        mirror.fill(files)
        longest = PATIENCE_SECONDS  # until a program is killed at the latest; learnt from the first, which is not
        while report.kills < kills:
            report.rounds += 1
            _disturb(mirror, chance, files, report.rounds)
            asked = mirror.ask()
            longest = _carry_out(mirror, url, folder, chance, report, kills, longest)
            mirror.finish()
            run = mirror.report(asked.id)
            wrong = _what_is_wrong(mirror, run.status)
            counts = run.counts
            if counts.added + counts.changed + counts.unchanged + counts.failed != counts.listed:
                wrong.append(f"the report does not add up: {counts}")
            if wrong:
                report.wrong += 1
                report.lines += [f"round {report.rounds}: {line}" for line in wrong]
    return report


def _carry_out(
    mirror: Mirror, url: str, folder: Path, chance: random.Random, report: Killed, kills: int, longest: float
) -> float:
    """Start programs on the asked run, and kill each, until one ends by itself or enough were killed."""
    for _ in range(MOST_KILLS_OF_A_RUN):
        if report.kills >= kills or mirror.source().run_id is None:
            break
        mirror.let_go_on()
        words = [sys.executable, "-m", "tests.support.killed_refresh", url, str(folder), mirror.source_id]
        words += [mirror.store, mirror.project]
        with subprocess.Popen(words, stdout=subprocess.PIPE, start_new_session=True) as program:
            assert program.stdout is not None
            assert program.stdout.readline() == START
            begun = time.monotonic()
            try:
                program.wait(chance.uniform(0.0, longest) if report.finished else longest)
                longest = time.monotonic() - begun if not report.finished else longest
                report.finished += 1
                assert program.returncode == 0
            except subprocess.TimeoutExpired:
                os.killpg(program.pid, signal.SIGKILL)
                program.wait()
                report.kills += 1
    return longest


def _disturb(mirror: Mirror, chance: random.Random, files: int, number: int) -> None:
    """A night's changes: some files gone, some other, some new."""
    paths = sorted(path for path in mirror.root.rglob("*.md"))
    for path in chance.sample(paths, files // 10):
        path.unlink()
    for path in chance.sample([path for path in paths if path.exists()], files // 5):
        path.write_text(f"{path.read_text()}\n\nA paragraph of night {number}.")
    for index in range(files // 10):
        mirror.write(f"part{index % 3}/new{number}-{index}.md", f"# New {index}\n\nWords of night {number}.")


def _what_is_wrong(mirror: Mirror, status: RunStatus) -> list[str]:
    wrong = [] if status is RunStatus.COMPLETED else [f"the run ended as {status}"]
    found, expected = mirror.found(), mirror.expected()
    if found != expected:
        missing, odd = expected.keys() - found.keys(), found.keys() - expected.keys()
        stale = [path for path in expected.keys() & found.keys() if expected[path] != found[path]]
        wrong.append(f"not found {sorted(missing)}, found though gone {sorted(odd)}, found as they were {stale}")
    if mirror.files() != len(expected):
        wrong.append(f"{mirror.files()} files for {len(expected)} documents")
    return wrong + mirror.untruths()


def main() -> None:
    """The program: one run, to its end, as a worker would do it."""
    url, folder, source, store, project = sys.argv[1:]
    threading.excepthook = lambda *_: None
    with Catalog.open(url) as catalog, ChildPool(1, Limits()) as children:
        mirror = mirror_again(catalog, Path(folder), children, ProjectId(project), StoreId(store), SourceId(source))
        sys.stdout.buffer.write(START)
        sys.stdout.buffer.flush()
        mirror.finish()


if __name__ == "__main__":
    main()
