"""What `carrel serve` shows and keeps while a person looks on."""

import os
from pathlib import Path

from carrel.journal import FILE_BYTES, OLD_FILES, Journal
from carrel.lookout import Look, Lookout
from retrieval.catalog.progress import Backlog


def told(*backlogs: tuple[int, int, int]) -> list[str | None]:
    lookout = Lookout()
    return [lookout.sentence(Look(float(second), Backlog(*backlog))) for second, backlog in enumerate(backlogs)]


def test_it_tells_of_ingestion_while_something_waits_and_once_at_the_end() -> None:
    assert told((0, 7, 70), (5, 7, 70), (3, 9, 90), (0, 12, 120), (0, 12, 120)) == [
        None,
        "5 files waiting, 0 done, 0 chunks/s",
        "3 files waiting, 2 done, 20 chunks/s",
        "5 files done in 2 s",
        None,
    ]


def test_a_removal_in_the_middle_never_counts_backwards() -> None:
    assert told((4, 100, 1000), (4, 0, 0)) == [
        "4 files waiting, 0 done, 0 chunks/s",
        "4 files waiting, 0 done, 0 chunks/s",
    ]


def test_the_log_keeps_what_children_write_and_stays_bounded(tmp_path: Path) -> None:
    line = b"x" * 99_999 + b"\n"
    with Journal(tmp_path) as journal:
        os.write(journal.descriptor, b'{"event": "first"}\n')
        for _ in range((OLD_FILES + 3) * FILE_BYTES // len(line)):
            os.write(journal.descriptor, line)
        os.write(journal.descriptor, b'{"event": "last"}\n')
    kept = sorted(journal.path.parent.iterdir())
    assert len(kept) == OLD_FILES + 1
    assert sum(file.stat().st_size for file in kept) <= (OLD_FILES + 1) * FILE_BYTES
    assert journal.path.read_text("utf-8").endswith('{"event": "last"}\n')
