"""Back-off shared by threads: one refusal is heard once, and waiting ends."""

import pytest

from ingest.embedding.backoff import SharedBackoff
from ingest.errors import EmbedderUnavailable


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def backoff(clock: Clock, chance: float = 1.0) -> SharedBackoff:
    return SharedBackoff(longest_pause_seconds=30, clock=clock, chance=lambda: chance, pause=clock.pause)


def started(shared: SharedBackoff) -> int:
    epoch = shared.wait(10_000)
    assert epoch is not None
    return epoch


def test_without_a_refusal_nobody_waits() -> None:
    clock = Clock()
    backoff(clock).wait(give_up_at=200)
    assert clock.slept == []


def test_ten_refusals_of_one_moment_are_one_refusal() -> None:
    clock = Clock()
    shared = backoff(clock)
    epochs = [started(shared) for _ in range(10)]
    for epoch in epochs:
        shared.refused(epoch, None)
    shared.wait(200)
    assert clock.slept == [pytest.approx(0.55)]


def test_refusals_in_a_row_wait_twice_as_long_up_to_the_longest() -> None:
    clock = Clock()
    shared = backoff(clock, chance=0.0)
    for _ in range(9):
        shared.refused(started(shared), None)
    shared.wait(10_000)
    assert clock.slept == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 15, 15, 15])


def test_an_answer_makes_the_next_pause_short_again() -> None:
    clock = Clock()
    shared = backoff(clock, chance=0.0)
    for _ in range(5):
        shared.refused(started(shared), None)
    shared.wait(10_000)
    shared.answered()
    shared.refused(started(shared), None)
    shared.wait(10_000)
    assert clock.slept[-1] == pytest.approx(0.25)


def test_what_the_upstream_asks_for_is_granted_even_by_a_late_refusal() -> None:
    clock = Clock()
    shared = backoff(clock, chance=0.0)
    early = started(shared)
    shared.refused(early, 2.0)
    shared.refused(early, 7.0)
    shared.wait(10_000)
    assert clock.now == pytest.approx(107)


def test_a_pause_beyond_the_callers_patience_is_said_at_once() -> None:
    clock = Clock()
    shared = backoff(clock)
    shared.refused(started(shared), 60.0)
    assert shared.wait(110) is None
    assert shared.seconds_left() == pytest.approx(60)
    assert clock.slept == []


def test_an_absurd_request_for_peace_is_bounded() -> None:
    clock = Clock()
    shared = backoff(clock)
    shared.refused(started(shared), 1e9)
    shared.wait(10_000)
    assert clock.now < 800


def test_a_closed_embedder_waits_no_longer() -> None:
    shared = backoff(Clock())
    shared.close()
    with pytest.raises(EmbedderUnavailable, match="closed"):
        shared.wait(200)
