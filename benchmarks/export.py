"""A store carried from one running service to another as one archive: how quick, how equal, and under kills.

    python -m benchmarks export [--chunks 100000] [--kills 0] [--kill-chunks 4000] [--seed 1]

Two services, each `carrel serve` with the hashed embedder in a folder of its own; export, upload and import are those
of the command line. With `--kills`, source, target and the command are killed at random moments, and started again.
The yardstick is writing the same bytes to the same disk and syncing them.
"""

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import httpx

from benchmarks.figure import Figure
from carrel.moving import export_store, import_archive
from carrel.remote import Remote
from tests.support.whole import KEY, Whole, installed, pause, settled

FILE_CHUNKS: Final = 100
QUERIES: Final = 50
TARGET_MB: Final = 50.0
MEBI: Final = 1e6
WORDS: Final = [
    f"{first}{second}" for first in ("ka", "lo", "mi", "nu", "re", "so") for second in ("ber", "dan", "fel")
]


class Place:
    def __init__(self, whole: Whole) -> None:
        self.whole = whole
        self.remote = Remote(whole.url, KEY, patience_seconds=120)

    def search(self, store: str, queries: list[str]) -> list[bytes]:
        """The answers' very bytes."""
        headers = {"authorization": f"Bearer {KEY}"}
        with httpx.Client(base_url=self.whole.url, headers=headers, timeout=120) as http:
            found = []
            for query in queries:
                answer = http.post(
                    f"/v1/vector_stores/{store}/search", json={"query": query, "max_num_results": 20}
                ).raise_for_status()
                found.append(answer.content)
            return found


def _document(chance: random.Random, number: int, chunks: int) -> bytes:
    """As many sections as chunks are wanted, each of its own words."""
    parts = [f"# Document {number}"]
    for part in range(chunks):
        said = " ".join(chance.choices(WORDS, k=150))
        parts.append(f"## Section {part} of {number}\n\nIt is called name{number}x{part}. {said}.")
    return "\n\n".join(parts).encode()


