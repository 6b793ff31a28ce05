"""How soon a client is asked to come again."""

from starlette.responses import Response

from retrieval.api.polling import HEADER, poll_after_milliseconds, with_poll_hint


def test_little_work_is_asked_for_more_often_than_much() -> None:
    waits = [poll_after_milliseconds(files) for files in (1, 2, 20, 21, 500, 501, 10_000)]
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]
    assert all(isinstance(wait, int) for wait in waits)  # a fraction makes the SDK raise


def test_a_settled_answer_has_no_hint() -> None:
    assert HEADER not in with_poll_hint(Response(), 0).headers
    assert with_poll_hint(Response(), 1).headers[HEADER].isdecimal()
