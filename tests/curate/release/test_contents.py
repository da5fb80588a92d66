import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curate.errors import Misconfigured
from curate.manifests import schemas
from curate.release.contents import Contents, select, table_names
from tests.support.release_store import Made, make_store


def chosen(made: Made, task: str, *, include_volumes: bool = True) -> Contents:
    return select(made.manifests, made.store, task=task, include_volumes=include_volumes)


def with_samples(made: Made, change: dict[str, object]) -> Made:
    rows = made.manifests["samples"].to_pylist()
    rows[0] |= change
    return replace(made, manifests={**made.manifests, "samples": pa.Table.from_pylist(rows, schemas.CERVICAL_SAMPLES)})


def test_a_cervical_study_of_one_series_has_no_series_folder(made_cervical: Made) -> None:
    contents = chosen(made_cervical, "cervical")
    images = [copy.path for copy in contents.copies if copy.path.endswith(".dcm")]
    assert len(images) == 12
    assert {path.count("/") for path in images} == {2}
    assert sorted({path.split("/")[2] for path in images}) == ["1.dcm", "2.dcm"]


def test_a_cervical_study_of_two_series_has_series_folders(tmp_path: Path) -> None:
    contents = chosen(make_store(tmp_path, "cervical", series_of_study=2), "cervical")
    assert {copy.path.count("/") for copy in contents.copies if copy.path.endswith(".dcm")} == {3}


def test_lumbar_studies_always_have_series_folders_and_slices_name_the_new_place(made_lumbar: Made) -> None:
    contents = chosen(made_lumbar, "lumbar")
    images = {copy.path for copy in contents.copies if copy.path.endswith(".dcm")}
    assert {path.count("/") for path in images} == {3}
    assert set(contents.tables["slices"]["dicom"].to_pylist()) == images


def test_repeated_instance_numbers_are_replaced_by_instance_keys(made_lumbar: Made) -> None:
    made = made_lumbar
    slices = made.manifests["slices"].to_pylist()
    for row in slices[:2]:
        row["instance_number"] = 1
    manifests = {**made.manifests, "slices": pa.Table.from_pylist(slices, schemas.SLICES)}
    contents = chosen(replace(made, manifests=manifests), "lumbar")
    renamed = [c.path for c in contents.copies if c.source in {row["dicom"] for row in slices[:2]}]
    assert sorted(path.rsplit("/", 1)[1] for path in renamed) == sorted(
        f"{row['instance_key']}.dcm" for row in slices[:2]
    )


def test_an_object_of_many_frames_is_copied_once_under_its_key(made_lumbar: Made) -> None:
    slices = made_lumbar.manifests["slices"].to_pylist()
    series = [row for row in slices if row["series_key"] == slices[0]["series_key"]]
    shared = {name: series[0][name] for name in ("instance_key", "dicom", "dicom_sha256")}
    for frame, row in enumerate(series):
        row |= {**shared, "frame": frame, "instance_number": frame + 1}
    manifests = {**made_lumbar.manifests, "slices": pa.Table.from_pylist(slices, schemas.SLICES)}
    contents = chosen(replace(made_lumbar, manifests=manifests), "lumbar")
    (copy,) = (copy for copy in contents.copies if copy.source == shared["dicom"])
    assert copy.path.endswith(f"/{shared['instance_key']}.dcm")
    rows = [row for row in contents.tables["slices"].to_pylist() if row["dicom"] == copy.path]
    assert [row["frame"] for row in rows] == list(range(len(series)))


def test_series_that_were_rejected_or_have_no_label_are_listed_with_the_reason(made_cervical: Made) -> None:
    contents = chosen(made_cervical, "cervical")
    rows = {row["status"]: row for row in contents.tables["exclusions"].to_pylist()}
    assert rows["rejected"]["reason"] == "localizer"
    assert rows["rejected"]["text"] == "A localizer (scout) image, not a volume."
    assert rows["not_selected"]["reason"] == ""
    assert set(contents.tables["series"]["series_key"].to_pylist()) == set(
        contents.tables["volumes"]["series_key"].to_pylist()
    )