def _fill(place: Place, chunks: int, chance: random.Random) -> str:
    client = place.whole.client()
    store = client.vector_stores.create(name="carried", metadata={"of": "a benchmark"}).id
    files = []
    for number in range(max(1, chunks // FILE_CHUNKS)):
        content = _document(chance, number, FILE_CHUNKS)
        file = client.files.create(file=(f"d{number}.md", content), purpose="assistants").id
        files.append({"file_id": file, "attributes": {"number": number, "even": number % 2 == 0}})
        if len(files) == 500:
            client.vector_stores.file_batches.create(store, files=files)  # type: ignore[arg-type]  # plain dicts
            files = []
    if files:
        client.vector_stores.file_batches.create(store, files=files)  # type: ignore[arg-type]  # plain dicts
    assert settled(client, store, within_seconds=1800).file_counts.completed
    return store


def _calm(place: Place, store: str) -> dict[str, Any]:
    """Once upkeep has merged and coded what there is."""
    last: dict[str, Any] = {}
    while True:
        found = place.remote.get(f"vector_stores/{store}/statistics")
        if found["generation"] == last.get("generation"):
            return found
        last = found
        pause(20)


def _queries(chance: random.Random, chunks: int) -> list[str]:
    names = [
        f"name{chance.randrange(max(1, chunks // FILE_CHUNKS))}x{chance.randrange(FILE_CHUNKS)}"
        for _ in range(QUERIES // 2)
    ]
    return names + [" ".join(chance.choices(WORDS, k=6)) for _ in range(QUERIES - len(names))]


def _written(folder: Path, size: int) -> float:
    """Seconds to write as many bytes and sync them."""
    piece = os.urandom(1 << 20)
    begun = time.perf_counter()
    with (folder / "yardstick").open("wb") as file:
        for _ in range(size >> 20):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - begun
    (folder / "yardstick").unlink()
    return seconds


def _carried(source: Place, target: Place, chunks: int, folder: Path, chance: random.Random) -> Iterator[Figure]:
    store = _fill(source, chunks, chance)
    before = _calm(source, store)
    queries = _queries(chance, chunks)
    answers = source.search(store, queries)
    archive = folder / "store.carrel"
    marks = [time.perf_counter()]
    export_store(source.remote, store, archive)
    marks.append(time.perf_counter())
    stages: dict[str, float] = {}

    def moved(what: str, _: int, __: int) -> None:
        stages[what] = time.perf_counter()

    import_archive(target.remote, archive, moved=moved)
    marks.append(time.perf_counter())
    size = archive.stat().st_size
    exported, imported = marks[1] - marks[0], marks[2] - marks[1]
    uploaded = stages["upload"] - marks[1]
    yardstick = _written(folder, size)
    yield Figure("chunks", before["segments"]["rows_living"], "", f"coded segments {before['index']['coded_segments']}")
    yield Figure("archive", size / MEBI, "MB")
    yield Figure("writing as many bytes", size / MEBI / yardstick, "MB/s")
    yield Figure("export", size / MEBI / exported, "MB/s", "writing", yardstick / exported)
    yield Figure("upload", size / MEBI / uploaded, "MB/s", "writing", yardstick / uploaded)
    yield Figure("upload and import", size / MEBI / imported, "MB/s", "writing", yardstick / imported)
    rate = size / MEBI / (exported + imported)
    yield Figure("export and import", rate, "MB/s", target=f">= {TARGET_MB:g}", met=rate >= TARGET_MB)
    same = sum(one == other for one, other in zip(answers, target.search(store, queries), strict=True))
    yield Figure("byte-equal answers", same, f"of {len(queries)}", target="all", met=same == len(queries))


# Under kills


def _command(place: Place, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OPENAI_API_KEY": KEY, "CARREL_URL": place.whole.url}
    return subprocess.Popen(
        [sys.executable, "-m", "carrel", *words, "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _until_done(place: Place, words: list[str], chance: random.Random, kills: int) -> tuple[bytes, int]:
    """Run a command to its end, killing it or its server so many times on the way; its answer, and how many kills."""
    done = 0
    while True:
        process = _command(place, *words)
        if done < kills:
            pause(chance.uniform(0.3, 2.5))
            if process.poll() is None:
                done += 1
                if chance.random() < 0.5:
                    process.kill()
                else:
                    place.whole.kill_all()
                    place.whole.start()
        answer, trouble = process.communicate(timeout=600)
        if answer:  # told, if it was killed thereafter: nobody would ask again
            return answer, done
        if process.returncode > 0:  # it says why, and would be started again
            print(f"{words[0]}: {trouble.decode()[-300:]}", file=sys.stderr)


def _killed(
    source: Place, target: Place, chunks: int, kills: int, folder: Path, chance: random.Random
) -> Iterator[Figure]:
    store = _fill(source, chunks, chance)
    _calm(source, store)
    queries = _queries(chance, chunks)
    expected = [_found(answer) for answer in source.search(store, queries)]
    killed = {"export": 0, "import": 0}
    before = _stores(target)
    unequal = damaged = rounds = 0
    whole = ""
    while sum(killed.values()) < kills:
        rounds += 1
        archive = folder / f"killed{rounds}.carrel"
        _, times = _until_done(source, ["export", store, "-o", str(archive)], chance, 2)
        killed["export"] += times
        digest = _segments_of(archive)
        whole = whole or digest
        damaged += digest != whole
        answer, times = _until_done(target, ["import", str(archive), "--new-ids"], chance, 3)
        killed["import"] += times
        made = json.loads(answer)["vector_store_id"]
        found = [_found(one) for one in target.search(made, queries)]
        unequal += found != expected
        target.remote.delete(f"vector_stores/{made}")
        archive.unlink()
    yield Figure("exports killed", killed["export"], "times", f"{rounds} rounds")
    yield Figure("imports killed", killed["import"], "times", f"{rounds} rounds")
    yield Figure("archives not whole", damaged, "archives", target="0", met=not damaged)
    yield Figure("stores not equal", unequal, "stores", target="0", met=not unequal)
    stray = _stores(target) - before
    yield Figure("stores too many, whole or half", stray, "stores", target="0", met=not stray)


def _stores(place: Place) -> int:
    return sum(1 for one in place.remote.pages("vector_stores"))


def _found(answer: bytes) -> list[tuple[Any, ...]]:
    """An answer without ids, which are new."""
    return [(hit["filename"], hit["score"], hit["content"]) for hit in json.loads(answer)["data"]]


def _segments_of(archive: Path) -> str:
    """What does not differ between two exports of one store: everything behind the manifest, which has a date."""
    digest = hashlib.sha256()
    with archive.open("rb") as file:
        head = file.read(512)
        size = int(head[124:135], 8)
        file.seek(512 + size + (-size % 512) + 1024)
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def run(arguments: list[str]) -> Iterable[Figure]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks export")
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--kill-chunks", type=int, default=4_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    chance = random.Random(given.seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="carrel-export-")))
        places = [Place(stack.enter_context(installed(folder / name))) for name in ("source", "target")]
        for place in places:
            place.whole.start()
        if given.chunks:
            yield from _carried(places[0], places[1], given.chunks, folder, chance)
        if given.kills:
            yield from _killed(places[0], places[1], given.kill_chunks, given.kills, folder, chance)
        for place in places:
            place.whole.stop()
