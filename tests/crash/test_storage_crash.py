"""Every step towards a durable object is cut in turn: what was acknowledged is there, nothing is half there."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from retrieval.errors import StorageError, StorageFull, StorageUnavailable
from retrieval.ids import SegmentId
from retrieval.segments.folding import fold_segments
from retrieval.storage.directory import INCOMING, Directory
from retrieval.storage.objects import put
from tests.support.disks import DeadlyDisk, FaultyDisk, LossyDisk, PowerCut
from tests.support.rows import STORE, open_row, rows_of, write_rows

ROOT = Path(__file__).parents[2]
TEXTS = [f"chunk {number} about rivers and maps, part AB-{number}" for number in range(40)]

Acknowledge = Callable[[str], None]


def story(storage: Directory, acknowledge: Acknowledge) -> None:
    """One of everything that is stored; each step may be told again from the start."""

    def once(name: str, act: Callable[[], object]) -> None:
        if not storage.exists(name):
            act()
        acknowledge(name)

    once("plain/folder/object", lambda: put(storage, "plain/folder/object", [b"first ", b"second"]))
    for pieces in ([b"codes ", b"of rows"], [b"codes of rows"]):  # the second renews the first
        put(storage, "indexes/store/codes", pieces, replace=True)
        acknowledge("indexes/store/codes")
    rows = []
    for number in (1, 2):
        name = f"segments/{STORE}/seg_{number}.safetensors"
        new = rows_of(TEXTS, documents=[number] * len(TEXTS), width=64, seed=number)
        if storage.exists(name):
            storage.delete(name)  # a segment that nobody heard of is an orphan: its rows are written anew
        rows.append(write_rows(storage, new, SegmentId(f"seg_{number}")))
        acknowledge(name)
    folded = f"segments/{STORE}/seg_3.safetensors"
    if storage.exists(folded):
        storage.delete(folded)
    fold_segments(
        storage,
        [open_row(storage, row) for row in rows],
        lambda numbers: numbers > 0,
        store=STORE,
        segment=SegmentId("seg_3"),
        created_at=2,
    )
    acknowledge(folded)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mapping[str, bytes], int]:
    """What an undisturbed story leaves, and in how many steps."""
    disk = FaultyDisk()
    storage = Directory(tmp_path_factory.mktemp("whole"), disk=disk)
    told: list[str] = []
    story(storage, told.append)
    assert {"create", "write", "sync", "link", "rename", "unlink", "make_folder", "sync_folder"} == set(disk.kinds)
    assert not list((storage.root / INCOMING).iterdir())
    return contents(storage), disk.steps


def contents(storage: Directory) -> dict[str, bytes]:
    return {stored.name: storage.path(stored.name).read_bytes() for stored in storage.list()}


def assert_nothing_half(found: Mapping[str, bytes], whole: Mapping[str, bytes]) -> None:
    for name, content in found.items():
        assert content == whole[name], f"{name} is not whole"


def test_a_process_killed_at_any_step(tmp_path: Path, whole: tuple[Mapping[str, bytes], int]) -> None:
    expected, steps = whole
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, __file__, str(tmp_path), str(steps)], env=environment, check=True, timeout=250)
    for step in range(1, steps + 1):
        folder = tmp_path / str(step)
        storage = Directory(folder / "objects")
        found = contents(storage)
        assert_nothing_half(found, expected)
        told = (folder / "told").read_text().splitlines()
        assert set(told) <= set(found), f"step {step}: acknowledged and gone"
        storage.sweep()
        assert not list((storage.root / INCOMING).iterdir())
        assert contents(storage) == found
    story(storage, lambda _name: None)
    assert contents(storage) == expected


def test_the_power_cut_at_any_step(tmp_path: Path, whole: tuple[Mapping[str, bytes], int]) -> None:
    expected, steps = whole
    for step in range(1, steps + 1):
        before, after = tmp_path / f"{step}-before", tmp_path / f"{step}-after"
        (before / INCOMING).mkdir(parents=True)
        disk = LossyDisk(before, step)
        told: list[str] = []
        with pytest.raises(PowerCut):
            story(Directory(before, disk=disk), told.append)
        disk.survivors(after)
        found = contents(Directory(after))
        assert_nothing_half(found, expected)
        assert set(told) <= set(found), f"step {step} ({disk.kinds[-1]}): acknowledged and gone"


def failure_of(storage: Directory, acknowledge: Acknowledge) -> StorageError | None:
    try:
        story(storage, acknowledge)
    except StorageError as error:
        return error
    return None


def test_a_disk_that_fails_at_any_step(tmp_path: Path, whole: tuple[Mapping[str, bytes], int]) -> None:
    expected, steps = whole
    failed = 0
    for step in range(1, steps + 1):
        disk = FaultyDisk(step)
        storage = Directory(tmp_path / str(step), disk=disk)
        told: list[str] = []
        error = failure_of(storage, told.append)
        if error is not None:
            failed += 1
            adds = disk.kinds[step - 1] in {"create", "write", "link", "make_folder"}
            assert isinstance(error, StorageFull if adds else StorageUnavailable)
        found = contents(storage)
        assert_nothing_half(found, expected)
        assert set(told) <= set(found)
        storage.sweep()
        assert not list((storage.root / INCOMING).iterdir())
        story(storage, lambda _name: None)
        assert contents(storage) == expected, f"step {step}: the same storage does not recover"
    assert failed > steps * 0.7  # removing a second name may fail quietly


def test_a_file_that_may_not_grow_is_a_full_disk(tmp_path: Path) -> None:
    """The kernel's own refusal, in a process whose files are limited."""
    script = f"""
import resource
from pathlib import Path
from retrieval.errors import StorageFull
from retrieval.storage.directory import Directory
from retrieval.storage.objects import put
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}))
storage = Directory(Path({str(tmp_path)!r}))
put(storage, "small", [bytes(50_000)] * 2)
try:
    put(storage, "large", [bytes(60_000)] * 2)
except StorageFull as error:
    print("full:", error)
print([stored.name for stored in storage.list()], list((storage.root / ".incoming").iterdir()))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["full: a new object: File too large", "['small'] []"]


def test_writers_stop_before_the_reserve(tmp_path: Path) -> None:
    with pytest.raises(StorageFull, match="kept in reserve"):
        put(Directory(tmp_path, reserve_bytes=1 << 60), "name", [b"x"])
    with pytest.raises(StorageFull):
        Directory(tmp_path, reserve_bytes=1 << 60).check()


def test_a_living_writer_is_not_swept(tmp_path: Path) -> None:
    storage = Directory(tmp_path)
    with storage.draft() as draft:
        draft.write(b"in the making")
        assert Directory(tmp_path).sweep() == 0
        draft.create("made")
    assert contents(storage) == {"made": b"in the making"}


def test_a_folder_swept_away_between_two_steps_is_made_again(tmp_path: Path) -> None:
    storage = Directory(tmp_path)
    put(storage, "folder/one", [b"1"])
    with storage.draft() as draft:
        draft.write(b"2")
        storage.delete("folder/one")
        storage.sweep()
        assert not (tmp_path / "folder").exists()
        draft.create("folder/two")
    assert contents(storage) == {"folder/two": b"2"}


def _die_at_every_step(root: Path, steps: int) -> None:
    """In a process of its own, since each step is a fork of it that is killed."""
    for step in range(1, steps + 1):
        folder = root / str(step)
        folder.mkdir()
        (folder / "told").touch()
        child = os.fork()
        if not child:
            with (folder / "told").open("a") as told:
                story(
                    Directory(folder / "objects", disk=DeadlyDisk(step)),
                    lambda name: print(name, file=told, flush=True),
                )
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), f"step {step} was survived"


if __name__ == "__main__":
    _die_at_every_step(Path(sys.argv[1]), int(sys.argv[2]))
