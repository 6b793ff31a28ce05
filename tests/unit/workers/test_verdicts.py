"""What follows from a failure."""

import pytest

from ingest.errors import (
    ChildDied,
    ChildrenBusy,
    EmbedderMisbehaved,
    EmbedderUnavailable,
    EmptyDocument,
    ModelMissing,
    TextRefused,
)
from retrieval.catalog.rows import FailureCode, Trouble
from retrieval.errors import CatalogUnavailable, ObjectMissing, StorageFull, StorageUnavailable
from workers.verdicts import (
    LONGEST_ASKED_SECONDS,
    LONGEST_MISBEHAVIOUR_SECONDS,
    LONGEST_WAIT_SECONDS,
    MOST_ATTEMPTS,
    MOST_DEATHS,
    Fail,
    Retry,
    Verdict,
    passes_by_itself,
    verdict,
    verdict_on_deaths,
)

PASSING = [
    ChildrenBusy("no process was free"),
    EmbedderUnavailable("slow down"),
    ModelMissing("no such folder"),
    StorageFull("no room"),
    StorageUnavailable("no answer"),
    CatalogUnavailable("no answer"),
]


def _wait(said: Verdict) -> int:
    assert isinstance(said, Retry)
    return said.after_seconds


def test_a_document_that_is_to_blame_fails_at_once_in_its_own_words() -> None:
    end = verdict(EmptyDocument("This file holds no text."), 1)
    assert end == Fail(FailureCode(EmptyDocument.code), "This file holds no text.")


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_what_passes_by_itself_is_waited_for_without_end(error: Exception) -> None:
    assert passes_by_itself(error)
    assert _wait(verdict(error, 10_000, 10**9)) == LONGEST_WAIT_SECONDS


def test_answers_that_are_no_vectors_are_waited_for_a_day_and_not_for_ever() -> None:
    error = EmbedderMisbehaved("9 dimensions where 8 were expected")
    later = verdict(error, 10_000, LONGEST_MISBEHAVIOUR_SECONDS - 1)
    assert later == Retry(LONGEST_WAIT_SECONDS, Trouble.EMBEDDER_MISBEHAVED, str(error))
    end = verdict(error, 10_000, LONGEST_MISBEHAVIOUR_SECONDS)
    assert isinstance(end, Fail)
    assert "24 hours: 9 dimensions" in end.message


@pytest.mark.parametrize("error", [ChildDied("gone"), TextRefused("HTTP 400"), ObjectMissing("gone"), KeyError("x")])
def test_our_own_troubles_are_tried_a_few_times_ever_more_slowly(error: Exception) -> None:
    assert not passes_by_itself(error)
    waits = [_wait(verdict(error, attempt)) for attempt in range(1, MOST_ATTEMPTS)]
    assert waits == [1, 2, 4, 8]
    last = verdict(error, MOST_ATTEMPTS)
    assert isinstance(last, Fail)
    assert last.code is FailureCode.SERVER_ERROR
    assert str(MOST_ATTEMPTS) in last.message


def test_an_unforeseen_error_tells_nothing_of_the_inside() -> None:
    last = verdict(KeyError("/secret/path"), MOST_ATTEMPTS)
    assert isinstance(last, Fail)
    assert "secret" not in last.message


def test_an_upstream_that_names_a_time_is_given_it() -> None:
    assert _wait(verdict(EmbedderUnavailable("slow down", retry_after_seconds=90), 1)) == 90
    assert _wait(verdict(EmbedderUnavailable("slow down", retry_after_seconds=0.2), 3)) == 4


def test_an_absurd_time_is_not_waited_for() -> None:
    assert _wait(verdict(EmbedderUnavailable("slow down", retry_after_seconds=1e9), 1)) == LONGEST_ASKED_SECONDS


def test_a_file_under_which_workers_die_is_given_up_in_the_end() -> None:
    assert verdict_on_deaths(MOST_DEATHS - 1) is None
    end = verdict_on_deaths(MOST_DEATHS)
    assert end is not None
    assert end.code is FailureCode.SERVER_ERROR
