"""Limits that several nodes share, in a real Redis, which may come and go."""

import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from retrieval.api.auth import Caller
from retrieval.api.limits import Limiter, LocalCounters
from retrieval.api.shared_limits import SharedCounters, shareable
from retrieval.errors import QuotaExceeded
from retrieval.ids import ProjectId, new_project_id
from tests.support.whole import Redis, redis

__all__ = ["redis"]

SEARCH = ("POST", "/v1/vector_stores/vs_1/search")


def caller(**limits: int) -> Caller:
    return Caller(new_project_id(), None, limits)


@pytest.fixture
def nodes(redis: Redis) -> Iterator[list[Limiter]]:
    counters = [SharedCounters(redis.url) for _ in range(2)]
    yield [Limiter(one) for one in counters]
    for one in counters:
        one.close()


def admitted(limiter: Limiter, who: Caller, tries: int) -> int:
    count = 0
    for _ in range(tries):
        with suppress(QuotaExceeded):
            limiter.admit(who, *SEARCH)
            count += 1
    return count


def test_nodes_count_together(nodes: list[Limiter]) -> None:
    who = caller(requests_per_minute=3)
    assert nodes[0].admit(who, *SEARCH)["requests_per_minute"].remaining == 2
    assert nodes[1].admit(who, *SEARCH)["requests_per_minute"].remaining == 1
    nodes[0].admit(who, *SEARCH)
    with pytest.raises(QuotaExceeded) as caught:
        nodes[1].admit(who, *SEARCH)
    assert 0 < caught.value.retry_after_seconds <= 20
    assert caught.value.headers["x-ratelimit-remaining-requests"] == "0"


def test_many_at_once_are_given_exactly_what_there_is(nodes: list[Limiter]) -> None:
    who, got = caller(requests_per_minute=40), list[int]()

    def ask(limiter: Limiter) -> None:
        got.append(admitted(limiter, who, 30))

    threads = [threading.Thread(target=ask, args=(nodes[number % 2],)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 40 <= sum(got) <= 42, "one flows back every second and a half"


def test_redis_and_memory_give_the_same_answers(redis: Redis) -> None:
    who = caller(requests_per_minute=5, tokens_per_minute=50, uploads_per_minute=1)
    shared, alone = SharedCounters(redis.url), LocalCounters()
    seen = []
    for limiter in (Limiter(shared), Limiter(alone)):
        told: list[object] = []
        for path in ("/v1/files", "/v1/files", "/v1/embeddings", "/v1/embeddings", "/v1/embeddings"):
            try:
                told.append(sorted((kind, level.remaining) for kind, level in limiter.admit(who, "POST", path).items()))
                limiter.charge_tokens(who, 30)
            except QuotaExceeded as refusal:
                told.append(str(refusal).split(".")[0])
        seen.append(told)
    shared.close()
    assert seen[0] == seen[1]
    assert sum(isinstance(one, str) for one in seen[0]) == 3


def test_buckets_leave_redis_when_they_are_full_again(redis: Redis) -> None:
    counters = SharedCounters(redis.url)
    who = Caller(ProjectId("proj_leaving"), None, {"requests_per_minute": 60})
    Limiter(counters).admit(who, *SEARCH)
    (key,) = counters._redis.keys("carrel:limits:{proj_leaving}*")
    assert 0 < counters._redis.ttl(key) <= 3
    counters.close()


def test_a_redis_that_is_away_takes_nothing_down_and_counts_again_when_it_is_back() -> None:
    server = Redis()
    counters = SharedCounters(server.url)
    try:
        limiter, who = Limiter(counters), caller(requests_per_minute=4)
        assert admitted(limiter, who, 1) == 1
        server.kill()
        assert admitted(limiter, who, 10) == 4, "alone, a process still keeps the limit"
        server.start()
        counters._quiet_until = 0.0  # as after some seconds
        other = caller(requests_per_minute=4)
        assert admitted(limiter, other, 3) == 3
        second = SharedCounters(server.url)
        assert admitted(Limiter(second), other, 5) == 1, "and shares it again"
        second.close()
    finally:
        counters.close()
        server.close()


def test_only_a_redis_can_be_shared() -> None:
    assert shareable("redis://host:6379/0")
    assert shareable("redis+socket:///tmp/s")
    assert not shareable("amqp://host")
    assert not shareable("")
