"""The faults of `python -m benchmarks faults`, each for seconds: nothing lost, stuck, twice, damaged or left over."""

import random

import pytest

from benchmarks._faults.run import Size
from benchmarks.faults import FAULTS

SIZES = {
    "F1": Size(20, 4),
    "F7": Size(10, 1),
    "F10": Size(20, 1),
    "F11": Size(4, 1),
    "F12": Size(10, 1),
    "F13": Size(0, 12),
    "F18": Size(0, 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("fault", SIZES)
def test_a_fault_costs_time_and_nothing_else(fault: str) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)  # noqa: T201  # shown when the test fails
    figures = list(FAULTS[fault].act(SIZES[fault], random.Random(seed)))
    if any(figure.name.endswith("not run") for figure in figures):
        pytest.skip(f"{fault}: {figures[0].value}")
    assert [figure for figure in figures if figure.met is False] == []
