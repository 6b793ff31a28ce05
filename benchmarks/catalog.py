"""What the catalog costs: one publish, a claim of thousands, the read before every search, a manifest.

SQLite with FULL synchronisation in a folder of this disk (argument: the folder); the yardstick is a bare fsync there.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.figure import Figure
from retrieval.catalog.rows import Claim
from retrieval.catalog.transaction import Catalog
from retrieval.ids import FileId
from tests.support.catalogs import World

MANY = 4096
ROUNDS = 200


def milliseconds(act: Callable[[], object], rounds: int) -> float:
    """The median of `rounds` calls."""
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        act()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken) * 1000


def fsync_milliseconds(folder: Path) -> float:
    with (folder / "yardstick").open("wb", buffering=0) as file:

        def once() -> None:
            file.write(bytes(8192))
            os.fdatasync(file.fileno())

        return milliseconds(once, ROUNDS)


def run(arguments: list[str]) -> Iterable[Figure]:
    with tempfile.TemporaryDirectory(dir=arguments[0] if arguments else None) as name:
        folder = Path(name)
        yardstick = fsync_milliseconds(folder)
        yield Figure("fsync of 8 KB", yardstick, "ms")
        with Catalog.open(f"sqlite:///{folder / 'catalog.db'}") as catalog:
            yield from single(World(catalog), yardstick)
            yield from many(World(catalog))


def single(world: World, yardstick: float) -> Iterable[Figure]:
    world.ingest(world.file())
    files: list[FileId] = []

    def figure(name: str, value: float, target: float | None = None) -> Figure:
        return Figure(
            name,
            value,
            "ms",
            "fsync",
            value / yardstick,
            f"≤ {target} ms" if target else "",
            None if target is None else value <= target,
        )

    yield figure("add a file", milliseconds(lambda: files.append(world.file()), ROUNDS))
    waiting = iter(files)
    yield figure("attach", milliseconds(lambda: world.attach(next(waiting)), ROUNDS))
    claims: list[list[Claim]] = []
    yield figure("claim one", milliseconds(lambda: claims.append(world.claim(1)), ROUNDS))
    held = iter(claims)
    yield figure("publish one", milliseconds(lambda: world.publish(next(held)), ROUNDS), 3)
    glance = milliseconds(lambda: world.catalog.generation(world.store), 5000)
    yield Figure("read the generation", glance, "ms", target="< 0.1 ms", met=glance < 0.1)
    generation = world.catalog.generation(world.store)
    yield Figure("manifest since the last publish", milliseconds(lambda: world.manifest(generation - 1), ROUNDS), "ms")


def many(world: World) -> Iterable[Figure]:
    files = world.many_files(MANY)
    yield Figure(f"attach {MANY} as a batch", milliseconds(lambda: world.batch(files), 1), "ms")
    claims: list[Claim] = []
    yield Figure(f"claim {MANY}", milliseconds(lambda: claims.extend(world.claim(MANY)), 1), "ms")
    yield Figure(f"publish {MANY}", milliseconds(lambda: world.publish(claims), 1), "ms")
    yield Figure(f"manifest of {MANY} documents", milliseconds(world.manifest, 5), "ms")
