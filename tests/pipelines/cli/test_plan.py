"""``curate plan``: what it prints, for people and for scripts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pipelines.cli.conftest import Command


def test_the_page_says_what_it_costs_and_where_each_number_comes_from(command: Command, own_copy: Path) -> None:
    arguments = ("--executor", "inline", "--price-per-core-hour", "3.5", "--currency", "EUR", "--cores", "40")
    code, text = command("plan", own_copy / "spec.toml", *arguments)
    assert code == 0
    for said in ("bytes to read", "bytes to write", "core-hours", "on 40 cores", "EUR", "memory lanes", "peak memory"):
        assert said in text, said
    assert text.count("series of this archive built now") == 3
    assert len(list((own_copy / "store/ledger/volumes").iterdir())) == 3


def test_without_a_sample_nothing_is_built(command: Command, own_copy: Path) -> None:
    code, text = command("plan", own_copy / "spec.toml", "--executor", "inline", "--sample", "0")
    assert code == 0
    assert text.count("a default, nothing is measured yet") == 3
    assert not (own_copy / "store/volumes").exists()
    assert not (own_copy / "store/ledger/volumes").exists()


def test_scripts_get_the_same_as_json(command: Command, own_copy: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ("--executor", "inline", "--sample", "0", "--json", "--price-per-core-hour", "1", "--cores", "2")
    code, text = command("plan", own_copy / "spec.toml", *words)
    assert code == 0
    found = json.loads(text[text.index("{") :])
    assert found["core_seconds"] == pytest.approx(found["bytes_read"] / found["rates"]["bytes_a_second"]["value"])
    assert found["price"] == pytest.approx(found["core_seconds"] / 3600)
    assert found["seconds"] == pytest.approx(found["core_seconds"] / 2)
    assert found["units_left"] == sum(found["lanes"].values())
    assert found["currency"] == "USD"
    assert len(found["plan"]) == 64


@pytest.mark.parametrize("task", ["cervical", "lumbar"])
def test_a_synthetic_archive_needs_no_spec_and_leaves_nothing(command: Command, task: str, tmp_path: Path) -> None:
    code, text = command("plan", "--simulate", 300, "--task", task, "--json", "--price-per-core-hour", "0.04")
    assert code == 0
    found = json.loads(text)
    assert (found["series"], found["series_left"]) == (300, 300)
    assert found["patients"] <= 300 < found["instances"]
    assert found["planning_peak_bytes"] > 0
    assert found["price"] > 0


def test_a_synthetic_store_is_kept_where_one_says(command: Command, tmp_path: Path) -> None:
    code, text = command("plan", "--simulate", 50, "--out", tmp_path / "kept")
    assert code == 0
    assert "peak memory of planning" in text
    assert (tmp_path / "kept/catalogue/plan/00000-of-00001.parquet").is_file()
    code, text = command("plan", "--simulate", 50, "--out", tmp_path / "kept")
    assert (code, "not empty" in text) == (2, True)


def test_a_plan_of_nothing_is_refused(command: Command) -> None:
    code, text = command("plan")
    assert (code, "give a spec" in text) == (2, True)
    code, text = command("plan", "spec.toml", "--simulate", 5)
    assert (code, "not both" in text) == (2, True)
