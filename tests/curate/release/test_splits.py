import pyarrow as pa
import pytest

from curate.manifests import schemas
from curate.release.findings import Kind
from curate.release.splits import Ids, check_splits, split_of_path, study_of_path


def tables(*, second: str = "P2", split: str = "test") -> dict[str, pa.Table]:
    samples = [
        {"patient_key": "P1", "study_key": "S1", "split": "train", "C1": 1},
        {"patient_key": second, "study_key": "S2", "split": split},
    ]
    volumes = [
        {"patient_key": "P1", "study_key": "S1", "series_key": "R1", "split": "train"},
        {"patient_key": second, "study_key": "S2", "series_key": "R2", "split": split},
    ]
    slices = [
        {"series_key": "R1", "dicom": "train_images/S1/1.dcm"},
        {"series_key": "R2", "dicom": f"{split}_images/S2/1.dcm"},
    ]
    return {
        "samples": pa.Table.from_pylist(samples, schemas.CERVICAL_SAMPLES),
        "volumes": pa.Table.from_pylist(volumes, schemas.VOLUMES),
        "slices": pa.Table.from_pylist(slices, schemas.SLICES),
        "boxes": schemas.BOXES.empty_table(),
    }


FILES = {"train_images/S1/1.dcm": ("d1", 1), "test_images/S2/1.dcm": ("d2", 1)}
TRAIN, TEST = FILES


@pytest.mark.parametrize(
    ("path", "split", "study"),
    [
        ("train_images/S/1.dcm", "train", "S"),
        ("test_images/S/R/1.dcm", "test", "S"),
        ("holdout_images/S/1.dcm", None, "S"),
        ("train/S/1.dcm", None, "S"),
        ("train.csv", None, ""),
    ],
)
def test_folders_say_split_and_study(path: str, split: str | None, study: str) -> None:
    assert split_of_path(path) == split
    assert study_of_path(path) == study


def test_disjoint_splits_are_no_findings() -> None:
    ids = {TRAIN: Ids("P1", "S1", "I1"), TEST: Ids("P2", "S2", "I2")}
    assert check_splits(tables(), ids, FILES) == []


def test_one_patient_in_two_splits_is_found_in_samples_and_volumes() -> None:
    found = check_splits(tables(second="P1"), {}, FILES)
    assert {finding.path for finding in found} == {"manifests/samples.parquet", "manifests/volumes.parquet"}
    assert {finding.kind for finding in found} == {Kind.SPLIT}


def test_two_studies_of_one_patient_in_one_split_are_right() -> None:
    files = {"train_images/S1/1.dcm": ("d1", 1), "train_images/S2/1.dcm": ("d2", 1)}
    ids = {path: Ids("P1", path.split("/")[1], path) for path in files}
    assert check_splits(tables(second="P1", split="train"), ids, files) == []


@pytest.mark.parametrize(
    "ids", [Ids("P1", "S2", "I2"), Ids("P2", "S1", "I2"), Ids("P2", "S2", "I1")], ids=["patient", "study", "instance"]
)
def test_headers_are_believed_more_than_tables(ids: Ids) -> None:
    (found,) = check_splits(tables(), {TRAIN: Ids("P1", "S1", "I1"), TEST: ids}, FILES)
    assert (found.path, found.kind) == (TEST, Kind.SPLIT)


def test_headers_that_say_nothing_are_no_finding() -> None:
    assert check_splits(tables(), {TRAIN: Ids("", "", ""), TEST: Ids("", "", "")}, FILES) == []


def test_the_same_bytes_in_two_places_are_found() -> None:
    (found,) = check_splits(tables(), {}, {TRAIN: ("d1", 1), TEST: ("d1", 1)})
    assert found.kind is Kind.SPLIT


def test_a_label_of_the_hidden_split_is_an_answer() -> None:
    changed = tables()
    changed["boxes"] = pa.Table.from_pylist([{"study_key": "S2"}], schemas.BOXES)
    (found,) = check_splits(changed, {}, FILES)
    assert found.kind is Kind.ANSWER


def test_slices_without_a_path_or_a_volume_do_not_stop_the_check() -> None:
    changed = tables()
    changed["slices"] = pa.Table.from_pylist([{"series_key": "R9", "dicom": None}], schemas.SLICES)
    assert check_splits(changed, {}, FILES) is not None
