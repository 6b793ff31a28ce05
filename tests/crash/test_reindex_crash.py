"""A worker that is killed at random while it re-indexes: the same end, no failed search, nothing lost or doubled.

`python -m benchmarks reindex --kills 50` is the long form.
"""

from pathlib import Path

from benchmarks.reindex import killed


def test_a_re_index_whose_workers_are_killed_ends_as_an_undisturbed_one_does(tmp_path: Path) -> None:
    figures = {figure.name: figure for figure in killed(tmp_path, 1_000, 3, seed=3)}
    assert figures["kills"].value == 3
    assert figures["searches that failed"].met
    assert figures["differences from an undisturbed run"].met
    assert int(figures["searches meanwhile"].value) > 0
