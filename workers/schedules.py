"""The timetable, and the clockwork that keeps it: which task is rung for how often.

Time is what has passed on this machine, not what its clock says: a clock that is set back by an hour, or was a day
ahead, silences nothing. Messages carry no time of expiry for the same reason. Nothing piles up nevertheless: while
rings lie unanswered, no more are added.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from celery.beat import Scheduler

from retrieval.jobs import BEGIN_REFRESHES, CLEAN_UP, INTERACTIVE, KEEP_UP, SWEEP, UPKEEP, CeleryDoorbell

Timetable = dict[str, dict[str, object]]

CLEAN_UP_SECONDS: Final = 6 * 3600  # a listing of the whole storage
FIRST_SECONDS: Final = 600  # after the start what is seldom done is done first: services are restarted
MOST_UNANSWERED: Final = 50  # messages of a queue
LONGEST_PAUSE_SECONDS: Final = 5.0


def timetable(sweep_seconds: int, upkeep_seconds: int, refresh_seconds: int = 5) -> Timetable:
    return {
        name: {
            "task": task,
            "schedule": float(seconds),
            "options": {"queue": queue, "ignore_result": True},
        }
        for name, task, seconds, queue in (
            ("sweep", SWEEP, sweep_seconds, INTERACTIVE),
            ("keep up", KEEP_UP, upkeep_seconds, UPKEEP),
            ("begin refreshes", BEGIN_REFRESHES, refresh_seconds, INTERACTIVE),
            ("clean up", CLEAN_UP, CLEAN_UP_SECONDS, UPKEEP),
        )
    }


class Clockwork(Scheduler):  # type: ignore[misc]  # Celery has no types
    """Celery's beat by the time that passes. One is enough, two ring twice."""

    def __init__(self, *arguments: Any, clock: Callable[[], float] = time.monotonic, **named: Any) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}  # by the clock
        super().__init__(*arguments, **named)
        self._doorbell = CeleryDoorbell(self.app)

    def tick(self, **_: Any) -> float:
        """Ring for what is due; seconds until something is."""
        for name, entry in self.schedule.items():
            period, now = entry.schedule.run_every.total_seconds(), self._clock()
            due = self._due.setdefault(name, now if period < FIRST_SECONDS else now + FIRST_SECONDS)
            if due <= now:
                self._due[name] = now + period
                if self._doorbell.waiting(entry.options["queue"]) < MOST_UNANSWERED:
                    self.apply_entry(entry, producer=self.producer)
        return max(0.0, min(LONGEST_PAUSE_SECONDS, min(self._due.values()) - self._clock()))
