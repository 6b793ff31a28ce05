"""An import is cut at its durable steps, by a death that runs no clean-up; whoever goes on ends where it would have."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.catalog.rows import FileStatus
from retrieval.catalog.transaction import Catalog, Transaction
from retrieval.storage.directory import Directory, Disk
from tests.support.disks import LossyDisk, PowerCut
from tests.support.moving import answers, archive_of, bring, holdings, outcome, stock
from tests.support.workshop import Workshop, open_workshop
from workers.import_waiting import import_waiting

BOOKS = {f"{number}.txt": f"subject{number} and words".encode() for number in range(5)}
QUESTIONS = ["subject3", "words"]
CUTS = 14
LEAST_STEPS = 30


class CutDisk(LossyDisk):
    """Nothing happens after the cut: what a dying process leaves, it leaves."""


class LaterCatalog(Catalog):
    """Its clock can be put forward, so that leases of the dead run out; and it may be cut around a commit."""

    ahead = 0
    disk: Disk | None = None

    def now(self) -> int:
        return super().now() + self.ahead

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with super().transaction() as tx:
            yield tx
            # A lease is renewed whenever its time has come: such commits are not steps of the work.
            if isinstance(self.disk, CutDisk) and threading.current_thread() is threading.main_thread():
                self.disk.failing("before a commit")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[bytes, list[object]]]:
    with open_workshop(tmp_path_factory.mktemp("source")) as shop:
        store = stock(shop, BOOKS)
        yield archive_of(shop, store), answers(shop, store, QUESTIONS)


def cut_at(step: int, folder: Path, archive: bytes, expected: list[object]) -> int:
    """The steps of an undisturbed run (step 0); or cut there, go on, and compare."""
    folder.mkdir()
    with open_workshop(folder) as opened:
        catalog = LaterCatalog.open(f"sqlite:///{folder / 'catalog.db'}")
        try:
            storage = Directory(folder / "objects")
            resources = replace(opened.resources, catalog=catalog, storage=storage)
            shop: Workshop = replace(opened, catalog=catalog, storage=storage, resources=resources)
            wanted = bring(shop, archive)
            disk = CutDisk(folder / "objects", step)
            storage.disk = catalog.disk = disk
            if step:
                with suppress(PowerCut):  # files are copied at once, so the last steps may not be reached
                    import_waiting(resources)
                assert disk.steps >= min(step, LEAST_STEPS)
                storage.disk, catalog.disk = Disk(), None
                catalog.ahead += 3600
                storage.sweep()
                while outcome(shop, wanted).status is FileStatus.IN_PROGRESS:
                    assert import_waiting(resources)
            else:
                assert import_waiting(resources)
            row = outcome(shop, wanted)
            assert (row.status, row.files) == (FileStatus.COMPLETED, len(BOOKS)), row.error
            assert row.store_id
            assert answers(shop, row.store_id, QUESTIONS) == expected
            rows, objects = holdings(shop)
            assert rows["segments"] == len([name for name, _ in objects if name.startswith("segments/")])
            assert rows["blobs"] == len([name for name, _ in objects if name.startswith("blobs/")])
            return disk.steps
        finally:
            catalog.close()


def test_an_import_that_was_cut_anywhere_is_taken_up_and_ends_as_it_would_have(
    tmp_path: Path, source: tuple[bytes, list[object]]
) -> None:
    archive, expected = source
    steps = cut_at(0, tmp_path / "whole", archive, expected)
    assert steps > LEAST_STEPS
    chance = random.Random(11)
    for step in {1, 2, steps - 1, *(chance.randrange(1, steps) for _ in range(CUTS - 3))}:
        cut_at(step, tmp_path / str(step), archive, expected)
