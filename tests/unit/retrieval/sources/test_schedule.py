"""When a source is due, above all where clocks change."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from retrieval.errors import InvalidInput
from retrieval.sources.schedule import checked, next_time

BERLIN = "Europe/Berlin"


def at(text: str, zone: str = BERLIN, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp())


def times(cron: str, zone: str, after: int, count: int) -> list[str]:
    """The next moments, each asked for after the one before, as a scheduler does; as the wall clock shows them."""
    found = []
    for _ in range(count):
        following = next_time(cron, zone, after)
        assert following is not None
        assert following > after
        after = following
        found.append(datetime.fromtimestamp(after, ZoneInfo(zone)).strftime("%d %H:%M%z"))
    return found


def test_every_night_is_at_the_same_hour_of_the_wall_in_summer_and_winter() -> None:
    assert times("0 4 * * *", BERLIN, at("2026-03-27T12:00"), 3) == ["28 04:00+0100", "29 04:00+0200", "30 04:00+0200"]
    assert times("0 4 * * *", BERLIN, at("2026-10-23T12:00"), 3) == ["24 04:00+0200", "25 04:00+0100", "26 04:00+0100"]


def test_an_hour_that_the_clocks_skip_is_made_up_for_at_once() -> None:
    assert times("30 2 * * *", BERLIN, at("2026-03-28T12:00"), 2) == ["29 03:00+0200", "30 02:30+0200"]


def test_an_hour_that_comes_twice_is_taken_once() -> None:
    assert times("30 2 * * *", BERLIN, at("2026-10-24T12:00"), 2) == ["25 02:30+0200", "26 02:30+0100"]


def test_whoever_asks_within_the_second_of_two_equal_hours_is_not_sent_back_into_the_first() -> None:
    between = at("2026-10-25T02:10", fold=1)
    assert times("30 2 * * *", BERLIN, between, 1) == ["26 02:30+0100"]


def test_what_runs_all_day_runs_through_both_hours() -> None:
    assert times("*/30 * * * *", BERLIN, at("2026-10-25T01:45"), 5) == [
        "25 02:00+0200",
        "25 02:30+0200",
        "25 02:00+0100",
        "25 02:30+0100",
        "25 03:00+0100",
    ]
    assert times("*/30 * * * *", BERLIN, at("2026-03-29T01:45"), 2) == ["29 03:00+0200", "29 03:30+0200"]


def test_another_time_zone_is_another_moment() -> None:
    noon = at("2026-06-01T12:00", "UTC")
    assert next_time("0 3 * * *", "Asia/Tokyo", noon) == at("2026-06-02T03:00", "Asia/Tokyo")


@pytest.mark.parametrize(
    "cron", ["", "every night", "0 3 * *", "0 0 3 * * *", "99 3 * * *", "0 3 ² * *", "\ud800 * * * *"]
)
def test_what_cron_would_not_understand_is_refused(cron: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked(cron, "UTC", 0)
    assert caught.value.param == "schedule.cron"


@pytest.mark.parametrize("zone", ["Moon/Sea", "", "../../etc/passwd", "/etc/localtime", "UTC\x00"])
def test_what_is_no_time_zone_is_refused(zone: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked("0 3 * * *", zone, 0)
    assert caught.value.param == "schedule.time_zone"
