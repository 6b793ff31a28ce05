"""Commands are tried against real servers."""

from tests.support.server import server

__all__ = ["server"]
