"""``curate stats`` as a person would use it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from tests.support.curated import Curated

Command = Callable[..., tuple[int, str]]


def test_a_table_with_a_row_a_site(command: Command, cervical: Curated, tmp_path: Path) -> None:
    store = shutil.copytree(cervical.workspace.store.url, tmp_path / "store")
    code, text = command("stats", store)
    assert code == 0
    for site in {row["site"] for row in cervical.manifest("volumes").to_pylist()} | {"all"}:
        assert f" {site} " in text
    assert "Series by scanner" in text
    assert "manifests/intensities.parquet written" in text
    assert (store / "manifests/intensities.parquet").is_file()


def test_a_folder_that_is_no_store_is_refused(command: Command, tmp_path: Path) -> None:
    code, text = command("stats", tmp_path)
    assert code == 2
    assert "curate run" in text


def test_workers_of_threads_are_refused(command: Command, tmp_path: Path) -> None:
    code, text = command("stats", tmp_path, "--workers", 2)
    assert code == 2
    assert "--executor ray" in text


def test_help_says_what_foreground_is(command: Command) -> None:
    code, text = command("stats", "--help")
    assert code == 0
    assert "-500 HU" in " ".join(text.split())
