"""One running service for the whole suite."""

from tests.support.server import server

__all__ = ["server"]
