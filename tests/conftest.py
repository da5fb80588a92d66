"""Fixtures that tests of several packages share, and the order of the files."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.support.object_stores import proxy, server

__all__ = ["proxy", "server"]

# a machine that is busy with other tests is slow, and no test of what is drawn shall fail for it
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Lint and types begin first: nothing of theirs can be shared out. The rest stays as it is, so that files that
    start clusters do not all run at once."""
    items.sort(key=lambda item: item.path.name != "test_lint.py")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Processes that test together compile the kernels together, each but once; see ``curate.compiled``."""
    if "PYTEST_XDIST_WORKER" in os.environ and not session.config.option.collectonly:
        from pipelines.kernels import warm_kernels

        warm_kernels()
