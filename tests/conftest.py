"""Fixtures that tests of several packages share, and the order of the files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.support.object_stores import proxy, server

__all__ = ["proxy", "server"]

# a machine that is busy with other tests is slow, and no test of what is drawn shall fail for it
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

HERE = Path(__file__).parent
LONGEST_FIRST = (
    "test_lint.py",
    "pipelines/train/test_run.py",
    "pipelines/train/test_launch.py",
    "chaos/test_driver_killed.py",
    "pipelines/recipes/test_recipes.py",
    "pipelines/test_object_stores.py",
    "cluster/executors/test_conformance.py",
    "pipelines/train/test_train.py",
    "pipelines/cli/test_demo.py",
    "pipelines/cli/test_bad_input.py",
    "pipelines/test_run.py",
    "pipelines/test_made_for.py",
    "curate/dicom/test_header_columns.py",
    "curate/deid/test_adversary.py",
    "pipelines/test_volumes.py",
    "cluster/test_session.py",
    "chaos/test_poison.py",
    "cluster/test_dask.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A file is run by one process: the longest begin first, so that none is left alone at the end."""
    rank = {HERE / name: number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Processes that test together compile the kernels together, each but once; see ``curate.compiled``."""
    if "PYTEST_XDIST_WORKER" in os.environ and not session.config.option.collectonly:
        from pipelines.kernels import warm_kernels

        warm_kernels()
