"""Every adapter of the port keeps the same promises."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from retrieval.errors import ObjectExists, ObjectMissing
from retrieval.storage.objects import Storage, put

LARGE = 20 << 20  # more than a bucket takes in one piece


def content(storage: Storage, name: str, start: int = 0, stop: int | None = None) -> bytes:
    return b"".join(storage.read(name, start, stop))


def names(storage: Storage, folder: str = "") -> list[str]:
    return sorted(stored.name for stored in storage.list(folder))


def test_what_was_put_is_read_back(storage: Storage) -> None:
    assert put(storage, "a/b/c.bin", [b"hello ", bytearray(b"wor"), memoryview(b"ld")]) == 11
    assert content(storage, "a/b/c.bin") == b"hello world"
    assert storage.size("a/b/c.bin") == 11
    assert storage.exists("a/b/c.bin")


def test_an_empty_object_is_an_object(storage: Storage) -> None:
    assert put(storage, "empty", []) == 0
    assert storage.size("empty") == 0
    assert content(storage, "empty") == b""
    with storage.local("empty") as path:
        assert path.read_bytes() == b""


def test_a_large_object_goes_and_comes_in_parts(storage: Storage) -> None:
    piece = os.urandom(1 << 20)
    put(storage, "large", (piece for _ in range(20)))
    assert storage.size("large") == LARGE
    pieces = list(storage.read("large"))
    assert len(pieces) > 10
    assert b"".join(pieces) == piece * 20
    with pytest.raises(ObjectExists):
        put(storage, "large", (piece for _ in range(20)))
    assert names(storage) == ["large"]


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, 4, b"0123"), (3, None, b"3456789"), (4, 100, b"456789"), (10, None, b""), (20, 30, b""), (5, 5, b"")],
)
def test_a_range_is_clamped_to_the_object(storage: Storage, start: int, stop: int | None, expected: bytes) -> None:
    put(storage, "digits", [b"0123456789"])
    assert content(storage, "digits", start, stop) == expected


@pytest.mark.parametrize(("start", "stop"), [(-1, None), (5, 4)])
def test_a_range_that_cannot_be_is_our_own_bug(storage: Storage, start: int, stop: int | None) -> None:
    put(storage, "digits", [b"0123456789"])
    with pytest.raises(ValueError, match="no such range"):
        storage.read("digits", start, stop)


def test_a_second_create_of_a_name_is_refused_and_changes_nothing(storage: Storage) -> None:
    put(storage, "once", [b"first"])
    with pytest.raises(ObjectExists):
        put(storage, "once", [b"second"])
    assert content(storage, "once") == b"first"


def test_replacing_renews_the_object(storage: Storage) -> None:
    put(storage, "again", [b"same"])
    put(storage, "again", [b"same"], replace=True)
    assert content(storage, "again") == b"same"
    assert names(storage) == ["again"]


def test_of_many_who_create_one_name_one_succeeds(storage: Storage) -> None:
    def create(number: int) -> bool:
        try:
            put(storage, "race", [str(number).encode() * 1000])
        except ObjectExists:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(create, range(8)))
    assert won.count(True) == 1
    assert content(storage, "race") == str(won.index(True)).encode() * 1000


def test_an_object_that_is_not_there_is_missing_at_once(storage: Storage) -> None:
    for ask in (storage.size, storage.read, lambda name: storage.local(name).__enter__()):
        with pytest.raises(ObjectMissing):
            ask("nowhere")
    assert not storage.exists("nowhere")


def test_deleting_is_idempotent(storage: Storage) -> None:
    put(storage, "a/gone", [b"x"])
    storage.delete("a/gone")
    storage.delete("a/gone")
    assert not storage.exists("a/gone")
    with pytest.raises(ObjectMissing):
        storage.local("a/gone").__enter__()


def test_a_name_may_be_created_again_after_deletion(storage: Storage) -> None:
    put(storage, "name", [b"old"])
    with storage.local("name") as path:
        assert path.read_bytes() == b"old"
    storage.delete("name")
    put(storage, "name", [b"new"])
    with storage.local("name") as path:
        assert path.read_bytes() == b"new"


def test_listing_takes_whole_folders_with_sizes_and_times(storage: Storage) -> None:
    before = int(time.time()) - 2
    for name in ("a/one", "a/b/two", "ab/three", "four"):
        put(storage, name, [b"12345"])
    assert names(storage) == ["a/b/two", "a/one", "ab/three", "four"]
    assert names(storage, "a") == ["a/b/two", "a/one"]
    assert names(storage, "nowhere") == []
    assert all(stored.bytes == 5 and stored.modified_at >= before for stored in storage.list())


def test_a_draft_that_is_not_created_leaves_nothing(storage: Storage) -> None:
    with storage.draft() as draft:
        draft.write(b"half")
    assert names(storage) == []
    assert storage.sweep() == 0


def test_a_header_may_be_written_last(storage: Storage) -> None:
    with storage.draft() as draft:
        draft.write(b"????body")
        draft.write_at(0, b"head")
        with pytest.raises(ValueError, match="stays within"):
            draft.write_at(6, b"beyond")
        draft.create("whole")
    assert content(storage, "whole") == b"headbody"


def test_what_was_opened_outlives_deletion(storage: Storage) -> None:
    put(storage, "mapped", [b"still here"])
    with storage.local("mapped") as path:
        file = path.open("rb")
    with file:
        storage.delete("mapped")
        assert file.read() == b"still here"


def test_a_reader_that_stops_early_leaves_no_file_open(storage: Storage) -> None:
    put(storage, "long", [bytes(3 << 20)])
    open_before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(50):
        pieces = storage.read("long", 5)
        next(pieces)
        pieces.close()  # type: ignore[attr-defined]
        storage.read("long")
    assert len(list(Path("/proc/self/fd").iterdir())) <= open_before + 16  # a bucket keeps a few connections


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "../up", "a/../b", "a//b", ".incoming/x", "a/.b", "a\n", "ü", "a/"]
)
def test_a_name_that_could_leave_the_storage_is_our_own_bug(storage: Storage, name: str) -> None:
    with pytest.raises(ValueError, match="not the name"):
        put(storage, name, [b""])
    for ask in (storage.size, storage.delete, storage.exists, storage.read):
        with pytest.raises(ValueError, match="not the name"):
            ask(name)


def test_a_healthy_storage_says_so_and_keeps_nothing_of_the_check(storage: Storage) -> None:
    health = storage.check()
    assert health.free_bytes is None or health.free_bytes > 0
    assert names(storage) == []
    assert storage.sweep() == 0
