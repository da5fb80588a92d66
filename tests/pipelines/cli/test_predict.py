"""``curate predict`` refuses what it cannot use, before it reads a volume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[int, str]]

STAGES = '{"stages": [{"checkpoint": "runs/a/00000001", "name": "classify"}], "task": "cervical"}'


def test_a_folder_without_a_model_is_refused(command: Command, tmp_path: Path) -> None:
    code, text = command("predict", tmp_path, "--models", tmp_path)
    assert code == 2
    assert "holds no trained model" in " ".join(text.split())


def test_a_place_that_is_no_store_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(STAGES)
    code, text = command("predict", tmp_path, "--models", tmp_path)
    assert code == 2
    assert "neither a store nor a release" in " ".join(text.split())


@pytest.mark.parametrize("content", ["[]", "{}", "no json", '{"stages": [{}], "task": "cervical"}'])
def test_a_file_that_is_no_result_is_refused(command: Command, tmp_path: Path, content: str) -> None:
    (tmp_path / "result.json").write_text(content)
    code, text = command("predict", tmp_path, "--models", tmp_path)
    assert code == 2
    assert "is not one of `curate train`" in " ".join(text.split())


def test_folds_of_several_recipes_are_refused(command: Command, tmp_path: Path) -> None:
    for fold, task in enumerate(("cervical", "lumbar")):
        (tmp_path / f"fold-{fold}").mkdir()
        (tmp_path / f"fold-{fold}" / "result.json").write_text(STAGES.replace("cervical", task))
    code, text = command("predict", tmp_path, "--models", tmp_path)
    assert code == 2
    assert "several recipes" in " ".join(text.split())


def test_an_unknown_split_is_refused(command: Command, tmp_path: Path) -> None:
    assert command("predict", tmp_path, "--models", tmp_path, "--split", "holdout")[0] == 2
