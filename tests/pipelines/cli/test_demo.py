"""The demo, whole but smaller: both tasks from nothing to a verified release and a trained baseline, on one Ray."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.release import verify
from pipelines.spec import read_spec
from pipelines.workspace import open_workspace

Command = Callable[..., tuple[int, str]]

pytestmark = pytest.mark.timeout(1500)  # the first test makes all of the demo


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of one demo, and what it printed."""
    from typer.testing import CliRunner

    from pipelines.cli.app import app

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.demo.STUDIES", 8)
        patch.setattr("pipelines.demo.MATRIX", 64)
        out = tmp_path_factory.mktemp("demo") / "out"
        result = CliRunner().invoke(app, ["demo", "--out", str(out)])
    assert result.exit_code == 0, result.output
    return out, result.output


def test_it_ends_with_a_table_of_what_happened_to_both_tasks(shown: tuple[Path, str]) -> None:
    _, text = shown
    rows = ("series in", "done", "rejected", "quarantined", "files in no series", "bytes in", "bytes out")
    stages = ("phantoms", "catalogue", "volumes", "join", "release", "verify", "train")
    for row in (*rows, *(f"seconds: {stage}" for stage in stages)):
        assert row in text
    assert "cervical" in text
    assert "lumbar" in text
    assert text.count("verified, nothing is wrong") == 2
    assert "mixed_matrix" in text
    assert "burned_in_annotation" in text


def test_it_prints_a_line_for_every_step_of_training(shown: tuple[Path, str]) -> None:
    _, text = shown
    for task in ("cervical", "lumbar"):
        steps = [line for line in text.splitlines() if line.startswith(f"{task}: step ")]
        assert len(steps) >= 9
        first, last = steps[0].split()[2], steps[-1].split()[2]
        assert first.startswith("1/")
        assert last.split("/")[0] == last.split("/")[1]


def test_it_says_where_stores_and_releases_lie(shown: tuple[Path, str]) -> None:
    out, text = shown
    for task in ("cervical", "lumbar"):
        store = out / f"{task}-store"
        assert f"store {store}" in text
        assert f"release {store}/release/demo-{task}/1.0.0" in text
        assert {path.name for path in store.iterdir()} >= {
            "catalogue",
            "dicom",
            "events",
            "ledger",
            "manifests",
            "release",
            "volumes",
        }


def test_its_releases_prove_themselves_again(shown: tuple[Path, str]) -> None:
    out, _ = shown
    for task in ("cervical", "lumbar"):
        findings, known = verify(out / f"{task}-store/release/demo-{task}/1.0.0", private=None)
        assert findings == []
        assert known


def test_its_specs_are_the_ready_ones_and_run_again(shown: tuple[Path, str], command: Command) -> None:
    out, _ = shown
    code, text = command("plan", out / "cervical.toml", "--executor", "inline")
    assert code == 0
    assert "0 units, 0 series" in text
    assert open_workspace(read_spec(out / "lumbar.toml")).store.exists("manifests/joined.json")


def test_training_leaves_a_checkpoint_a_score_and_a_submission(shown: tuple[Path, str]) -> None:
    out, _ = shown
    for task in ("cervical", "lumbar"):
        training = out / f"{task}-store/training"
        result = json.loads((training / "result.json").read_bytes())
        assert result["task"] == task
        assert 0 < result["stages"][-1]["score"] < 10
        assert result["stages"][-1]["constant_score"] > 0
        assert (training / "submission.csv").stat().st_size > 100
        assert list((training / "runs").rglob("weights.npz"))


def test_a_dry_run_says_memory_and_time_and_writes_nothing(shown: tuple[Path, str], command: Command) -> None:
    out, _ = shown
    before = {path: path.stat().st_mtime_ns for path in (out / "lumbar-store").rglob("*")}
    code, text = command("train", out / "lumbar.toml", "--dry-run")
    assert code == 0
    for word in ("parameters", "optimiser", "activations", "memory in all", "steps", "data wait", "about 0:"):
        assert word in text
    assert {path: path.stat().st_mtime_ns for path in (out / "lumbar-store").rglob("*")} == before


def test_training_again_takes_up_the_finished_run(shown: tuple[Path, str], command: Command) -> None:
    out, _ = shown
    before = json.loads((out / "lumbar-store/training/result.json").read_bytes())
    code, text = command("train", out / "lumbar.toml")
    assert code == 0
    assert f"score {before['stages'][-1]['score']:.4f}" in text
    assert "best constant" in text
    assert json.loads((out / "lumbar-store/training/result.json").read_bytes()) == before


def test_it_does_not_write_into_a_folder_that_holds_something(shown: tuple[Path, str], command: Command) -> None:
    out, _ = shown
    code, text = command("demo", "--out", out)
    assert code == 2
    assert "not empty" in text


def test_training_before_any_run_says_what_to_do_first(command: Command, own_copy: Path) -> None:
    code, text = command("train", own_copy / "spec.toml")
    assert code == 2
    assert "`curate run` first" in text
