"""`carrel bench`: how quick this server is, from here: a few documents in, many searches, everything removed again."""

import io
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Annotated, Final, TypeVar

import typer

from carrel.following import counts, looks
from carrel.options import JsonOption, KeyOption, UrlOption, connect
from carrel.output import Columns, Output
from carrel.remote import Json, Remote

Done = TypeVar("Done")

WORDS: Final = (
    "archive birch candle delta ember fjord garnet harbour indigo juniper kestrel lantern meadow nectar orchard "
    "pebble quartz river saffron thistle umber velvet willow xylem yarrow zephyr amber basalt cedar dune"
).split()
WORDS_OF_A_DOCUMENT: Final = 700
ROWS: Final[Columns] = {
    "documents": "documents",
    "chunks": "chunks",
    "upload, ms each": "upload_milliseconds",
    "attached to searchable, s": "ingest_seconds",
    "chunks a second": "chunks_per_second",
    "search p50, ms": "search_p50_milliseconds",
    "search p95, ms": "search_p95_milliseconds",
    "one document, attached to found, ms": "fresh_milliseconds",
}


def bench(
    documents: Annotated[int, typer.Option("--documents", "-d", min=1, max=2000, help="Documents to bring in.")] = 50,
    searches: Annotated[
        int, typer.Option("--searches", "-n", min=10, max=10_000, help="Searches, one at a time.")
    ] = 200,
    seed: Annotated[int, typer.Option(help="Of the documents' words.")] = 1,
    url: UrlOption = None,
    key: KeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure this server from here, with documents of its own that are removed again."""
    output = Output(as_json=as_json)
    with connect(url, key) as remote:
        output.remark(f"{remote.url}: {documents} documents, {searches} searches, seed {seed}")
        with output.status("Measuring"):
            found = _measured(remote, documents, searches, random.Random(seed))  # noqa: S311 (words, no secrets)
    output.item({"object": "bench.report", "url": remote.url, "seed": seed, **found}, ROWS)


def _measured(remote: Remote, documents: int, searches: int, chance: random.Random) -> Json:
    path = f"vector_stores/{remote.post('vector_stores', {'name': 'carrel bench'})['id']}"
    files: list[str] = []
    try:
        uploads: list[float] = []
        for _ in range(documents):
            file = _timed(uploads, lambda: _uploaded(remote, chance))
            files.append(file)  # one by one, so that all are removed if the next fails
        begun = time.monotonic()
        remote.post(f"{path}/file_batches", {"file_ids": files})
        progress = list(looks(remote, path))[-1]
        seconds = time.monotonic() - begun
        answers: list[float] = []
        for _ in range(searches):
            question = " ".join(chance.choices(WORDS, k=5))
            _timed(answers, lambda: remote.post(f"{path}/search", {"query": question}))  # noqa: B023 (called at once)
        return {
            "documents": counts(progress)[0],
            "chunks": progress["completed"]["chunks"],
            "upload_milliseconds": _milliseconds(statistics.median(uploads)),
            "ingest_seconds": round(seconds, 2),
            "chunks_per_second": round(progress["completed"]["chunks"] / seconds),
            "search_p50_milliseconds": _milliseconds(statistics.median(answers)),
            "search_p95_milliseconds": _milliseconds(_share(answers, 0.95)),
            "fresh_milliseconds": _fresh(remote, path, files, chance),
        }
    finally:
        remote.delete(path)
        for file in files:
            remote.delete(f"files/{file}")


def _uploaded(remote: Remote, chance: random.Random) -> str:
    text = " ".join(chance.choices(WORDS, k=WORDS_OF_A_DOCUMENT)).encode()
    made = remote.upload("files", io.BytesIO(text), "bench.txt", {"purpose": "assistants"})
    return str(made["id"])


def _fresh(remote: Remote, path: str, files: list[str], chance: random.Random) -> float:
    """One document on a store in use, from its attachment until it has settled."""
    files.append(_uploaded(remote, chance))
    begun = time.monotonic()
    found = remote.post(f"{path}/files", {"file_id": files[-1]})
    while found["status"] == "in_progress":
        time.sleep(0.02)
        found = remote.get(f"{path}/files/{files[-1]}")
    return _milliseconds(time.monotonic() - begun)


def _timed(spent: list[float], deed: Callable[[], Done]) -> Done:
    begun = time.monotonic()
    done = deed()
    spent.append(time.monotonic() - begun)
    return done


def _share(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)
