"""A coordinator lists the values of an archive, decides, runs, and looks a patient up again."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
from pydicom import dcmread

from tests.support.curated import Curated, copy_archive

Command = Callable[..., tuple[int, str]]


def test_values_are_written_for_their_owner_alone(command: Command, lumbar: Curated, tmp_path: Path) -> None:
    out = tmp_path / "review"
    code, said = command("deid", "values", *sorted(lumbar.folder.glob("site-*")), "--profile", "mira", "--out", out)
    assert code == 0
    assert "to look at first" in said
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in out.iterdir()} == {
        "values.html": 0o600,
        "values.parquet": 0o600,
    }
    table = pq.read_table(out / "values.parquet")
    assert "SAG T1" in table["value"].to_pylist()
    planted = {row["value"] for row in lumbar.truth("planted")}
    assert not [value for value in planted if value and value in said]


def test_what_is_decided_changes_what_is_written_and_only_that(
    command: Command, lumbar: Curated, tmp_path: Path
) -> None:
    folder = copy_archive(lumbar.folder, tmp_path / "copy")
    row = {"tag_path": "(0008,0070)", "vr": "LO", "value": "SIEMENS", "decision": "remove"}
    (folder / "marks.json").write_text(json.dumps({"format": "spine-curate decisions 1", "decisions": [row]}))
    spec = folder / "spec.toml"
    spec.write_text(spec.read_text().replace("[deid]\n", '[deid]\ndecisions = "marks.json"\n'))
    code, _ = command("run", spec, "--executor", "inline")
    assert code == 0
    makers = {dcmread(path, stop_before_pixels=True).get("Manufacturer") for path in (folder / "store").rglob("*.dcm")}
    assert "SIEMENS" not in makers
    assert "Philips" in makers


def test_decisions_that_cannot_be_are_refused_before_anything_starts(command: Command, own_copy: Path) -> None:
    spec = own_copy / "spec.toml"
    spec.write_text(spec.read_text().replace("[deid]\n", '[deid]\ndecisions = "marks.json"\n'))
    code, said = command("run", spec, "--executor", "inline")
    assert (code, "there is no such file" in said) == (2, True)
    row = {"tag_path": "(0010,0010)", "vr": "PN", "value": "Quixotova", "decision": "keep"}
    (own_copy / "marks.json").write_text(json.dumps({"format": "spine-curate decisions 1", "decisions": [row]}))
    code, said = command("run", spec, "--executor", "inline")
    assert (code, "row 1" in said, "Quixotova" in said) == (2, True, False)
    assert not (own_copy / "store").exists()


def test_a_patient_is_found_again_by_the_owner_of_the_key(command: Command, lumbar: Curated, tmp_path: Path) -> None:
    path = tmp_path / "crosswalk"
    code, _ = command("deid", "crosswalk", lumbar.folder / "spec.toml", "--out", path)
    assert code == 0
    key = lumbar.manifest("samples")["patient_key"].to_pylist()[0]
    source = f"file:{lumbar.folder / 'curate.key'}"
    code, said = command("deid", "reveal", path, key, "--key", source)
    assert code == 0
    assert f"{key}: days -" in said
    code, said = command("deid", "reveal", path, "A" * 16, "--key", source)
    assert code == 1
    assert "not in this crosswalk" in said
