"""Small archives of phantoms, made once for the tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest

from curate.phantoms import PhantomSummary, make_phantoms


@pytest.fixture(scope="session")
def cervical(tmp_path_factory: pytest.TempPathFactory) -> PhantomSummary:
    """Five sites, so that every container and transfer syntax occurs."""
    out = tmp_path_factory.mktemp("phantoms") / "cervical"
    return make_phantoms(out, task="cervical", sites=5, studies=6, seed=3, matrix=64)


@pytest.fixture(scope="session")
def lumbar(tmp_path_factory: pytest.TempPathFactory) -> PhantomSummary:
    out = tmp_path_factory.mktemp("phantoms") / "lumbar"
    return make_phantoms(out, task="lumbar", sites=5, studies=5, seed=3, matrix=64)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> PhantomSummary:
    """Three sites with every defect and with planted identifiers."""
    out = tmp_path_factory.mktemp("phantoms") / "hostile"
    return make_phantoms(out, task="cervical", sites=3, studies=4, seed=8, defects=True, identifiers=True, matrix=48)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "new"
