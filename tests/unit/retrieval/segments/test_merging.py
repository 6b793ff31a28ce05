"""The policy of merging, over stores that grow in every way."""

import itertools
import random

import pytest

from retrieval.ids import SegmentId
from retrieval.segments.merging import MergeLimits, SegmentSize, choose_merges

LIMITS = MergeLimits()
ROW_BYTES = 3000


class GrowingStore:
    """Folds as it is told and counts what is rewritten."""

    def __init__(self, limits: MergeLimits = LIMITS) -> None:
        self.limits = limits
        self.segments: dict[SegmentId, SegmentSize] = {}
        self.rewritten = 0
        self._numbers = itertools.count()

    def append(self, rows: int) -> None:
        self._add(rows)
        while groups := choose_merges(self.segments.values(), self.limits):
            for group in groups:
                living = sum(self.segments.pop(segment).living for segment in group)
                self.rewritten += living
                if living:
                    self._add(living)

    def kill(self, share: float, chance: random.Random) -> None:
        for segment in list(self.segments.values()):
            dead = min(segment.rows, segment.dead + int(segment.living * share * 2 * chance.random()))
            self.segments[segment.id] = SegmentSize(segment.id, segment.rows, dead, segment.bytes)

    def _add(self, rows: int) -> None:
        name = SegmentId(f"seg_{next(self._numbers):08}")
        self.segments[name] = SegmentSize(name, rows, 0, rows * ROW_BYTES)

    @property
    def rows(self) -> int:
        return sum(segment.living for segment in self.segments.values())

    def assert_bounded(self) -> None:
        assert len(self.segments) <= self.limits.most_live
        small = [segment for segment in self.segments.values() if segment.living < self.limits.small_rows]
        assert len(small) <= self.limits.most_small


@pytest.mark.parametrize(("rows", "times"), [(1, 3000), (20, 5000), (100, 10_000), (4096, 250), (50_000, 40)])
def test_steady_growth_keeps_segments_few_and_rewrites_each_row_seldom(rows: int, times: int) -> None:
    store = GrowingStore()
    for _ in range(times):
        store.append(rows)
        store.assert_bounded()
    assert store.rows == rows * times
    # Below the smallest tier all are folded together: an append costs at most this many rows more.
    assert store.rewritten <= 6 * store.rows + times * LIMITS.smallest_tier_rows / (LIMITS.fold - 1)


def test_growth_in_pieces_of_every_size_keeps_segments_few() -> None:
    chance = random.Random(3)
    store = GrowingStore()
    for _ in range(1500):
        store.append(int(10 ** (chance.random() * 4.5)))
        store.assert_bounded()
    assert store.rewritten <= 6 * store.rows


def test_dead_rows_do_not_pile_up() -> None:
    chance = random.Random(5)
    store = GrowingStore()
    for _ in range(400):
        store.append(500)
        store.kill(0.02, chance)
    store.append(500)
    store.assert_bounded()
    for segment in store.segments.values():
        assert segment.dead < max(LIMITS.least_dead, LIMITS.dead_share * segment.rows)


def sizes(*rows: int, dead: int = 0, row_bytes: int = ROW_BYTES) -> list[SegmentSize]:
    return [SegmentSize(SegmentId(f"seg_{n}"), count, dead, count * row_bytes) for n, count in enumerate(rows)]


def test_nothing_is_folded_without_need() -> None:
    assert choose_merges([], LIMITS) == []
    assert choose_merges(sizes(100), LIMITS) == []
    assert choose_merges(sizes(*[100] * 7, *[2000] * 7, 100_000), LIMITS) == []


def test_eight_of_a_kind_are_folded() -> None:
    assert choose_merges(sizes(*[100] * 8, 90_000), LIMITS) == [tuple(f"seg_{n}" for n in range(8))]


def test_a_segment_without_living_rows_goes_at_once() -> None:
    assert choose_merges(sizes(50, dead=50), LIMITS) == [("seg_0",)]


def test_a_segment_is_rewritten_alone_once_a_quarter_is_dead() -> None:
    assert choose_merges(sizes(10_000, dead=2499), LIMITS) == []
    assert choose_merges(sizes(10_000, dead=2500), LIMITS) == [("seg_0",)]
    assert choose_merges(sizes(100, dead=99), LIMITS) == []


def test_a_fold_takes_no_more_bytes_than_it_may() -> None:
    limits = MergeLimits(most_bytes=1_000_000)
    store = GrowingStore(limits)
    for _ in range(100):
        before = dict(store.segments)
        store.append(40)
        for segment in store.segments.values():
            assert segment.bytes <= limits.most_bytes or segment.id in before
    for group in choose_merges(sizes(*[100] * 50), limits):
        assert len(group) * 100 * ROW_BYTES <= limits.most_bytes


def test_no_segment_is_in_two_groups() -> None:
    chance = random.Random(11)
    for _ in range(300):
        found = [
            SegmentSize(SegmentId(f"s{n}"), rows, chance.randrange(rows + 1), rows * ROW_BYTES)
            for n, rows in enumerate(int(10 ** (chance.random() * 6)) for _ in range(chance.randrange(60)))
        ]
        groups = choose_merges(found, LIMITS)
        chosen = [segment for group in groups for segment in group]
        assert len(chosen) == len(set(chosen))
        assert all(groups)
        assert choose_merges(reversed(found), LIMITS) == groups
