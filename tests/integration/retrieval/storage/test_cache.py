"""The node-local cache: bounded, shared by processes, never half a file."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from retrieval.errors import StorageUnavailable
from retrieval.storage.cache import Cache
from retrieval.storage.directory import Directory, FileDraft
from retrieval.storage.objects import put
from tests.support.s3 import S3Server


def filling(content: bytes, *, claimed: int | None = None) -> Callable[[FileDraft], int]:
    def fill(draft: FileDraft) -> int:
        draft.write(content)
        return len(content) if claimed is None else claimed

    return fill


def unwanted(_draft: FileDraft) -> int:
    raise AssertionError("fetched again")


def cached(root: Path) -> set[str]:
    return {stored.name for stored in Directory(root).list()}


def test_a_copy_is_fetched_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=1000)
    with cache.held("a/b", filling(b"content")) as path:
        assert path.read_bytes() == b"content"
    with Cache(tmp_path, most_bytes=1000).held("a/b", unwanted) as path:
        assert path.read_bytes() == b"content"


def test_a_copy_that_came_short_is_never_served(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=1000)
    with (
        pytest.raises(StorageUnavailable, match="3 bytes instead of 7"),
        cache.held("name", filling(b"abc", claimed=7)),
    ):
        pass
    assert cached(tmp_path) == set()
    with cache.held("name", filling(b"abcdefg")) as path:
        assert path.read_bytes() == b"abcdefg"


def test_the_longest_unused_copies_go_first(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=300)
    for name in ("one", "two", "three"):
        with cache.held(name, filling(bytes(100))):
            pass
    with cache.held("one", unwanted):
        pass
    with cache.held("four", filling(bytes(100))):
        pass
    assert cached(tmp_path) == {"one", "three", "four"}


def test_a_copy_in_use_is_not_evicted(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=150)
    with cache.held("used", filling(bytes(100))) as path:
        with cache.held("other", filling(bytes(100))):
            assert path.exists()
        with cache.held("third", filling(bytes(100))):
            assert path.exists()
    assert "other" not in cached(tmp_path)


def test_threads_that_want_one_object_fetch_it_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path, most_bytes=1000)
    fetches: list[int] = []
    begun = threading.Barrier(8)

    def fill(draft: FileDraft) -> int:
        fetches.append(1)
        draft.write(b"content")
        return 7

    def use(_number: int) -> bytes:
        begun.wait()
        with cache.held("name", fill) as path:
            return path.read_bytes()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(use, range(8))) == {b"content"}
    assert len(fetches) == 1


CHURN = """
import sys
from pathlib import Path
from retrieval.storage.cache import Cache
cache = Cache(Path(sys.argv[1]), most_bytes=40_000)
number = 0
print("ready", flush=True)
while True:
    number += 1
    content = bytes([number % 7]) * 10_000
    def fill(draft):
        for _ in range(10):
            draft.write(content[:1_000])
        return len(content)
    with cache.held(f"object-{number % 7}", fill) as path:
        found = path.read_bytes()
        assert len(found) == 10_000 and len(set(found)) == 1, (number, len(found))
"""


def test_processes_that_share_a_cache_and_are_killed_leave_only_whole_copies(tmp_path: Path) -> None:
    for _ in range(4):
        running = [
            subprocess.Popen([sys.executable, "-c", CHURN, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(3)
        ]
        for process in running:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        time.sleep(0.1)  # of work, for the kill to interrupt
        for process in running:
            assert process.poll() is None, "a process saw something other than a whole copy"
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        for stored in Directory(tmp_path).list():
            content = (tmp_path / stored.name).read_bytes()
            assert len(content) == 10_000
            assert content == bytes([int(stored.name[-1])]) * 10_000
    cache = Cache(tmp_path, most_bytes=40_000)
    cache.sweep()
    assert list((tmp_path / ".incoming").iterdir()) == []
    assert sum(stored.bytes for stored in Directory(tmp_path).list()) <= 40_000


def test_a_damaged_copy_is_fetched_again_once_it_is_forgotten(s3: S3Server, tmp_path: Path) -> None:
    bucket = s3.open(s3.new_address(), tmp_path)
    put(bucket, "name", [b"content"])
    with bucket.local("name") as path:
        path.chmod(0o600)
        path.write_bytes(b"CONTENT")
    bucket.forget_local("name")
    with bucket.local("name") as path:
        assert path.read_bytes() == b"content"


def test_two_nodes_see_one_bucket(s3: S3Server, tmp_path: Path) -> None:
    address = s3.new_address()
    here, there = s3.open(address, tmp_path / "here"), s3.open(address, tmp_path / "there")
    put(here, "name", [b"content"])
    with there.local("name") as path:
        assert path.is_relative_to(tmp_path / "there")
        assert path.read_bytes() == b"content"
