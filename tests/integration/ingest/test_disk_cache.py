"""The cache on disk: shared, bounded, and never believed when it is damaged."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from ingest.embedding.cache import Entry, VectorCache
from ingest.embedding.disk_cache import DiskCache, slot_bytes
from ingest.embedding.embedder import Vectors
from ingest.embedding.frugal import FrugalEmbedder
from tests.support.engines import CountingEngine

WIDTH = 32


def key(number: int) -> bytes:
    return (number * 0x9E3779B97F4A7C15 % (1 << 128)).to_bytes(16, "little")


def vector(number: int) -> Vectors:
    return np.random.default_rng(number).normal(size=WIDTH).astype(np.float32)


def opened(folder: Path, *, most_bytes: int = 1 << 20, identity: str = "model") -> DiskCache:
    cache = DiskCache.open(folder, identity=identity, width=WIDTH, most_bytes=most_bytes)
    assert cache is not None
    return cache


def found(cache: DiskCache, numbers: range) -> set[int]:
    """The numbers that are there; each must be what was written."""
    known = {key(number): number for number in numbers}
    there = set[int]()
    for at, row, tokens in cache.read(known):
        number = known[at]
        np.testing.assert_array_equal(row, vector(number))
        assert tokens == number
        there.add(number)
    return there


def fill(cache: DiskCache, numbers: range) -> None:
    cache.write((key(number), vector(number), number) for number in numbers)


def test_what_one_process_wrote_the_next_one_finds(tmp_path: Path) -> None:
    first = opened(tmp_path)
    fill(first, range(100))
    first.close()
    assert found(opened(tmp_path), range(200)) == set(range(100))


def test_the_file_never_grows_over_its_bound(tmp_path: Path) -> None:
    cache = opened(tmp_path, most_bytes=100_000)
    fill(cache, range(5000))
    (file,) = tmp_path.iterdir()
    assert file.stat().st_size <= 100_000
    kept = found(cache, range(5000))
    assert len(kept) > 0.8 * 100_000 / slot_bytes(WIDTH)


def test_new_entries_displace_the_ones_used_longest_ago(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1_000_000
    monkeypatch.setattr(time, "time", lambda: now)
    cache = opened(tmp_path, most_bytes=4096 + 4 * slot_bytes(WIDTH))  # one group of four
    for number in range(4):
        fill(cache, range(number, number + 1))
        now += 10_000
    assert found(cache, range(1)) == {0}  # reading renews it
    now += 1
    fill(cache, range(4, 5))
    assert found(cache, range(5)) == {0, 2, 3, 4}


def test_a_bound_too_small_for_anything_means_no_cache(tmp_path: Path) -> None:
    assert DiskCache.open(tmp_path, identity="model", width=WIDTH, most_bytes=4096) is None


def test_models_do_not_see_each_others_vectors(tmp_path: Path) -> None:
    fill(opened(tmp_path, identity="one"), range(10))
    assert found(opened(tmp_path, identity="other"), range(10)) == set()


def test_another_bound_starts_an_empty_cache_while_old_readers_go_on(tmp_path: Path) -> None:
    old = opened(tmp_path)
    fill(old, range(10))
    new = opened(tmp_path, most_bytes=1 << 19)
    assert found(new, range(10)) == set()
    assert found(old, range(10)) == set(range(10))


@pytest.mark.parametrize("damage", ["truncated", "garbage", "other header", "zeros", "empty"])
def test_a_damaged_file_reads_as_empty_and_works_again(tmp_path: Path, damage: str) -> None:
    cache = opened(tmp_path)
    fill(cache, range(50))
    cache.close()
    (file,) = tmp_path.iterdir()
    size = file.stat().st_size
    match damage:
        case "truncated":
            os.truncate(file, 5000)
        case "garbage":
            file.write_bytes(os.urandom(size))
        case "other header":
            file.write_bytes(b"SQLite format 3\0" + file.read_bytes()[16:])
        case "zeros":
            file.write_bytes(bytes(size))
        case _:
            os.truncate(file, 0)
    again = opened(tmp_path)
    assert len(found(again, range(50))) <= 1  # a truncated file may hold one whole slot
    fill(again, range(50))
    assert found(again, range(50)) == set(range(50))


def test_every_single_damaged_byte_of_an_entry_makes_it_absent_or_leaves_it_right(tmp_path: Path) -> None:
    cache = opened(tmp_path, most_bytes=4096 + 4 * slot_bytes(WIDTH))
    fill(cache, range(1, 2))
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for at in range(4096, 4096 + slot_bytes(WIDTH)):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x40]) + whole[at + 1 :])
        assert found(cache, range(1, 2)) <= {1}


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    cache = VectorCache.open(memory_bytes=0, folder=file / "sub", disk_bytes=1 << 20, identity="model", width=WIDTH)
    cache.put_many({key(1): Entry(vector(1), 1)})
    assert cache.get_many([key(1)]) == {}


def test_a_second_embedder_pays_only_for_what_is_new(tmp_path: Path) -> None:
    def embedder(engine: CountingEngine) -> FrugalEmbedder:
        disk = DiskCache.open(tmp_path, identity=engine.identity, width=engine.spec.width, most_bytes=1 << 20)
        return FrugalEmbedder(engine, VectorCache(memory_bytes=1 << 16, disk=disk))

    first, second = CountingEngine(), CountingEngine()
    before = embedder(first).embed(["a", "b c d e f g"])
    after = embedder(second).embed(["b c d e f g", "new", "a"])
    assert second.seen == ["new"]
    np.testing.assert_array_equal(after.vectors[[2, 0]], before.vectors)
    assert after.tokens == before.tokens + 1


def hammer(folder: Path, seed: int) -> None:
    cache = opened(folder, most_bytes=200_000)
    order = np.random.default_rng(seed)
    while True:
        start = int(order.integers(0, 3000))
        fill(cache, range(start, start + 20))


def test_writers_killed_in_the_middle_of_everything_leave_no_wrong_vector(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    cache = opened(tmp_path, most_bytes=200_000)
    writers = [context.Process(target=hammer, args=(tmp_path, seed), daemon=True) for seed in range(2)]
    for writer in writers:
        writer.start()
    while len(found(cache, range(3000))) < 200:  # reading while they write
        pass
    for _ in range(5):
        found(cache, range(3000))
    for writer in writers:
        assert writer.pid
        os.kill(writer.pid, signal.SIGKILL)
        writer.join(10)
    assert found(cache, range(3000))
