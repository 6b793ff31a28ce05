"""Fixtures for every suite; each lives with what it builds, in tests/support."""

import hypothesis
import pytest

LONGEST = ("tests/crash/", "tests/integration/workers/", "tests/integration/carrel/", "tests/integration/deploy/")
# How long an example takes says more of what else the machine does than of the code.
hypothesis.settings.register_profile("carrel", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("carrel")
pytest_plugins = ["tests.support.databases", "tests.support.s3", "tests.support.whole"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, or the last process would run one while the others have nothing left to do."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
