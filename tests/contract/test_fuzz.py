"""A short run of what `python -m benchmarks fuzz` does at length."""

from tests.support.fuzz import fuzz
from tests.support.server import Server

CASES_EACH = 12


def test_no_request_that_the_description_allows_or_forbids_is_our_fault(server: Server) -> None:
    report = fuzz(server, CASES_EACH)
    assert len(report.by_operation) >= 30
    assert report.cases >= 20 * CASES_EACH
    assert {200, 400, 404} <= set(report.statuses)
