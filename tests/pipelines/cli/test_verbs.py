"""Every verb, used as a person would."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipelines.spec import read_spec
from tests.support.curated import Curated, curate

Command = Callable[..., tuple[int, str]]

VERBS = (
    "demo",
    "plan",
    "run",
    "status",
    "failures",
    "why",
    "gc",
    "work",
    "stats",
    "deploy",
    "release",
    "verify",
    "train",
    "predict",
    "phantoms",
    "scan",
    "show",
    "spec",
)


def test_help_names_every_verb_and_where_to_start(command: Command) -> None:
    code, text = command("--help")
    assert code == 0
    assert "Start here: curate demo" in " ".join(text.split())
    assert all(verb in text for verb in VERBS)


def test_a_reader_that_has_seen_enough_ends_it_without_a_word() -> None:
    program = [str(Path(sys.executable).with_name("curate")), "--help"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode in (1, 141)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_does_and_what_its_options_mean(command: Command, verb: str) -> None:
    code, text = command(verb, "--help")
    assert code == 0
    assert len(text.splitlines()) > 8


def test_an_unknown_verb_or_option_is_refused(command: Command, own_copy: Path) -> None:
    assert command("curate-everything")[0] == 2
    assert command("run", own_copy / "spec.toml", "--executor", "slurm")[0] == 2
    assert command("run", own_copy / "spec.toml", "--workers", 0)[0] == 2


def test_plan_run_status_release_and_verify_follow_each_other(command: Command, own_copy: Path) -> None:
    spec = own_copy / "spec.toml"
    code, text = command("plan", spec, "--executor", "inline", "--sample", 0)
    assert code == 0
    assert "16" in text
    assert "mixed_matrix" in text
    assert not (own_copy / "store/volumes").exists()

    code, text = command("run", spec, "--executor", "inline")
    assert code == 0
    assert "1 burned_in_annotation" in text

    code, text = command("plan", spec, "--executor", "inline")
    assert "0 units, 0 series" in text
    assert "units of earlier runs of this store" in text

    code, text = command("status", own_copy / "store")
    assert code == 0
    assert all(site in text for site in ("site-a", "site-b", "site-c", "site-d"))

    code, text = command("release", spec)
    assert code == 0
    assert "frozen" in text
    assert command("release", spec)[1].startswith(text.split(" frozen")[0])

    release = own_copy / "store/release/cervical-phantoms/1.0.0"
    code, text = command("verify", release)
    assert code == 0, text
    assert "nothing is wrong" in text
    assert "known identifiers" in text

    victim = next(release.rglob("*.dcm"))
    content = bytearray(victim.read_bytes())
    content[-1] ^= 1
    victim.chmod(0o644)
    victim.write_bytes(content)
    (release / "stray.txt").write_text("x")
    code, text = command("verify", release)
    assert code == 1
    assert "changed: " in text
    assert "extra: stray.txt" in text


def test_failures_and_why_tell_the_reason_in_words(command: Command, cervical: Curated) -> None:
    store = cervical.spec.store
    code, text = command("failures", store)
    assert code == 0
    assert "mixed_matrix: Images of different rows, columns or pixel spacing under one series." in text
    mixed = next(row for row in cervical.manifest("series").to_pylist() if row["reason"] == "mixed_matrix")
    code, text = command("why", store, mixed["series_key"])
    assert code == 0
    assert "rejected" in text
    assert "pixels beside" in text
    done = next(row for row in cervical.manifest("series").to_pylist() if row["status"] == "done")
    code, text = command("why", store, done["series_key"][:20])
    assert code == 0
    assert "slices.parquet" in text
    file = cervical.manifest("files").to_pylist()[0]
    assert file["reason"] in command("why", store, file["file_key"])[1]


def test_why_does_not_know_a_key_of_another_store(command: Command, cervical: Curated) -> None:
    code, text = command("why", cervical.spec.store, "2.25.0000")
    assert code == 2
    assert "no series, study or file" in text


def test_a_folder_that_is_no_store_is_refused(command: Command, tmp_path: Path) -> None:
    code, text = command("status", tmp_path)
    assert code == 2
    assert "is no store" in text


def test_phantoms_come_with_a_spec_that_plans(command: Command, tmp_path: Path) -> None:
    out = tmp_path / "new"
    words = ("phantoms", out, "--task", "lumbar", "--sites", 1, "--studies", 1, "--seed", 3, "--matrix", 48)
    code, text = command(*words)
    assert code == 0
    assert f"curate plan {out / 'spec.toml'}" in text
    assert read_spec(out / "spec.toml").task == "lumbar"
    assert command("plan", out / "spec.toml", "--executor", "inline")[0] == 0
    code, text = command(*words)
    assert code == 2
    assert "not empty" in text


def test_scan_shows_no_identifier_and_writes_all_columns(command: Command, cervical: Curated, tmp_path: Path) -> None:
    out = tmp_path / "headers.parquet"
    code, text = command("scan", cervical.folder / "site-a", cervical.folder / "site-b.zip", "--out", out)
    assert code == 0
    assert "set apart" in text
    assert out.stat().st_mode & 0o077 == 0
    table = pq.read_table(out)
    planted = {row["value"] for row in cervical.truth("planted") if len(row["value"]) > 4}
    assert planted & set(table["patient_id"].to_pylist())
    assert not [value for value in planted if value in text]


def test_scan_of_nothing_is_refused(command: Command, tmp_path: Path) -> None:
    code, text = command("scan", tmp_path / "none")
    assert code == 2
    assert "does not exist" in text


def test_ready_specs_are_listed_printed_and_written(command: Command, tmp_path: Path) -> None:
    code, text = command("spec")
    assert code == 0
    assert {"rsna-2022", "rsna-2024", "demo-cervical", "demo-lumbar"} <= set(text.replace(":", " ").split())
    out = tmp_path / "spec.toml"
    assert command("spec", "rsna-2022", "--out", out)[0] == 0
    assert read_spec(out).deid.profile == "public"
    assert command("spec", "rsna-2022", "--out", out)[0] == 2
    assert command("spec", "rsna-1895")[0] == 2
    assert 'task = "lumbar"' in command("spec", "rsna-2024")[1]


def test_events_name_stages_and_units_and_nobody(cervical: Curated, command: Command, own_copy: Path) -> None:
    assert command("run", own_copy / "spec.toml", "--executor", "inline")[0] == 0
    lines = [line for path in sorted((own_copy / "store/events").rglob("*.jsonl")) for line in path.open()]
    kinds = {json.loads(line)["event"] for line in lines}
    assert {"stage_started", "unit_settled", "stage_ended"} <= kinds
    planted = [row["value"] for row in cervical.truth("planted") if len(row["value"]) > 4]
    assert not [value for value in planted for line in lines if value in line]


def test_release_before_any_run_says_what_to_do_first(command: Command, own_copy: Path) -> None:
    code, text = command("release", own_copy / "spec.toml")
    assert code == 2
    assert "`curate run` first" in text


def test_an_archive_without_labels_is_curated_all_the_same(own_copy: Path) -> None:
    text = (own_copy / "spec.toml").read_text()
    start = text.index("[labels]")
    (own_copy / "spec.toml").write_text(text[:start] + text[text.index("[deid]") :])
    found = curate(own_copy)
    assert found.balance.done > 0
    assert found.manifest("samples").num_rows == 0
    assert found.balance.label_issues == {}
