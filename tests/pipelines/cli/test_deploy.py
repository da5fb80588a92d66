"""``curate deploy`` as a person would use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def description(command: Command, tmp_path: Path) -> Path:
    """The example, with the spec that it names beside it."""
    code, text = command("deploy", "example")
    assert code == 0
    (tmp_path / "deploy.toml").write_text(text.replace('"us-west-2"', '"us-west-2"\nsecrets_file = "~/s"'))
    (tmp_path / "necks.toml").write_text('task = "cervical"\nstore = "s3://bucket/necks"\n')
    return tmp_path / "deploy.toml"


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("kuberay", {"rayjob.yaml", "raycluster.yaml"}),
        ("slurm", {"ray.sbatch", "plan.sbatch", "array.sbatch", "join.sbatch", "submit-array.sh"}),
        ("launcher", {"cluster.yaml"}),
        ("docker", {"Dockerfile"}),
    ],
)
def test_files_are_written_and_named(
    command: Command, description: Path, tmp_path: Path, kind: str, names: set[str]
) -> None:
    out = tmp_path / "out"
    code, text = command("deploy", "render", kind, "--deploy", description, "--out", out)
    assert code == 0
    assert {path.name for path in out.iterdir()} == names
    assert all(name in text for name in names)
    again, _ = command("deploy", "render", kind, "--deploy", description, "--out", out)
    assert again == 0  # the same files in the same place are no fault


def test_one_file_is_printed_as_it_would_be_written(command: Command, description: Path) -> None:
    code, text = command("deploy", "render", "launcher", "--deploy", description)
    assert code == 0
    assert yaml.safe_load(text)["cluster_name"] == "necks"


def test_several_files_are_told_apart(command: Command, description: Path) -> None:
    _, text = command("deploy", "render", "kuberay", "--deploy", description)
    assert text.startswith("# ---- rayjob.yaml\n")
    assert "\n# ---- raycluster.yaml\n" in text


def test_jobs_name_the_spec_wherever_they_are_submitted_from(command: Command, description: Path) -> None:
    _, text = command("deploy", "render", "slurm", "--deploy", description)
    assert f"curate work {description.parent / 'necks.toml'} --shard" in text


def test_files_of_others_are_not_overwritten(command: Command, description: Path, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    code, text = command("deploy", "render", "docker", "--deploy", description, "--out", tmp_path)
    assert code == 2
    assert "Dockerfile" in text
    assert (tmp_path / "Dockerfile").read_text() == "FROM scratch\n"


@pytest.mark.parametrize(
    ("spec", "fault"),
    [
        ('store = "s3://bucket/backs"\n', "store: not the store of the spec"),
        ("store = ", "spec: "),
        (None, "spec: "),
    ],
)
def test_the_description_and_the_spec_must_agree(
    command: Command, description: Path, spec: str | None, fault: str
) -> None:
    file = description.parent / "necks.toml"
    file.unlink() if spec is None else file.write_text(spec)
    code, text = command("deploy", "render", "docker", "--deploy", description)
    assert code == 2
    assert fault in text


def test_a_wrong_kind_is_refused_with_those_there_are(command: Command, description: Path) -> None:
    code, text = command("deploy", "render", "nomad", "--deploy", description)
    assert code == 2
    assert "kuberay" in text


def test_help_says_what_to_do_first(command: Command) -> None:
    code, text = command("deploy", "render", "--help")
    assert code == 0
    words = " ".join(text.split())
    assert "curate deploy example > deploy.toml" in words
    assert "exit code 75" in words
    assert "never written" in words


def test_the_dashboard_is_printed_whole(command: Command) -> None:
    code, text = command("deploy", "dashboard")
    assert code == 0
    assert json.loads(text)["title"] == "spine-curate"
