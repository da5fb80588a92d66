"""The many ways a row can point nowhere are in test_verify; here, the check on its own."""

import pyarrow as pa
import pytest

from curate.manifests import schemas
from curate.release.contents import EXCLUSIONS
from curate.release.findings import Finding, Kind
from curate.release.references import check_references

KEYS = {"site": "a", "patient_key": "P", "study_key": "S", "series_key": "R"}
FILES = {
    "train_images/S/1.dcm": ("d1", 10),
    "volumes/S/R/0.zarr/zarr.json": ("z", 1),
    "volumes/S/R/0.zarr/0/c/0/0/0": ("v", 5),
}


def tables() -> dict[str, pa.Table]:
    uri = "volumes/S/R/0.zarr"
    volume = {**KEYS, "stack": 0, "uri": uri, "objects": ["0/c/0/0/0", "zarr.json"], "size_bytes": 6, "sha256": "v"}
    place = {"series_key": "R", "stack": 0, "instance_key": "I", "instance_number": 1}
    image = {**place, "position_in_stack": 0, "dicom": "train_images/S/1.dcm", "dicom_sha256": "d1"}
    sample = {"site": "a", "patient_key": "P", "study_key": "S", "split": "train", "volumes": [uri]}
    return {
        "samples": pa.Table.from_pylist([sample], schemas.CERVICAL_SAMPLES),
        "series": pa.Table.from_pylist([KEYS], schemas.SERIES),
        "volumes": pa.Table.from_pylist([volume], schemas.VOLUMES),
        "slices": pa.Table.from_pylist([image], schemas.SLICES),
        "boxes": pa.Table.from_pylist([{**place, "study_key": "S"}], schemas.BOXES),
        "objects": pa.Table.from_pylist([{"study_key": "S", "series_key": "R", "stack": 0}], schemas.OBJECTS),
        "exclusions": EXCLUSIONS.empty_table(),
    }


def test_rows_and_files_that_point_at_each_other_are_no_findings() -> None:
    assert check_references(tables(), FILES) == []


@pytest.mark.parametrize("path", FILES)
def test_a_file_that_is_gone_is_named_by_the_row_that_needs_it(path: str) -> None:
    found = check_references(tables(), {name: value for name, value in FILES.items() if name != path})
    assert {finding.path for finding in found} == {
        "manifests/slices.parquet" if path.endswith(".dcm") else "manifests/volumes.parquet"
    }


@pytest.mark.parametrize("path", ["test_images/S/2.dcm", "volumes/S/R/0.zarr/1/zarr.json"])
def test_a_file_without_a_row_is_named(path: str) -> None:
    (found,) = check_references(tables(), {**FILES, path: ("x", 1)})
    assert (found.path, found.kind) == (path, Kind.REFERENCE)


def test_rows_are_named_by_number_and_not_by_value() -> None:
    changed = tables()
    changed["boxes"] = pa.Table.from_pylist([*changed["boxes"].to_pylist(), {"study_key": "secret"}], schemas.BOXES)
    found = check_references(changed, FILES)
    assert Finding("manifests/boxes.parquet", Kind.REFERENCE, "row 1: its stack is not in volumes") in found
    assert "secret" not in repr(found)


def test_a_release_without_volumes_has_rows_without_uri() -> None:
    changed = tables()
    rows = [{**changed["volumes"].to_pylist()[0], "uri": None, "objects": [], "size_bytes": 0, "sha256": None}]
    changed["volumes"] = pa.Table.from_pylist(rows, schemas.VOLUMES)
    sample = {**changed["samples"].to_pylist()[0], "volumes": []}
    changed["samples"] = pa.Table.from_pylist([sample], schemas.CERVICAL_SAMPLES)
    assert check_references(changed, {"train_images/S/1.dcm": ("d1", 10)}) == []


@pytest.mark.parametrize(
    ("change", "is_fault"), [({"frame": 1}, False), ({}, True), ({"frame": 1, "instance_key": "J"}, True)]
)
def test_an_image_belongs_to_as_many_rows_as_it_has_frames(change: dict[str, object], is_fault: bool) -> None:
    changed = tables()
    first = changed["slices"].to_pylist()[0]
    second = {**first, "position_in_stack": 1, **change}
    changed["slices"] = pa.Table.from_pylist([{**first, "frame": 0}, second], schemas.SLICES)
    found = check_references(changed, FILES)
    assert [finding.detail for finding in found] == (
        ["row 1: its image belongs to another row too"] if is_fault else []
    )