@pytest.mark.parametrize("task", ["cervical", "lumbar"])
def test_nothing_public_tells_the_labels_of_the_hidden_split(request: pytest.FixtureRequest, task: str) -> None:
    contents = chosen(request.getfixturevalue(f"made_{task}"), task)
    samples = contents.tables["samples"].filter(pc.equal(contents.tables["samples"]["split"], "test"))
    (row,) = samples.to_pylist()
    targets = schemas.CERVICAL_TARGETS if task == "cervical" else schemas.LUMBAR_TARGETS
    assert all(row[target] is None for target in targets)
    for name in ("boxes" if task == "cervical" else "points", "objects", "label_issues"):
        assert row["study_key"] not in contents.tables[name]["study_key"].to_pylist()
        assert contents.private_tables[name]["study_key"].to_pylist() == [row["study_key"]]
    (answer,) = contents.private_tables["samples"].to_pylist()
    assert answer[targets[0]] is not None


def test_masks_of_the_hidden_split_go_to_the_private_folder_and_its_volumes_do_not_name_them(
    made_cervical: Made,
) -> None:
    made = made_cervical
    contents = chosen(made, "cervical")
    (study,) = contents.private_tables["samples"]["study_key"].to_pylist()
    masks = [copy.path for copy in contents.private_copies]
    assert masks
    assert all(f"/{study}/" in path and "/labels/" in path for path in masks)
    assert not [copy.path for copy in contents.copies if study in copy.path and "/labels/" in copy.path]
    (root,) = [copy for copy in contents.copies if copy.content is not None]
    assert json.loads(root.content or b"")["attributes"]["spine_curate"]["labels"] == []
    kept = [row for row in contents.tables["volumes"].to_pylist() if row["study_key"] != study]
    assert all(any(name.startswith("labels/") for name in row["objects"]) for row in kept)


def test_volumes_can_be_left_out_and_then_no_row_names_one(made_cervical: Made) -> None:
    contents = chosen(made_cervical, "cervical", include_volumes=False)
    assert not [copy for copy in contents.copies if copy.path.startswith("volumes/")]
    assert contents.private_copies == ()
    assert set(contents.tables["volumes"]["uri"].to_pylist()) == {None}
    assert contents.tables["samples"]["volumes"].to_pylist() == [[]] * 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": None}, "no split"),
        ({"split": "holdout"}, "no split"),
        ({"patient_key": "MOVED"}, None),
    ],
)
def test_samples_without_a_known_split_are_refused(
    made_cervical: Made, change: dict[str, object], message: str | None
) -> None:
    made = with_samples(made_cervical, change)
    if message is None:
        assert chosen(made, "cervical").tables["samples"].num_rows == 6
        return
    with pytest.raises(Misconfigured, match=message):
        chosen(made, "cervical")


def test_a_patient_in_two_splits_is_refused(made_cervical: Made) -> None:
    made = made_cervical
    last = made.manifests["samples"]["patient_key"].to_pylist()[-1]
    with pytest.raises(Misconfigured, match="two splits"):
        chosen(with_samples(made, {"patient_key": last}), "cervical")


def test_a_missing_manifest_or_column_is_refused(made_cervical: Made) -> None:
    made = made_cervical
    without = {name: table for name, table in made.manifests.items() if name != "volumes"}
    with pytest.raises(Misconfigured, match="no volumes manifest"):
        select(without, made.store, task="cervical", include_volumes=True)
    narrow = {**made.manifests, "slices": made.manifests["slices"].drop_columns(["dicom"])}
    with pytest.raises(Misconfigured, match="slices manifest"):
        select(narrow, made.store, task="cervical", include_volumes=True)


def test_nothing_to_release_is_refused(made_cervical: Made) -> None:
    made = made_cervical
    none = {**made.manifests, "samples": schemas.CERVICAL_SAMPLES.empty_table()}
    with pytest.raises(Misconfigured, match="no study"):
        select(none, made.store, task="cervical", include_volumes=True)


@pytest.mark.parametrize("key", ["../up", ".hidden", "a/b", "", "a b"])
def test_a_key_that_cannot_be_a_folder_is_refused_without_being_shown(made_cervical: Made, key: str) -> None:
    made = made_cervical
    volumes = made.manifests["volumes"].to_pylist()
    volumes[0]["series_key"] = key
    manifests = {**made.manifests, "volumes": pa.Table.from_pylist(volumes, schemas.VOLUMES)}
    with pytest.raises(Misconfigured, match="no file name may have"):
        select(manifests, made.store, task="cervical", include_volumes=True)


def test_each_task_has_its_own_tables() -> None:
    assert "boxes" in table_names("cervical")
    assert "boxes" not in table_names("lumbar")
    assert "points" in table_names("lumbar")
