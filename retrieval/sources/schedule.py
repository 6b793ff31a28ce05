"""Cron expression and time zone -> the next moment. Pure.

As cron does it: a job at an hour that the clocks skip runs at once after it; one at an hour that comes twice runs once.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from retrieval.errors import InvalidInput


def next_time(cron: str, time_zone: str, after: int) -> int | None:
    """The first moment after `after` (Unix seconds); None: the expression never comes true (30 February)."""
    zone = _zone(time_zone)
    try:
        for moment in CronSim(cron, datetime.fromtimestamp(after, UTC).astimezone(zone)):
            seconds = int(moment.timestamp())
            if seconds > after:  # in the second of two equal hours, the first answer may lie in the hour before
                return seconds
    except (CronSimError, ValueError) as error:
        raise InvalidInput(
            f"Invalid value for 'schedule.cron': {cron!r} is not five fields that cron understands ({error}).",
            param="schedule.cron",
            code="invalid_value",
        ) from error
    return None


def checked(cron: str, time_zone: str, after: int) -> int:
    """The same, where never is a mistake."""
    if len(cron.split()) != 5:
        raise InvalidInput(
            "Invalid value for 'schedule.cron': five fields are expected: minute, hour, day, month, weekday.",
            param="schedule.cron",
            code="invalid_value",
        )
    found = next_time(cron, time_zone, after)
    if found is None:
        raise InvalidInput(
            f"Invalid value for 'schedule.cron': {cron!r} never comes.", param="schedule.cron", code="invalid_value"
        )
    return found


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise InvalidInput(
            f"Invalid value for 'schedule.time_zone': there is no time zone {name!r}; one is 'Europe/Berlin'.",
            param="schedule.time_zone",
            code="invalid_value",
        ) from error
