"""The command line in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipelines.cli.app import app
from tests.support.curated import Curated, copy_archive

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command() -> Command:
    """``curate`` with these words -> exit code, and all that it printed."""

    def run(*words: object) -> tuple[int, str]:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.output

    return run


@pytest.fixture
def own_copy(cervical: Curated, tmp_path: Path) -> Path:
    """An archive of one's own to break, with its spec; no store."""
    return copy_archive(cervical.folder, tmp_path / "copy")
