"""Searches during publishes, replacements, deletes, merges and sweeps: each answer is right for some generation."""

from pathlib import Path

from tests.support.shelf import Shelf
from tests.support.storm import storm


def test_every_answer_is_right_for_a_generation_between_request_and_answer(tmp_path: Path) -> None:
    with Shelf.open(tmp_path, width=16) as shelf:
        report = storm(shelf, 4)
        assert report.failures == []
        assert report.wrong == []
        assert len(report.answers) > 50
        assert len(report.states) > 10
        assert report.segments_merged > 5
        assert report.segments_swept > 5
        with shelf.catalog.reading() as tx:
            assert tx.untruths() == []
