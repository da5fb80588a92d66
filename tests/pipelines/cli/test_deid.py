"""``curate deid verify`` as a privacy officer runs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from curate.deid import Keyed, deidentify_bytes, load_profile
from pipelines.cli.app import app
from tests.support.deid_files import KEY, encode, make_ct


@pytest.fixture
def place(tmp_path: Path) -> Path:
    raw = encode(make_ct())
    for name, content in (("in", raw), ("out", deidentify_bytes(raw, load_profile("mira"), Keyed(KEY)).content)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.dcm").write_bytes(content)
    (tmp_path / "key").write_text(KEY.hex())
    (tmp_path / "key").chmod(0o600)
    return tmp_path


def run(place: Path, *more: str) -> tuple[int, str]:
    words = [
        "deid",
        "verify",
        str(place / "in"),
        str(place / "out"),
        "--key",
        f"file:{place / 'key'}",
        "--workers",
        "1",
    ]
    result = CliRunner().invoke(app, [*words, *more])
    return result.exit_code, result.output


def test_a_clean_folder_is_said_to_be_clean_and_the_report_is_written(place: Path) -> None:
    code, said = run(place, "--profile", "mira", "--report", str(place / "report.json"))
    assert code == 0, said
    assert "Nothing is wrong." in said
    assert json.loads((place / "report.json").read_text())["passed"] is True


def test_a_leak_ends_with_exit_code_1_and_its_place(place: Path) -> None:
    (place / "out" / "notes.txt").write_text("for Quixotova")
    code, said = run(place)
    assert code == 1
    assert "(leak: 2 findings)" in said
    assert "notes.txt: name" in said
    assert "Quixotova" not in said
    assert "Quixotova" not in said


def test_another_profile_than_expected_is_found(place: Path) -> None:
    assert run(place, "--profile", "basic")[0] == 1


def test_the_three_verbs_are_there() -> None:
    said = CliRunner().invoke(app, ["deid", "--help"]).output
    assert all(verb in said for verb in ("verify", "explain", "values"))
