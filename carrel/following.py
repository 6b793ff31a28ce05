"""Watches ingestion until it is done: files, bytes, chunks a second and time left, by the server's events."""

import time
from collections.abc import Iterator
from typing import Final

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from carrel.failing import ServerError
from carrel.output import Output, size
from carrel.remote import Json, Remote

RECONNECT_SECONDS: Final = 1.0
MOST_RECONNECTS: Final = 60


def follow(remote: Remote, path: str, output: Output) -> Json:
    """The last progress: all files of `path` (a store or a batch) have settled then."""
    last: Json = {}
    bar = output.progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
    )
    with bar:
        task = bar.add_task("Indexing", total=None, said="")
        for last in looks(remote, path):
            settled, total = counts(last)
            bar.update(task, total=total, completed=settled, said=sentence(last))
    return last


def looks(remote: Remote, path: str) -> Iterator[Json]:
    """Each progress the server tells of, until done; a connection that breaks is made anew."""
    broken = 0
    while True:
        try:
            with remote.events(f"{path}/progress", stream=True) as events:
                for event in events:
                    broken = 0
                    yield event.data
                    if event.data.get("done"):
                        return
        except ServerError as error:
            broken += 1
            if (error.status is not None and error.status < 500) or broken > MOST_RECONNECTS:
                raise
        time.sleep(RECONNECT_SECONDS)


def counts(progress: Json) -> tuple[int, int]:
    """Files that have settled, and all."""
    settled = sum(int(progress[state]["files"]) for state in ("completed", "failed", "cancelled"))
    return settled, settled + int(progress["in_progress"]["files"])


def sentence(progress: Json) -> str:
    said = [
        f"{progress['completed']['chunks']:,} chunks",
        size(progress["completed"]["bytes"]),
        f"{progress['rate']['chunks_per_second']:,.0f} chunks/s",
    ]
    if progress["failed"]["files"]:
        said.append(f"{progress['failed']['files']:,} failed")
    said += [f"{one['files']:,} wait ({one['reason'].replace('_', ' ')})" for one in progress["put_off"]]
    if progress["eta_seconds"] is not None and not progress["done"]:
        said.append(f"{span(progress['eta_seconds'])} left")
    return " · ".join(said)


def span(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60}:{whole % 60:02d} min" if whole < 3600 else f"{whole // 3600}:{whole % 3600 // 60:02d} h"
