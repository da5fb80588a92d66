"""Small archives with planted truth, and one calm run over each: what most tests of the pipelines look at."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.phantoms import make_phantoms
from tests.support.curated import Curated, curate, few_slices


@pytest.fixture(scope="session")
def cervical_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "cervical"
    with few_slices():
        make_phantoms(folder, task="cervical", sites=4, studies=4, seed=5, defects=True, identifiers=True, matrix=64)
    return folder


@pytest.fixture(scope="session")
def lumbar_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("phantoms") / "lumbar"
    make_phantoms(folder, task="lumbar", sites=4, studies=4, seed=6, defects=True, identifiers=True, matrix=64)
    return folder


@pytest.fixture(scope="session")
def cervical(cervical_archive: Path) -> Curated:
    return curate(cervical_archive)


@pytest.fixture(scope="session")
def lumbar(lumbar_archive: Path) -> Curated:
    return curate(lumbar_archive)


@pytest.fixture(params=["cervical", "lumbar"])
def curated(request: pytest.FixtureRequest) -> Curated:
    found: Curated = request.getfixturevalue(request.param)
    return found
