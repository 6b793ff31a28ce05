"""Fixtures for every suite; each lives with what it builds, in tests/support."""

import pytest

LONGEST = ("tests/crash/", "tests/integration/workers/", "tests/integration/carrel/", "tests/integration/deploy/")
pytest_plugins = ["tests.support.databases", "tests.support.s3", "tests.support.whole"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, or the last process would run one while the others have nothing left to do."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
