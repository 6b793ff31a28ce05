"""The timetable: which task is rung for how often. A task that nobody took in time is dropped: the next one comes."""

from typing import Final

from retrieval.jobs import CLEAN_UP, INTERACTIVE, KEEP_UP, SWEEP, UPKEEP

Timetable = dict[str, dict[str, object]]

CLEAN_UP_SECONDS: Final = 6 * 3600  # a listing of the whole storage
PATIENCE: Final = 2  # a message older than so many periods says nothing new


def timetable(sweep_seconds: int, upkeep_seconds: int) -> Timetable:
    return {
        name: {
            "task": task,
            "schedule": float(seconds),
            "options": {"queue": queue, "expires": PATIENCE * seconds, "ignore_result": True},
        }
        for name, task, seconds, queue in (
            ("sweep", SWEEP, sweep_seconds, INTERACTIVE),
            ("keep up", KEEP_UP, upkeep_seconds, UPKEEP),
            ("clean up", CLEAN_UP, CLEAN_UP_SECONDS, UPKEEP),
        )
    }
