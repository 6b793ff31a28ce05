"""A second process over the same catalog and storage sees each change with its next search."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

import pytest

from retrieval.errors import NotFound
from retrieval.ids import FileId, StoreId
from retrieval.search.query import Query
from retrieval.segments.merging import MergeLimits
from tests.support.shelf import Book, Shelf
from workers.merging import merge_store
from workers.sweeping import Grace, expire, sweep_removed

ROOT = Path(__file__).parents[4]


@contextmanager
def another_process(folder: Path, url: str) -> Iterator[Callable[[StoreId], list[FileId] | str]]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, __file__, str(folder), url]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        asked, answered = _pipe(process.stdin), _pipe(process.stdout)

        def ask(store: StoreId) -> list[FileId] | str:
            print(store, file=asked, flush=True)
            answer: list[FileId] | str = json.loads(answered.readline())
            return answer

        yield ask
        asked.close()
        assert process.wait(30) == 0


def _pipe(end: IO[str] | None) -> IO[str]:
    assert end is not None
    return end


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_another_process_sees_every_change_at_once(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(f"{'postgres' if database == 'postgresql' else 'sqlite'}_url")
    with Shelf.open(tmp_path, url=url) as shelf:
        store = shelf.new_store()
        catalog, storage = shelf.catalog, shelf.storage
        with another_process(tmp_path, url) as ask:
            assert ask(store) == []
            kept: list[FileId] = []
            for number in range(3):
                kept += shelf.add(store, [Book([f"number {number} of the files"]), Book(["another one"])])
                assert ask(store) == sorted(kept)
                shelf.detach(store, kept.pop(0))
                assert ask(store) == sorted(kept)
                merge_store(store, catalog, storage, MergeLimits(fold=2, smallest_tier_rows=2, least_dead=1))
                expire(catalog, shelf.now)
                sweep_removed(catalog, storage, catalog.now() + 1, Grace(0, 0, 0))
                assert ask(store) == sorted(kept)
                [new] = shelf.add(store, [Book(["a new edition"], supersedes=kept[0])])
                kept[0] = new
                assert ask(store) == sorted(kept)
            with catalog.transaction() as tx:
                tx.stores.delete(shelf.project, store, shelf.now)
            assert ask(store) == "NotFound"


def _answer(folder: Path, url: str) -> None:
    with Shelf.open(folder, url=url) as shelf:
        for line in sys.stdin:
            answer: list[FileId] | str = "NotFound"
            with suppress(NotFound):
                found = shelf.search(StoreId(line.strip()), Query(("files",), limit=1000))
                answer = sorted(hit.file_id for hit in found.hits)
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    _answer(Path(sys.argv[1]), sys.argv[2])
