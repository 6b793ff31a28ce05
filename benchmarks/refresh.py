"""Refresh of a folder of many files: nothing changed, one in a hundred changed by a paragraph; and killed at random.

`--kills N`: a program that refreshes is killed at N random moments while the folder keeps changing, and taken up
again each time; what is found then is compared with the folder, and with what an undisturbed run makes of it.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.figure import Figure
from benchmarks.ingest import Counted
from ingest.children import ChildPool
from ingest.embedding import EmbedderConfig, open_embedder
from ingest.parsing.limits import Limits
from retrieval.catalog.source_rows import RunRow
from retrieval.catalog.transaction import Catalog
from retrieval.index.vectors import use_one_thread
from tests.support.killed_refresh import killed_at_random
from tests.support.mirror import Mirror, open_mirror
from workers import refresh

PARTS = 4
STEMS = ("river", "stone", "cloud", "paper", "light", "garden", "window", "bridge")


def run(arguments: list[str]) -> Iterable[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks refresh")
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=0, help="instead: so many random kills")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}")
    use_one_thread()
    if given.kills:
        yield from _kills(given.kills, given.seed)
    else:
        yield from _figures(given.files, given.seed)


def _figures(count: int, seed: int) -> Iterable[Figure]:
    chance = random.Random(seed)
    embedder = Counted(open_embedder(EmbedderConfig(provider="hashed", model="hashed")))
    with (
        tempfile.TemporaryDirectory(prefix="carrel-bench-") as folder,
        Catalog.open(f"sqlite:///{folder}/catalog.db") as catalog,
        ChildPool(2, Limits()) as children,
        open_mirror(catalog, Path(folder), children, embedder=embedder) as mirror,
    ):
        for number in range(count):
            mirror.write(_name(number), _page(number, chance))
        first, seconds, _ = _timed(mirror)
        chunks = first.counts.chunks
        yield Figure("first run, to the last file found", seconds, "s", f"{count:,} files, {chunks:,} chunks")
        before = len(embedder.calls)
        idle = min(_timed(mirror)[1] for _ in range(3))
        unchanged = mirror.run().counts
        fits = idle < 5 * max(1.0, count / 10_000)
        yield Figure("nothing changed", idle, "s", "the best of 3", target="under 5 for 10,000", met=fits)
        yield Figure(
            "embeddings, nothing changed", len(embedder.calls) - before, "calls", f"{unchanged.unchanged:,} unchanged",
            target="0", met=len(embedder.calls) == before and unchanged.unchanged == count,
        )  # fmt: skip
        changed = chance.sample(range(count), max(1, count // 100))
        for number in changed:
            with (mirror.root / _name(number)).open("a") as file:
                file.write(f"\n\nOne paragraph more on page {number}: {_words(chance, 25)}.\n")
        report, seconds, indexing = _timed(mirror)
        yield Figure(
            "chunks embedded, 1 % changed", report.counts.texts_embedded, "chunks",
            f"{report.counts.changed} files of {report.counts.chunks} chunks", target="those that changed",
            met=report.counts.texts_embedded <= 2 * len(changed) and report.counts.changed == len(changed),
        )  # fmt: skip
        own = seconds - indexing
        yield Figure(
            "1 % changed, without their indexing", own, "s", "nothing changed", own / idle, "under 3 ×", own < 3 * idle
        )
        yield Figure("parsing, embedding and publishing them", indexing, "s")
        right = mirror.found() == mirror.expected()
        yield Figure("what is found is what is there", "yes" if right else "no", met=right)


def _name(number: int) -> str:
    return f"part{number // 100}/page{number}.md"


def _page(number: int, chance: random.Random) -> str:
    parts = [f"# Part {part} of {number}\n\n{_words(chance, 180)}." for part in range(PARTS)]
    return "\n\n".join(parts)


def _words(chance: random.Random, count: int) -> str:
    """No two passages alike, or equal texts would be embedded once."""
    return " ".join(f"{chance.choice(STEMS)}{chance.randrange(1000)}" for _ in range(count))


def _timed(mirror: Mirror) -> tuple[RunRow, float, float]:
    """The report, the seconds of the whole run, and those of them in which files were indexed."""
    asked, begun, indexing = mirror.ask(), time.perf_counter(), 0.0
    while mirror.source().run_id is not None:
        mirror.let_go_on()
        refresh.refresh(mirror.source_id, mirror.parts)
        at = time.perf_counter()
        mirror.index()
        indexing += time.perf_counter() - at
    return mirror.report(asked.id), time.perf_counter() - begun, indexing


def _kills(count: int, seed: int) -> Iterable[Figure]:
    with tempfile.TemporaryDirectory(prefix="carrel-bench-") as folder:
        url = f"sqlite:///{folder}/catalog.db"
        report = killed_at_random(Path(folder), url, kills=count, files=120, seed=seed)
    yield Figure("kills", report.kills, "", f"{report.rounds} runs, {report.finished} of them undisturbed in between")
    yield Figure("runs that ended otherwise than undisturbed ones", report.wrong, "", target="0", met=not report.wrong)
    for line in report.lines:
        print(line)
