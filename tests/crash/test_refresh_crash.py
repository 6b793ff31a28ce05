"""A refresh that is killed at random moments ends as one that nobody disturbed.

`python -m benchmarks refresh --kills 50` is the long form.
"""

from pathlib import Path

import pytest

from tests.support.killed_refresh import killed_at_random


@pytest.mark.slow
def test_a_killed_refresh_ends_as_an_undisturbed_one(catalog_url: str, tmp_path: Path) -> None:
    report = killed_at_random(tmp_path, catalog_url, kills=3, files=20, seed=7)
    assert report.kills == 3
    assert report.lines == []
