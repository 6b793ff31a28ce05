"""Fixtures for every suite; each lives with what it builds, in tests/support."""

pytest_plugins = ["tests.support.databases", "tests.support.s3", "tests.support.whole"]
