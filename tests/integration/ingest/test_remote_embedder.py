"""The remote adapter against a real HTTP server that misbehaves as upstreams do."""

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from typing import Any

import numpy as np
import pytest

from ingest.embedding import (
    CacheConfig,
    Embedder,
    EmbedderConfig,
    EmbedderMisbehaved,
    EmbedderUnavailable,
    RemoteLimits,
    open_embedder,
)
from ingest.errors import TextRefused
from tests.support.upstream import Asked, FakeUpstream, Reply, refusal

QUICK = RemoteLimits(patience_seconds=5, query_patience_seconds=2, call_seconds=2, longest_pause_seconds=0.02)
IMPATIENT = replace(QUICK, patience_seconds=0.4, query_patience_seconds=0.2)
KEY = "sk-very-secret"


def answered_with(reply: Reply, _asked: Asked) -> Reply:
    return reply


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as running:
        yield running


@pytest.fixture
def opened(upstream: FakeUpstream) -> Iterator[Callable[..., Embedder]]:
    embedders = list[Embedder]()

    def open_one(limits: RemoteLimits = QUICK, **more: Any) -> Embedder:
        config = EmbedderConfig(
            provider="openai",
            model="text-embedding-3-small",
            width=upstream.width,
            base_url=upstream.base_url,
            api_key=KEY,
            limits=limits,
            cache=CacheConfig(memory_bytes=0),
        )
        embedders.append(open_embedder(replace(config, **more)))
        return embedders[-1]

    yield open_one
    for embedder in embedders:
        embedder.close()


def assert_right(upstream: FakeUpstream, texts: list[str], vectors: np.ndarray) -> None:
    np.testing.assert_allclose(vectors, np.stack([upstream.vector(text) for text in texts]), atol=1e-6)


def test_vectors_and_charges_are_the_upstreams(upstream: FakeUpstream, opened: Callable[..., Embedder]) -> None:
    texts = ["one two", "three", "four five six"]
    embedded = opened().embed(texts)
    assert_right(upstream, texts, embedded.vectors)
    assert embedded.tokens == 6
    asked = upstream.asked[0]
    assert asked.headers[":path"] == "/v1/embeddings"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body["model"] == "text-embedding-3-small"
    assert asked.body["encoding_format"] == "base64"
    assert "dimensions" not in asked.body


def test_dimensions_are_passed_on_and_expected(upstream: FakeUpstream, opened: Callable[..., Embedder]) -> None:
    embedder = opened(width=1536, dimensions=8)
    assert embedder.spec.width == 8
    assert embedder.embed(["a"]).vectors.shape == (1, 8)
    assert upstream.asked[0].body["dimensions"] == 8


