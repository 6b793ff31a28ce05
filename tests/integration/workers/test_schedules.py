"""The clockwork rings by the time that passes, and into no full queue; the clock on the wall means nothing to it."""

import json
from collections import Counter
from pathlib import Path

import pytest

from retrieval.jobs import CLEAN_UP, KEEP_UP, SWEEP, UPKEEP, messenger
from workers.schedules import FIRST_SECONDS, MOST_UNANSWERED, Clockwork, timetable


class Beat:
    """A clockwork over a spool, and what lies in it."""

    def __init__(self, folder: Path) -> None:
        self.now = 1000.0
        self._folder = folder
        app = messenger("", folder)
        app.conf.beat_schedule = timetable(2, 15)
        self._clockwork = Clockwork(app, clock=lambda: self.now)

    def after(self, seconds: float) -> float:
        self.now += seconds
        return float(self._clockwork.tick())

    def messages(self) -> list[dict[str, dict[str, object]]]:
        return [json.loads(path.read_text()) for path in (self._folder / "messages").iterdir()]

    def rung(self) -> dict[str, int]:
        """Of the two tasks whose periods are given above."""
        all_of_them = Counter(str(message["headers"]["task"]) for message in self.messages())
        return {task: all_of_them[task] for task in (SWEEP, KEEP_UP)}


@pytest.fixture
def beat(tmp_path: Path) -> Beat:
    return Beat(tmp_path)


def test_each_task_is_rung_for_at_once_and_then_in_its_period(beat: Beat) -> None:
    assert beat.after(0) == pytest.approx(2)
    assert beat.rung() == {SWEEP: 1, KEEP_UP: 1}
    beat.after(1)
    assert beat.rung() == {SWEEP: 1, KEEP_UP: 1}
    beat.after(1)
    assert beat.rung() == {SWEEP: 2, KEEP_UP: 1}
    beat.after(13)
    assert beat.rung() == {SWEEP: 3, KEEP_UP: 2}


def test_what_is_seldom_done_is_done_soon_after_a_start(beat: Beat) -> None:
    beat.after(0)
    beat.after(FIRST_SECONDS)
    assert [message["headers"]["task"] for message in beat.messages()].count(CLEAN_UP) == 1


def test_no_ring_expires_by_anybodys_clock(beat: Beat) -> None:
    """A worker whose clock is a day ahead would drop all of them."""
    beat.after(0)
    assert {message["headers"]["expires"] for message in beat.messages()} == {None}


def test_rings_do_not_pile_up_where_nobody_answers(beat: Beat) -> None:
    for _ in range(MOST_UNANSWERED + 20):
        beat.after(15)
    queues = Counter(str(message["properties"]["delivery_info"]["routing_key"]) for message in beat.messages())  # type: ignore[index]  # JSON of known shape
    assert queues[UPKEEP] == MOST_UNANSWERED
