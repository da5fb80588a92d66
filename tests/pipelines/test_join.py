"""Labels meet what was built: by key, in the volume, with every row that does not fit named."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from curate.errors import Misconfigured
from pipelines.join import JOINED_KEY, NAMES, read_manifests
from pipelines.spec import read_spec
from pipelines.workspace import open_workspace
from tests.support.curated import Curated, copy_archive, curate


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def issues_of(curated: Curated, reason: str) -> list[dict[str, Any]]:
    return [row for row in curated.manifest("label_issues").to_pylist() if row["reason"] == reason]


@pytest.fixture
def own(cervical: Curated, tmp_path: Path) -> Path:
    """A copy of the archive with the store that the calm run made, so that only the labels are joined again."""
    import shutil

    folder = copy_archive(cervical.folder, tmp_path / "copy")
    shutil.copytree(cervical.spec.store, folder / "store", ignore=shutil.ignore_patterns("release"))
    shutil.copytree(cervical.spec.private_zone, folder / "store.private")
    return folder


def done_study(curated: Curated) -> str:
    """The source's id of a study that was built."""
    samples = set(curated.manifest("samples")["study_key"].to_pylist())
    uid = curated.workspace.pseudonyms.uid
    return next(row["study"] for row in curated.truth("series") if uid(row["study"]) in samples)


def test_every_series_stands_in_the_manifest_once_with_its_end(curated: Curated) -> None:
    rows = curated.manifest("series").to_pylist()
    assert len({row["series_key"] for row in rows}) == len(rows)
    for row in rows:
        assert row["status"] in ("done", "rejected", "quarantined")
        assert (row["reason"] is None) == (row["status"] == "done")
        assert (row["fingerprint"] is None) == (row["status"] != "done")


def test_volumes_and_slices_are_those_of_done_series(curated: Curated) -> None:
    done = {row["series_key"] for row in curated.manifest("series").to_pylist() if row["status"] == "done"}
    assert set(curated.manifest("volumes")["series_key"].to_pylist()) == done
    assert set(curated.manifest("slices")["series_key"].to_pylist()) == done
    slices = {(row["series_key"], row["stack"]): 0 for row in curated.manifest("slices").to_pylist()}
    for row in curated.manifest("slices").to_pylist():
        slices[row["series_key"], row["stack"]] += 1
    for row in curated.manifest("volumes").to_pylist():
        assert slices[row["series_key"], row["stack"]] == row["source_shape"][0]


def test_a_patient_is_in_one_split_wherever_it_stands(curated: Curated) -> None:
    split: dict[str, set[str]] = {}
    for name in ("volumes", "samples"):
        for row in curated.manifest(name).to_pylist():
            split.setdefault(row["patient_key"], set()).add(row["split"])
    assert all(len(names) == 1 for names in split.values())


def test_lumbar_series_and_volumes_have_the_type_that_the_table_gives(lumbar: Curated) -> None:
    uid = lumbar.workspace.pseudonyms.uid
    table = read_rows(lumbar.folder / "labels/train_series_descriptions.csv")
    given = {uid(row["series_id"]): row["series_description"] for row in table}
    for name in ("series", "volumes"):
        rows = [row for row in lumbar.manifest(name).to_pylist() if row["series_key"] in given]
        assert rows
        assert all(row["series_type"] == given[row["series_key"]] for row in rows)


def test_a_label_of_an_unknown_study_is_named_and_not_used(own: Path, cervical: Curated) -> None:
    path = own / "labels/train.csv"
    rows = read_rows(path)
    write_rows(path, [*rows, {**rows[0], "StudyInstanceUID": "1.2.3.4.5"}])
    found = curate(own)
    before = issues_of(cervical, "label_unknown_study")
    after = issues_of(found, "label_unknown_study")
    assert len(after) == len(before) + 1
    assert len(rows) in {row["row"] for row in after}
    assert found.manifest("samples").num_rows == cervical.manifest("samples").num_rows


def test_a_box_outside_the_image_is_named_and_not_used(own: Path, cervical: Curated) -> None:
    path = own / "labels/train_bounding_boxes.csv"
    rows = read_rows(path)
    built = {row["StudyInstanceUID"] for row in rows}
    study = next(
        row["study"]
        for row in cervical.truth("series")
        if row["study"] in built
        and cervical.workspace.pseudonyms.uid(row["study"]) in set(cervical.manifest("boxes")["study_key"].to_pylist())
    )
    index = next(number for number, row in enumerate(rows) if row["StudyInstanceUID"] == study)
    rows[index] = {**rows[index], "x": "5000"}
    write_rows(path, rows)
    found = curate(own)
    assert [row["row"] for row in issues_of(found, "label_outside_frame")] == [index]
    assert found.manifest("boxes").num_rows == cervical.manifest("boxes").num_rows - 1


def test_a_row_that_contradicts_itself_is_named(own: Path, cervical: Curated) -> None:
    path = own / "labels/train.csv"
    rows = read_rows(path)
    study = done_study(cervical)
    index = next(number for number, row in enumerate(rows) if row["StudyInstanceUID"] == study)
    overall = rows[index]["patient_overall"]
    rows[index] = {**rows[index], "patient_overall": "0" if overall == "1" else "1"}
    write_rows(path, rows)
    found = curate(own)
    assert index in {row["row"] for row in issues_of(found, "label_contradiction") if row["table"] == "train"}


def test_changed_labels_build_no_volume_again(own: Path, cervical: Curated) -> None:
    receipts = sorted((own / "store/ledger/volumes").iterdir())
    path = own / "labels/train.csv"
    rows = read_rows(path)
    study = done_study(cervical)
    index = next(number for number, row in enumerate(rows) if row["StudyInstanceUID"] == study)
    flipped = {name: "1" for name in rows[index] if name != "StudyInstanceUID"}
    rows[index] = {**rows[index], **flipped}
    write_rows(path, rows)
    found = curate(own)
    key = cervical.workspace.pseudonyms.uid(study)
    (sample,) = [row for row in found.manifest("samples").to_pylist() if row["study_key"] == key]
    assert all(sample[name] == 1 for name in flipped)
    assert found.manifest("volumes").equals(cervical.manifest("volumes"))
    assert [path for path in sorted((own / "store/ledger/volumes").iterdir()) if path not in receipts] == []


def test_manifests_that_were_changed_by_hand_are_refused(own: Path) -> None:
    found = curate(own)
    path = own / "store/manifests/samples.parquet"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(Misconfigured, match="not those of the last run that ended"):
        read_manifests(found.spec, found.workspace)


def test_a_join_that_did_not_end_is_refused(own: Path) -> None:
    found = curate(own)
    (own / "store" / JOINED_KEY).unlink()
    with pytest.raises(Misconfigured, match="`curate run` first"):
        read_manifests(found.spec, found.workspace)


def test_the_mark_names_every_table_and_no_place(curated: Curated) -> None:
    mark = json.loads(Path(curated.workspace.store.url, JOINED_KEY).read_bytes())
    assert set(mark["tables"]) == set(NAMES)
    assert str(curated.folder) not in json.dumps(mark)


def test_held_out_sites_go_to_test_whole(own: Path) -> None:
    spec = own / "spec.toml"
    spec.write_text(spec.read_text().replace("holdout_sites = []", 'holdout_sites = ["site-a"]'))
    found = curate(own)
    rows = found.manifest("samples").to_pylist()
    assert {row["split"] for row in rows if row["site"] == "site-a"} == {"test"}
    read = read_spec(spec)
    assert read_manifests(read, open_workspace(read))["samples"].num_rows == len(rows)
