"""Stores and releases that are made once: tests copy what they change."""

from pathlib import Path

import pytest

from curate.release import ReleaseSummary, build_release
from tests.support.release_store import Made, make_store


@pytest.fixture(scope="session")
def made_cervical(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_store(tmp_path_factory.mktemp("cervical"), "cervical")


@pytest.fixture(scope="session")
def made_lumbar(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_store(tmp_path_factory.mktemp("lumbar"), "lumbar")


@pytest.fixture(scope="session")
def built_cervical(made_cervical: Made, tmp_path_factory: pytest.TempPathFactory) -> ReleaseSummary:
    return build(made_cervical, tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="session")
def built_lumbar(made_lumbar: Made, tmp_path_factory: pytest.TempPathFactory) -> ReleaseSummary:
    return build(made_lumbar, tmp_path_factory.mktemp("release"))


def build(made: Made, destination: Path) -> ReleaseSummary:
    return build_release(
        made.store,
        destination,
        description=made.description,
        deidentification=made.statement,
        manifests=made.manifests,
    )
