"""Limits: a minute's worth at once, an even flow after it, and never more than that."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrieval.api.auth import Caller
from retrieval.api.limits import Level, Limiter, LocalCounters, headers_of, span
from retrieval.catalog.account_rows import KeyRow
from retrieval.errors import QuotaExceeded
from retrieval.ids import KeyId, ProjectId

SEARCH = ("POST", "/v1/vector_stores/vs_1/search")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def caller(limits: Mapping[str, int] | None = None, key: Mapping[str, int] | None = None, name: str = "a") -> Caller:
    project = ProjectId("proj_1")
    row = KeyRow(KeyId(f"key_{name}"), project, "", "", frozenset(), None, key or {}, 0, None, None, None)
    return Caller(project, row, limits or {})


def limiter(clock: Clock, **defaults: int) -> Limiter:
    return Limiter(LocalCounters(clock=clock), defaults)


def refusal(asked: Limiter, who: Caller, method: str = "POST", path: str = SEARCH[1]) -> QuotaExceeded:
    with pytest.raises(QuotaExceeded) as caught:
        asked.admit(who, method, path)
    return caught.value


def test_without_limits_nothing_is_counted_and_nothing_said() -> None:
    free = limiter(Clock())
    assert all(free.admit(caller(), *SEARCH) == {} for _ in range(1000))
    assert free.most_bytes(caller()) is None


def test_a_minutes_worth_may_come_at_once_and_the_next_when_there_is_room_for_one() -> None:
    clock = Clock()
    tight, who = limiter(clock), caller({"requests_per_minute": 6})
    for left in range(5, -1, -1):
        assert tight.admit(who, *SEARCH)["requests_per_minute"].remaining == left
    refused = refusal(tight, who)
    assert refused.retry_after_seconds == pytest.approx(10)
    assert "6 requests a minute" in str(refused)
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    clock.now += 9.9
    refusal(tight, who)
    clock.now += 0.2
    tight.admit(who, *SEARCH)
    refusal(tight, who)


@given(
    limit=st.integers(1, 500),
    pauses=st.lists(st.floats(0, 20, allow_nan=False, allow_infinity=False), min_size=1, max_size=200),
)
def test_never_more_than_two_minutes_worth_in_a_minute_nor_more_than_the_rate_for_long(
    limit: int, pauses: list[float]
) -> None:
    clock, admitted = Clock(), 0
    tight, who = limiter(clock), caller({"requests_per_minute": limit})
    for pause in pauses:
        clock.now += pause
        try:
            tight.admit(who, *SEARCH)
            admitted += 1
        except QuotaExceeded:
            pass
    assert admitted <= limit * (1 + sum(pauses) / 60) + 1e-6


def test_a_large_request_is_let_in_and_paid_for_by_whoever_comes_after() -> None:
    clock = Clock()
    tight, who = limiter(clock, tokens_per_minute=600), caller()
    assert tight.admit(who, *SEARCH)["tokens_per_minute"].remaining == 600
    assert tight.charge_tokens(who, 1500)["tokens_per_minute"].remaining == 0
    assert refusal(tight, who).retry_after_seconds == pytest.approx((1500 - 600 + 1) / 10)
    clock.now += 90.2
    assert tight.admit(who, *SEARCH)["tokens_per_minute"].remaining >= 1


def test_who_is_refused_by_one_bucket_has_used_nothing_of_another() -> None:
    clock = Clock()
    tight = limiter(clock)
    who = caller({"requests_per_minute": 10, "uploads_per_minute": 1})
    tight.admit(who, "POST", "/v1/files")
    for _ in range(5):
        refusal(tight, who, "POST", "/v1/files")
    assert tight.admit(who, "GET", "/v1/files")["requests_per_minute"].remaining == 8


def test_a_key_has_its_own_limit_beside_its_projects() -> None:
    tight, limits = limiter(Clock()), {"requests_per_minute": 5}
    small, other = caller(limits, {"requests_per_minute": 2}), caller(limits, name="b")
    tight.admit(small, *SEARCH)
    assert tight.admit(small, *SEARCH)["requests_per_minute"].per_minute == 2, "the tighter one is shown"
    refusal(tight, small)
    assert tight.admit(other, *SEARCH)["requests_per_minute"].remaining == 2, "the project's is shared"
    assert tight.most_bytes(caller({"bytes_stored": 10}, {"bytes_stored": 4})) == 4


def test_a_projects_own_limit_replaces_the_default_and_zero_lifts_it() -> None:
    clock = Clock()
    strict = limiter(clock, requests_per_minute=1)
    assert strict.admit(caller({"requests_per_minute": 3}), *SEARCH)["requests_per_minute"].per_minute == 3
    assert all(strict.admit(caller({"requests_per_minute": 0}), *SEARCH) == {} for _ in range(10))


def test_attachments_are_counted_for_each_store_by_itself() -> None:
    tight, who = limiter(Clock(), attaches_per_minute=1), caller()
    for store in ("vs_1", "vs_2"):
        tight.admit(who, "POST", f"/v1/vector_stores/{store}/files")
        refusal(tight, who, "POST", f"/v1/vector_stores/{store}/file_batches")
        tight.admit(who, "GET", f"/v1/vector_stores/{store}/files")
        tight.admit(who, "POST", f"/v1/vector_stores/{store}/files/file-1")


def test_full_buckets_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("retrieval.api.limits.MOST_BUCKETS", 50)
    clock = Clock()
    counters = LocalCounters(clock=clock)
    tight, who = Limiter(counters, {"attaches_per_minute": 60}), caller()
    for number in range(1000):
        clock.now += 0.1
        tight.admit(who, "POST", f"/v1/vector_stores/vs_{number}/files")
        assert len(counters._empty_until) <= 51


@pytest.mark.parametrize(
    ("seconds", "written"), [(0, "0ms"), (0.0123, "13ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m0s"), (361.25, "6m1.25s")]
)
def test_spans_of_time_are_written_as_the_hosted_service_does(seconds: float, written: str) -> None:
    assert span(seconds) == written


def test_headers_tell_the_limit_what_is_left_and_when_it_is_whole() -> None:
    headers = headers_of({"tokens_per_minute": Level("tokens_per_minute", 120, 30.0)})
    assert headers == {
        "x-ratelimit-limit-tokens": "120",
        "x-ratelimit-remaining-tokens": "60",
        "x-ratelimit-reset-tokens": "30s",
    }
