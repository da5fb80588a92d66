"""Tables of the 2022 challenge as they lie on disk, and as they should not."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from curate.errors import Misconfigured
from curate.labels import read_cervical_labels
from curate.labels.cervical import BOX_LABELS, TARGETS
from curate.manifests.schemas import LABEL_ISSUES

TRAIN_HEADER = ("StudyInstanceUID", "patient_overall", "C1", "C2", "C3", "C4", "C5", "C6", "C7")
BOX_HEADER = ("StudyInstanceUID", "x", "y", "width", "height", "slice_number")


class Prefixed:
    """A keyed function that a test can see through."""

    def uid(self, value: str) -> str:
        return f"key:{value}"


def table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def train(folder: Path, *rows: Sequence[object]) -> Path:
    return table(folder / "train.csv", TRAIN_HEADER, rows)


def boxes(folder: Path, *rows: Sequence[object]) -> Path:
    return table(folder / "train_bounding_boxes.csv", BOX_HEADER, rows)


POSITIVE = ("1.2.826.0.1.3680043.6200", 1, 1, 1, 0, 0, 0, 0, 0)
NEGATIVE = ("1.2.826.0.1.3680043.27262", 0, 0, 0, 0, 0, 0, 0, 0)
BOX = ("1.2.826.0.1.3680043.6200", 219.27715, 216.71419, 17.3044, 38.20041, 133)


def test_the_tables_of_the_challenge_are_read_and_keyed(tmp_path: Path) -> None:
    labels = read_cervical_labels(train(tmp_path, POSITIVE, NEGATIVE), boxes(tmp_path, BOX), Prefixed())
    assert labels.targets.schema.equals(TARGETS)
    assert labels.boxes.schema.equals(BOX_LABELS)
    assert labels.issues.equals(LABEL_ISSUES.empty_table())
    first, second = labels.targets.to_pylist()
    assert first == {
        "label_row": 0,
        "study_key": "key:1.2.826.0.1.3680043.6200",
        **dict(zip(TRAIN_HEADER[1:], POSITIVE[1:], strict=True)),
    }
    assert second["study_key"] == "key:1.2.826.0.1.3680043.27262"
    assert labels.boxes.to_pylist() == [
        {
            "label_row": 0,
            "study_key": "key:1.2.826.0.1.3680043.6200",
            "instance_number": 133,
            "label": "fracture",
            "column": 219.27715,
            "row": 216.71419,
            "width": 17.3044,
            "height": 38.20041,
        }
    ]


def test_boxes_need_not_be_given(tmp_path: Path) -> None:
    labels = read_cervical_labels(train(tmp_path, POSITIVE), None, Prefixed())
    assert labels.boxes.num_rows == 0
    assert labels.boxes.schema.equals(BOX_LABELS)


@pytest.mark.parametrize("cell", ["", "2", "-1", "0.5", "yes"])
def test_a_target_that_is_not_0_or_1_leaves_the_study_out_and_names_the_column(cell: str, tmp_path: Path) -> None:
    bad = (*NEGATIVE[:4], cell, *NEGATIVE[5:])
    labels = read_cervical_labels(train(tmp_path, POSITIVE, bad), None, Prefixed())
    assert labels.targets["study_key"].to_pylist() == ["key:1.2.826.0.1.3680043.6200"]
    (issue,) = labels.issues.to_pylist()
    assert (issue["table"], issue["row"], issue["reason"]) == ("train", 1, "label_malformed")
    assert issue["study_key"] == "key:1.2.826.0.1.3680043.27262"
    assert issue["detail"].startswith("C3 is not ")
    assert "yes" not in issue["detail"]


def test_a_row_without_a_study_is_an_issue_without_a_key(tmp_path: Path) -> None:
    labels = read_cervical_labels(train(tmp_path, ("", *NEGATIVE[1:])), boxes(tmp_path, (" ", *BOX[1:])), Prefixed())
    assert labels.targets.num_rows == labels.boxes.num_rows == 0
    assert [(row["table"], row["study_key"]) for row in labels.issues.to_pylist()] == [("train", None), ("boxes", None)]


def test_a_study_that_stands_twice_is_used_once_and_one_that_contradicts_itself_not_at_all(tmp_path: Path) -> None:
    other = (NEGATIVE[0], 1, 1, 0, 0, 0, 0, 0, 0)
    labels = read_cervical_labels(train(tmp_path, POSITIVE, NEGATIVE, POSITIVE, other), None, Prefixed())
    assert labels.targets["label_row"].to_pylist() == [0]
    found = {(row["row"], row["reason"]) for row in labels.issues.to_pylist()}
    assert found == {(2, "label_duplicate"), (1, "label_contradiction"), (3, "label_contradiction")}


@pytest.mark.parametrize(
    ("column", "cell"),
    [("x", "nan"), ("y", ""), ("width", "0"), ("height", "-3"), ("slice_number", "12.5"), ("slice_number", "first")],
)
def test_a_box_that_cannot_be_read_is_left_out_and_named(column: str, cell: str, tmp_path: Path) -> None:
    bad = list(BOX)
    bad[BOX_HEADER.index(column)] = cell
    labels = read_cervical_labels(train(tmp_path, POSITIVE), boxes(tmp_path, BOX, bad), Prefixed())
    assert labels.boxes["label_row"].to_pylist() == [0]
    (issue,) = labels.issues.to_pylist()
    assert (issue["table"], issue["row"], issue["reason"]) == ("boxes", 1, "label_malformed")
    assert column in issue["detail"]


def test_the_same_box_twice_is_one_box_and_two_boxes_on_a_slice_are_two(tmp_path: Path) -> None:
    beside = (BOX[0], 10.0, *BOX[2:])
    labels = read_cervical_labels(train(tmp_path, POSITIVE), boxes(tmp_path, BOX, beside, BOX), Prefixed())
    assert labels.boxes["label_row"].to_pylist() == [0, 1]
    (issue,) = labels.issues.to_pylist()
    assert (issue["row"], issue["reason"]) == (2, "label_duplicate")


def test_slice_numbers_written_as_decimals_are_whole(tmp_path: Path) -> None:
    labels = read_cervical_labels(train(tmp_path, POSITIVE), boxes(tmp_path, (*BOX[:5], "133.0")), Prefixed())
    assert labels.boxes["instance_number"].to_pylist() == [133]


def test_a_table_of_the_other_challenge_is_refused_by_the_missing_column(tmp_path: Path) -> None:
    wrong = table(tmp_path / "train.csv", ("study_id", "C1"), [(1, 0)])
    with pytest.raises(Misconfigured, match=r"labels\.train: expected column 'StudyInstanceUID'"):
        read_cervical_labels(wrong, None, Prefixed())
    with pytest.raises(Misconfigured, match=r"labels\.boxes: expected column 'x'"):
        read_cervical_labels(train(tmp_path), train(tmp_path), Prefixed())