def test_upstreams_that_only_know_lists_of_numbers_will_do(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    upstream.script = lambda asked: upstream.good_reply(asked.inputs, as_floats=True)
    assert_right(upstream, ["a", "b"], opened().embed(["a", "b"]).vectors)


def test_four_thousand_and_ninety_six_texts_are_one_call(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    texts = [f"text {number}" for number in range(4096)]
    assert_right(upstream, texts, opened().embed(texts).vectors)
    assert [len(asked.inputs) for asked in upstream.asked] == [4096]


def test_calls_stay_within_inputs_and_tokens_and_are_bounded_at_once(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    def unhurried(asked: Asked) -> Reply:
        time.sleep(0.02)  # so that calls have a chance to meet
        return upstream.good_reply(asked.inputs)

    upstream.script = unhurried
    limits = replace(QUICK, inputs_per_call=10, tokens_per_call=60, calls_at_once=3)
    texts = [f"word {number:04} word word" for number in range(200)]
    assert_right(upstream, texts, opened(limits).embed(texts).vectors)
    assert max(len(asked.inputs) for asked in upstream.asked) <= 10
    assert max(sum(len(text.split()) for text in asked.inputs) for asked in upstream.asked) <= 60
    assert 1 < upstream.most_at_once <= 3


def test_an_upstream_that_takes_fewer_inputs_is_learned(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    upstream.script = lambda asked: refusal(413, "batch size > 32") if len(asked.inputs) > 32 else None
    embedder = opened()
    texts = [f"text {number}" for number in range(300)]
    assert_right(upstream, texts, embedder.embed(texts).vectors)
    upstream.asked.clear()
    embedder.embed([f"more {number}" for number in range(300)])
    assert max(len(asked.inputs) for asked in upstream.asked) <= 32


def test_an_upstream_that_takes_fewer_tokens_is_learned(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    def script(asked: Asked) -> Reply | None:
        return refusal(400, "max 100 tokens per request") if sum(map(len, asked.inputs)) > 400 else None

    upstream.script = script
    embedder = opened()
    texts = [f"text {number} " + "word " * (number % 10) for number in range(200)]
    assert_right(upstream, texts, embedder.embed(texts).vectors)
    upstream.asked.clear()
    embedder.embed([f"other {text}" for text in texts])
    refused = [asked for asked in upstream.asked if script(asked)]
    assert not refused


def test_one_text_that_is_refused_does_not_teach_to_send_texts_one_by_one(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    upstream.script = lambda asked: refusal(400, "invalid input") if "bad" in asked.inputs else None
    embedder = opened()
    with pytest.raises(TextRefused, match="HTTP 400"):
        embedder.embed([f"text {number}" for number in range(63)] + ["bad"])
    upstream.asked.clear()
    embedder.embed([f"other {number}" for number in range(64)])
    assert max(len(asked.inputs) for asked in upstream.asked) >= 16


def test_an_upstream_that_refuses_everything_is_away_and_no_text_is_to_blame(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    upstream.script = lambda asked: refusal(400, "no such model")
    with pytest.raises(EmbedderUnavailable, match="HTTP 400, whatever it was asked"):
        opened().embed(["a text"])


def test_a_text_longer_than_the_upstream_reads_is_halved_never_cut_off(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    def script(asked: Asked) -> Reply | None:
        too_long = any(len(text) > 300 for text in asked.inputs)
        return refusal(400, "This model's maximum context length is 64 tokens") if too_long else None

    upstream.script = script
    text = " ".join(f"Sentence {number} of many." for number in range(100))
    embedded = opened().embed([text, "short"])
    np.testing.assert_allclose(np.linalg.norm(embedded.vectors, axis=1), 1, atol=1e-6)
    answered = [one for asked in upstream.asked if not script(asked) for one in asked.inputs if one != "short"]
    assert sorted(text) == sorted("".join(answered))
    assert embedded.tokens == len("".join(answered).split()) + 1


def test_texts_beyond_the_configured_window_become_windows(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    text = " ".join(f"Sentence {number} of many." for number in range(100))
    embedded = opened(window_tokens=128).embed([text])
    sent = [one for asked in upstream.asked for one in asked.inputs]
    assert sorted("".join(sent)) == sorted(text)
    assert max(map(len, sent)) < 700
    assert np.linalg.norm(embedded.vectors[0]) == pytest.approx(1)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_a_passing_trouble_is_sat_out(upstream: FakeUpstream, opened: Callable[..., Embedder], status: int) -> None:
    upstream.next.extend([refusal(status, "later")] * 3)
    assert_right(upstream, ["a"], opened().embed(["a"]).vectors)
    assert len(upstream.asked) == 4


def test_connections_that_break_are_made_again(upstream: FakeUpstream, opened: Callable[..., Embedder]) -> None:
    upstream.next.extend([Reply(reset=True)] * 3)
    assert_right(upstream, ["a"], opened().embed(["a"]).vectors)


@pytest.mark.parametrize(
    "headers",
    [
        {"retry_after": "120"},
        {"retry_after_ms": "120000"},
        {"retry_after": "the date in two minutes"},
    ],
    ids=["seconds", "milliseconds", "date"],
)
def test_an_upstream_that_asks_for_more_than_our_patience_is_passed_on(
    upstream: FakeUpstream, opened: Callable[..., Embedder], headers: dict[str, str]
) -> None:
    in_two_minutes = format_datetime(datetime.now(UTC) + timedelta(seconds=120), usegmt=True)
    said = {name: in_two_minutes if "date" in value else value for name, value in headers.items()}
    upstream.script = lambda asked: refusal(429, "slow down", **said)
    embedder = opened()
    with pytest.raises(EmbedderUnavailable, match="HTTP 429") as caught:
        embedder.embed(["a"])
    assert caught.value.retry_after_seconds == pytest.approx(120, abs=25)
    assert len(upstream.asked) == 1  # and the second caller does not even ask
    with pytest.raises(EmbedderUnavailable):
        embedder.embed(["b"])
    assert len(upstream.asked) == 1


@pytest.mark.parametrize("said", ["soon", "-5", "nan", "inf", ""])
def test_a_senseless_retry_after_is_ignored(upstream: FakeUpstream, opened: Callable[..., Embedder], said: str) -> None:
    upstream.next.append(refusal(429, "slow down", retry_after=said))
    assert_right(upstream, ["a"], opened().embed(["a"]).vectors)


def test_an_upstream_that_never_recovers_is_given_up_within_the_bound(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    upstream.script = lambda asked: refusal(503, "down")
    with pytest.raises(EmbedderUnavailable, match=r"HTTP 503|its answer took more than"):
        opened(IMPATIENT).embed(["a"])
    assert len(upstream.asked) > 2


def test_a_stalled_upstream_is_given_up_within_the_bound(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    release = threading.Event()
    upstream.script = lambda asked: Reply(stall=release)
    try:
        with pytest.raises(EmbedderUnavailable, match="ReadTimeout"):
            opened(IMPATIENT).embed(["a"])
    finally:
        release.set()


def test_an_answer_that_trickles_is_given_up_within_the_bound(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    release = threading.Event()
    upstream.script = lambda asked: replace(upstream.good_reply(asked.inputs), trickle=release)
    try:
        with pytest.raises(EmbedderUnavailable, match="took more than"):
            opened(IMPATIENT).embed(["a"])
    finally:
        release.set()


def test_an_upstream_that_is_not_there_is_unavailable(opened: Callable[..., Embedder]) -> None:
    with FakeUpstream() as gone:
        url = gone.base_url
    with pytest.raises(EmbedderUnavailable, match="ConnectError"):
        opened(IMPATIENT, base_url=url).embed(["a"])


@pytest.mark.parametrize("status", [301, 401, 403, 404])
def test_what_no_repetition_mends_is_said_at_once(
    upstream: FakeUpstream, opened: Callable[..., Embedder], status: int
) -> None:
    upstream.script = lambda asked: refusal(status, "no", location="/elsewhere")
    with pytest.raises(EmbedderUnavailable, match=f"HTTP {status}"):
        opened().embed(["a"])
    assert len(upstream.asked) == 1


def test_a_used_up_quota_is_said_at_once(upstream: FakeUpstream, opened: Callable[..., Embedder]) -> None:
    error = {"error": {"code": "insufficient_quota", "message": "You exceeded your quota"}}
    upstream.script = lambda asked: Reply(429, json.dumps(error).encode())
    with pytest.raises(EmbedderUnavailable, match="quota"):
        opened().embed(["a"])
    assert len(upstream.asked) == 1


def test_answers_of_another_width_are_refused(upstream: FakeUpstream, opened: Callable[..., Embedder]) -> None:
    with pytest.raises(EmbedderMisbehaved, match="8 dimensions where 9"):
        opened(width=9).embed(["a"])


def test_answers_for_fewer_inputs_are_refused(upstream: FakeUpstream, opened: Callable[..., Embedder]) -> None:
    upstream.script = lambda asked: upstream.good_reply(asked.inputs[:-1])
    with pytest.raises(EmbedderMisbehaved, match="2 embeddings for 3"):
        opened().embed(["a", "b", "c"])


def test_answers_without_end_are_refused(upstream: FakeUpstream, opened: Callable[..., Embedder]) -> None:
    upstream.script = lambda asked: Reply(body=b" " * (3 << 20))
    with pytest.raises(EmbedderMisbehaved, match="more than"):
        opened().embed(["a"])


def test_a_storm_of_refusals_slows_every_thread_and_loses_nothing(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    limits = replace(QUICK, inputs_per_call=5, calls_at_once=8, patience_seconds=20)
    upstream.next.extend([refusal(429, "slow down"), refusal(500, "oh"), Reply(reset=True)] * 8)
    embedder = opened(limits)
    texts = [f"text {number}" for number in range(200)]
    results = dict[int, np.ndarray]()

    def work(number: int) -> None:
        results[number] = embedder.embed(texts[number::4]).vectors

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number in range(4):
        assert_right(upstream, texts[number::4], results[number])
    assert len(upstream.asked) == 24 + 40  # each refusal cost one call, and no text was paid for twice


def test_what_was_answered_before_a_failure_is_not_paid_for_again(
    upstream: FakeUpstream, opened: Callable[..., Embedder]
) -> None:
    limits = replace(IMPATIENT, inputs_per_call=1, calls_at_once=2)
    embedder = opened(limits, cache=CacheConfig())
    upstream.script = lambda asked: refusal(500, "oh") if "text 7" in asked.inputs else None
    texts = [f"text {number}" for number in range(8)]
    with pytest.raises(EmbedderUnavailable):
        embedder.embed(texts)
    paid = {text for asked in upstream.asked for text in asked.inputs} - {"text 7"}
    upstream.asked.clear()
    upstream.script = lambda asked: None
    assert_right(upstream, texts, embedder.embed(texts).vectors)
    assert not paid & {text for asked in upstream.asked for text in asked.inputs}


def test_a_query_does_not_stand_behind_documents(upstream: FakeUpstream, opened: Callable[..., Embedder]) -> None:
    release = threading.Event()
    upstream.script = lambda asked: Reply(stall=release) if asked.inputs[0].startswith("document") else None
    embedder = opened(replace(QUICK, inputs_per_call=1, calls_at_once=2, call_seconds=20, patience_seconds=20))

    def work() -> None:
        with pytest.raises(EmbedderMisbehaved):
            embedder.embed(["document 1", "document 2"])

    busy = threading.Thread(target=work)
    busy.start()
    try:
        assert_right(upstream, ["question"], embedder.embed(["question"], purpose="query").vectors)
        assert busy.is_alive()
    finally:
        release.set()
        busy.join(30)


def test_neither_key_nor_text_is_ever_said(
    upstream: FakeUpstream, opened: Callable[..., Embedder], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    said = list[str]()
    for reply in (
        refusal(401, f"bad key {KEY} for confidential words"),
        refusal(503, f"bad key {KEY} for confidential words"),
        refusal(400, f"confidential words {KEY}"),
        Reply(body=b"confidential words"),
    ):
        upstream.script = partial(answered_with, reply)
        with pytest.raises((EmbedderUnavailable, EmbedderMisbehaved)) as caught:
            opened(IMPATIENT).embed(["confidential words"])
        said.append(str(caught.value))
    said += [
        record.getMessage() + str(record.__dict__) for record in caplog.records if record.name.startswith("ingest")
    ]
    assert not [one for one in said if KEY in one or "confidential" in one]
    assert KEY not in repr(EmbedderConfig(api_key=KEY))


def test_impossible_configurations_are_refused_before_anything_is_sent(opened: Callable[..., Embedder]) -> None:
    with pytest.raises(ValueError, match="base_url"):
        opened(base_url="localhost:80/v1")
    with pytest.raises(ValueError, match="width"):
        opened(width=None)
    with pytest.raises(ValueError, match="api_key") as caught:
        opened(api_key="kéy\n")
    assert "kéy" not in str(caught.value)


def test_closing_wakes_whoever_waits(upstream: FakeUpstream, opened: Callable[..., Embedder]) -> None:
    upstream.script = lambda asked: refusal(429, "slow down", retry_after="3")
    embedder = opened(replace(QUICK, patience_seconds=30))
    outcome = list[BaseException]()

    def work() -> None:
        try:
            embedder.embed(["a"])
        except EmbedderUnavailable as error:
            outcome.append(error)

    waiting = threading.Thread(target=work)
    waiting.start()
    while not upstream.asked:
        waiting.join(0.01)
    embedder.close()
    waiting.join(30)
    assert [str(error) for error in outcome] == ["the embedder was closed"]
