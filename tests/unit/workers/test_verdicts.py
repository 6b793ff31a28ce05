"""What follows from a failure."""

import pytest

from ingest.errors import (
    ChildDied,
    ChildrenBusy,
    EmbedderMisbehaved,
    EmbedderUnavailable,
    EmptyDocument,
    ModelMissing,
)
from retrieval.catalog.rows import FailureCode
from retrieval.errors import CatalogUnavailable, ObjectMissing, StorageFull, StorageUnavailable
from workers.verdicts import (
    LONGEST_ASKED_SECONDS,
    LONGEST_WAIT_SECONDS,
    MOST_ATTEMPTS,
    MOST_DEATHS,
    MOST_MISBEHAVIOURS,
    Fail,
    Retry,
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


def test_a_document_that_is_to_blame_fails_at_once_in_its_own_words() -> None:
    end = verdict(EmptyDocument("This file holds no text."), 1)
    assert end == Fail(FailureCode(EmptyDocument.code), "This file holds no text.")


@pytest.mark.parametrize("error", PASSING, ids=lambda error: type(error).__name__)
def test_what_passes_by_itself_is_waited_for_without_end(error: Exception) -> None:
    assert passes_by_itself(error)
    assert verdict(error, 10_000) == Retry(LONGEST_WAIT_SECONDS)


@pytest.mark.parametrize("error", [ChildDied("gone"), ObjectMissing("gone"), KeyError("x")])
def test_our_own_troubles_are_tried_a_few_times_ever_more_slowly(error: Exception) -> None:
    assert not passes_by_itself(error)
    waits = [verdict(error, attempt) for attempt in range(1, MOST_ATTEMPTS)]
    assert waits == [Retry(1), Retry(2), Retry(4), Retry(8)]
    last = verdict(error, MOST_ATTEMPTS)
    assert isinstance(last, Fail)
    assert last.code is FailureCode.SERVER_ERROR
    assert str(MOST_ATTEMPTS) in last.message


def test_an_upstream_that_answers_wrongly_is_given_minutes_to_be_put_right() -> None:
    """Issue 5: files failed for good within fifteen seconds of wrong answers."""
    error = EmbedderMisbehaved("NaN")
    waits = [verdict(error, attempt) for attempt in range(1, MOST_MISBEHAVIOURS)]
    assert sum(wait.after_seconds for wait in waits if isinstance(wait, Retry)) >= 180
    last = verdict(error, MOST_MISBEHAVIOURS)
    assert isinstance(last, Fail)
    assert last.code is FailureCode.SERVER_ERROR


def test_an_unforeseen_error_tells_nothing_of_the_inside() -> None:
    last = verdict(KeyError("/secret/path"), MOST_ATTEMPTS)
    assert isinstance(last, Fail)
    assert "secret" not in last.message


def test_an_upstream_that_names_a_time_is_given_it() -> None:
    assert verdict(EmbedderUnavailable("slow down", retry_after_seconds=90), 1) == Retry(90)
    assert verdict(EmbedderUnavailable("slow down", retry_after_seconds=0.2), 3) == Retry(4)


def test_an_absurd_time_is_not_waited_for() -> None:
    assert verdict(EmbedderUnavailable("slow down", retry_after_seconds=1e9), 1) == Retry(LONGEST_ASKED_SECONDS)


def test_a_file_under_which_workers_die_is_given_up_in_the_end() -> None:
    assert verdict_on_deaths(MOST_DEATHS - 1) is None
    end = verdict_on_deaths(MOST_DEATHS)
    assert end is not None
    assert end.code is FailureCode.SERVER_ERROR
