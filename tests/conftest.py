"""Fixtures that tests of several packages share."""

from tests.support.object_stores import proxy, server

__all__ = ["proxy", "server"]
