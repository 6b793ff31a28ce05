"""The cache in memory: bounded, and least recently used goes first."""

import numpy as np

from ingest.embedding.cache import Entry, VectorCache


def entry(number: int) -> Entry:
    return Entry(np.full(16, number, dtype=np.float32), number)


def key(number: int) -> bytes:
    return number.to_bytes(16, "little")


def test_what_was_put_is_found_with_its_tokens() -> None:
    cache = VectorCache(memory_bytes=1 << 16)
    cache.put_many({key(7): entry(7)})
    found = cache.get_many([key(7), key(8)])
    assert list(found) == [key(7)]
    assert found[key(7)].tokens == 7


def test_the_bound_holds_and_what_was_used_last_stays() -> None:
    cache = VectorCache(memory_bytes=10 * (16 * 4 + 300))
    cache.put_many({key(number): entry(number) for number in range(10)})
    cache.get_many([key(0)])
    cache.put_many({key(number): entry(number) for number in range(10, 15)})
    found = cache.get_many(key(number) for number in range(15))
    assert len(found) == 10
    assert key(0) in found
    assert key(1) not in found


def test_putting_a_key_again_does_not_count_twice() -> None:
    cache = VectorCache(memory_bytes=3 * (16 * 4 + 300))
    for _ in range(50):
        cache.put_many({key(1): entry(1)})
    cache.put_many({key(2): entry(2), key(3): entry(3)})
    assert len(cache.get_many([key(1), key(2), key(3)])) == 3
