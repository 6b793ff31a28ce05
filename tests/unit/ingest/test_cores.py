"""How many cores a process may use, where the system tells and where it does not."""

import os
import sys

import pytest

from ingest.cores import usable_cores


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere no process is told which cores it may use")
def test_cores_that_this_process_may_not_use_are_not_counted() -> None:
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert usable_cores() == len(allowed)


@pytest.mark.parametrize(("told", "counted"), [(6, 6), (None, 1)])
def test_without_that_knowledge_it_is_what_the_machine_has(
    monkeypatch: pytest.MonkeyPatch, told: int | None, counted: int
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: told)
    assert usable_cores() == counted
