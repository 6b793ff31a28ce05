"""F7: the disk is filled to its last byte in the middle of uploads and ingestion, and freed again."""

import os
import random
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

import openai

from benchmarks._faults.run import Run, Size, none, parts
from benchmarks.figure import Figure
from tests.support.whole import pause

DISK_BYTES: Final = 192 << 20
RESERVE_BYTES: Final = 8 << 20
FULL_SECONDS: Final = 3.0


@contextmanager
def small_disk() -> Iterator[Path]:
    """A file system of its own; PermissionError where this user may not mount one."""
    with tempfile.TemporaryDirectory(prefix="carrel-disk-") as folder:
        words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder]
        try:
            subprocess.run(words, check=True, capture_output=True)
        except (subprocess.CalledProcessError, FileNotFoundError) as error:
            raise PermissionError("no file system can be mounted here: it takes root") from error
        try:
            yield Path(folder)
        finally:
            subprocess.run(["umount", "--lazy", folder], check=True)


def disk_full(size: Size, chance: random.Random) -> Iterator[Figure]:
    environment = {
        "CARREL_STORAGE_RESERVE_BYTES": str(RESERVE_BYTES),
        "CARREL_EMBEDDING_CACHE_BYTES": str(1 << 20),
        "CARREL_WORKERS_UPKEEP_SECONDS": "1",
    }
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(small_disk())
        except PermissionError as error:
            yield Figure("F7 not run", str(error))
            return
        whole = stack.enter_context(parts(environment, folder=disk))
        run = Run(whole, chance, size.documents)
        paused = odd = searched = 0
        for number in range(size.times):
            store = run.fill()
            pause(chance.uniform(0, 0.5))
            spare = RESERVE_BYTES // 2 if number % 2 else 0  # within the reserve, or to the last byte
            with _filled(disk, spare):
                for _ in range(5):
                    answer = _refusal(run)
                    paused += answer == 503
                    odd += answer not in {200, 503}
                    pause(FULL_SECONDS / 5)
                if spare:
                    searched += bool(run.client.vector_stores.search(store, query="words").data is not None)
            run.insist(lambda: run.upload("after.txt", b"there is room again"))
        yield Figure("F7 disk filled", size.times, "times")
        yield Figure("F7 uploads refused with 503", paused, "times", f"of {5 * size.times}", met=paused > 0)
        yield none("F7 other answers", odd, "times")
        yield Figure(
            "F7 searches while it was full", searched, "times", f"of {size.times // 2}", met=searched == size.times // 2
        )
        yield from run.verdict("F7")


def _refusal(run: Run) -> int:
    """The status of an upload that is tried once."""
    try:
        run.client.with_options(max_retries=0).files.create(file=("x.txt", os.urandom(1000)), purpose="assistants")
    except openai.APIStatusError as error:
        return error.status_code if error.response.headers.get("retry-after") else -error.status_code
    return 200


@contextmanager
def _filled(disk: Path, spare: int) -> Iterator[None]:
    ballast = disk / "ballast"
    with ballast.open("wb") as file, suppress(OSError):
        while True:
            facts = os.statvfs(disk)
            wanted = min(1 << 20, facts.f_bavail * facts.f_frsize - spare)
            if wanted <= 0:
                break
            file.write(bytes(wanted))
            file.flush()
    try:
        yield
    finally:
        ballast.unlink()
