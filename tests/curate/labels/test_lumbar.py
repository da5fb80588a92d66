"""Tables of the 2024 challenge as they lie on disk, and as they should not."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from curate.errors import Misconfigured
from curate.labels import LumbarLabels, read_lumbar_labels, with_series_types
from curate.labels.lumbar import POINT_LABELS, SERIES_TYPE_LABELS, TARGETS

CONDITIONS = (
    "spinal_canal_stenosis",
    "left_neural_foraminal_narrowing",
    "right_neural_foraminal_narrowing",
    "left_subarticular_stenosis",
    "right_subarticular_stenosis",
)
LEVELS = ("l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1")
COLUMNS = tuple(f"{condition}_{level}" for condition in CONDITIONS for level in LEVELS)
COORDINATES = ("study_id", "series_id", "instance_number", "condition", "level", "x", "y")
DESCRIPTIONS = ("study_id", "series_id", "series_description")
POINT = (4003253, 702807833, 8, "Spinal Canal Stenosis", "L1/L2", 322.831858407079, 227.964601769911)


class Prefixed:
    def uid(self, value: str) -> str:
        return f"key:{value}"


def table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def grades(study: object, **changed: str) -> tuple[object, ...]:
    return (study, *(changed.get(column, "Normal/Mild") for column in COLUMNS))


def read(
    folder: Path,
    *,
    train: Iterable[Sequence[object]] = (),
    points: Iterable[Sequence[object]] | None = None,
    types: Iterable[Sequence[object]] | None = None,
) -> LumbarLabels:
    return read_lumbar_labels(
        table(folder / "train.csv", ("study_id", *COLUMNS), train),
        None if points is None else table(folder / "train_label_coordinates.csv", COORDINATES, points),
        None if types is None else table(folder / "train_series_descriptions.csv", DESCRIPTIONS, types),
        Prefixed(),
    )


def issues(labels: LumbarLabels) -> list[tuple[str, int, str]]:
    return [(row["table"], row["row"], row["reason"]) for row in labels.issues.to_pylist()]


def test_the_tables_of_the_challenge_are_read_and_keyed(tmp_path: Path) -> None:
    labels = read(
        tmp_path,
        train=[grades(4003253, left_subarticular_stenosis_l4_l5="Moderate", spinal_canal_stenosis_l1_l2="Severe")],
        points=[POINT],
        types=[(4003253, 702807833, "Sagittal T2/STIR")],
    )
    assert issues(labels) == []
    assert (labels.targets.schema, labels.points.schema) == (TARGETS, POINT_LABELS)
    assert labels.series_types.schema.equals(SERIES_TYPE_LABELS)
    (row,) = labels.targets.to_pylist()
    assert (row["study_key"], row["label_row"]) == ("key:4003253", 0)
    assert row["spinal_canal_stenosis_l1_l2"] == 2
    assert row["left_subarticular_stenosis_l4_l5"] == 1
    assert sum(row[column] for column in COLUMNS) == 3
    assert labels.points.to_pylist() == [
        {
            "label_row": 0,
            "study_key": "key:4003253",
            "series_key": "key:702807833",
            "instance_number": 8,
            "condition": "spinal_canal_stenosis",
            "level": "l1_l2",
            "column": 322.831858407079,
            "row": 227.964601769911,
        }
    ]
    assert labels.series_types["series_type"].to_pylist() == ["Sagittal T2/STIR"]


def test_a_blank_grade_is_null_and_no_issue(tmp_path: Path) -> None:
    labels = read(tmp_path, train=[grades(1, right_subarticular_stenosis_l1_l2="")])
    assert labels.targets["right_subarticular_stenosis_l1_l2"].to_pylist() == [None]
    assert labels.targets["right_subarticular_stenosis_l2_l3"].to_pylist() == [0]
    assert issues(labels) == []


def test_an_unknown_grade_is_null_and_named_and_the_other_grades_stay(tmp_path: Path) -> None:
    labels = read(tmp_path, train=[grades(1, spinal_canal_stenosis_l3_l4="Grave")])
    assert labels.targets["spinal_canal_stenosis_l3_l4"].to_pylist() == [None]
    assert labels.targets["spinal_canal_stenosis_l4_l5"].to_pylist() == [0]
    assert issues(labels) == [("train", 0, "label_malformed")]
    assert labels.issues["detail"].to_pylist() == ["spinal_canal_stenosis_l3_l4 is not a grade"]


def test_all_conditions_and_levels_of_the_challenge_are_known_by_their_titles(tmp_path: Path) -> None:
    titles = [
        (condition.replace("_", " ").title(), level.upper().replace("_", "/"))
        for condition in CONDITIONS
        for level in LEVELS
    ]
    rows = [(1, 2, 3, condition, level, 4, 5) for condition, level in titles]
    labels = read(tmp_path, points=rows)
    assert ("Left Neural Foraminal Narrowing", "L5/S1") in titles
    found = zip(labels.points["condition"].to_pylist(), labels.points["level"].to_pylist(), strict=True)
    assert ["_".join(pair) for pair in found] == list(COLUMNS)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("condition", "Spondylolisthesis"),
        ("level", "L6/S1"),
        ("x", "left"),
        ("y", "inf"),
        ("instance_number", "8.5"),
        ("study_id", ""),
        ("series_id", ""),
    ],
)
def test_a_point_that_cannot_be_read_is_left_out_and_named(column: str, cell: str, tmp_path: Path) -> None:
    bad = list(POINT)
    bad[COORDINATES.index(column)] = cell
    labels = read(tmp_path, points=[POINT, bad])
    assert labels.points["label_row"].to_pylist() == [0]
    assert issues(labels) == [("coordinates", 1, "label_malformed")]
    detail = labels.issues["detail"].to_pylist()[0]
    assert detail.startswith(column)
    assert not cell or cell not in detail


def test_of_two_points_for_one_condition_and_level_the_first_is_used(tmp_path: Path) -> None:
    again = (*POINT[:2], 9, *POINT[3:])
    elsewhere = (*POINT[:4], "L2/L3", *POINT[5:])
    labels = read(tmp_path, points=[POINT, again, elsewhere])
    assert labels.points["label_row"].to_pylist() == [0, 2]
    assert issues(labels) == [("coordinates", 1, "label_duplicate")]


def test_a_study_that_stands_twice_is_used_once_and_one_that_contradicts_itself_not_at_all(tmp_path: Path) -> None:
    other = grades(2, spinal_canal_stenosis_l1_l2="Severe")
    labels = read(tmp_path, train=[grades(1), grades(2), grades(1), other])
    assert labels.targets["label_row"].to_pylist() == [0]
    assert set(issues(labels)) == {
        ("train", 2, "label_duplicate"),
        ("train", 1, "label_contradiction"),
        ("train", 3, "label_contradiction"),
    }


@pytest.mark.parametrize("cell", ["", "Sagittal T2", "sagittal t1", "Axial T1"])
def test_a_description_that_is_none_of_the_three_is_left_out(cell: str, tmp_path: Path) -> None:
    labels = read(tmp_path, types=[(1, 2, cell), (1, 3, "Axial T2")])
    assert labels.series_types["series_key"].to_pylist() == ["key:3"]
    assert issues(labels) == [("series_descriptions", 0, "label_malformed")]


def test_a_series_described_in_two_ways_has_no_type(tmp_path: Path) -> None:
    labels = read(tmp_path, types=[(1, 2, "Sagittal T1"), (1, 2, "Axial T2"), (1, 3, "Axial T2"), (1, 3, "Axial T2")])
    assert labels.series_types["series_key"].to_pylist() == ["key:3"]
    assert sorted(issues(labels)) == [
        ("series_descriptions", 0, "label_contradiction"),
        ("series_descriptions", 1, "label_contradiction"),
        ("series_descriptions", 3, "label_duplicate"),
    ]


def test_types_are_joined_to_any_table_with_series(tmp_path: Path) -> None:
    labels = read(tmp_path, types=[(1, 2, "Sagittal T1")])
    rows = pa.table(
        {
            "series_key": ["key:2", "key:9"],
            "series_type": pa.array([None, "Axial T2"], pa.string()),
            "stacks": [1, 2],
        }
    )
    joined = with_series_types(rows, labels.series_types)
    assert joined.column_names == ["series_key", "series_type", "stacks"]
    assert joined["series_type"].to_pylist() == ["Sagittal T1", None]


def test_points_and_descriptions_need_not_be_given(tmp_path: Path) -> None:
    labels = read(tmp_path, train=[grades(1)])
    assert labels.points.equals(POINT_LABELS.empty_table())
    assert labels.series_types.equals(SERIES_TYPE_LABELS.empty_table())


def test_a_table_without_one_of_the_columns_is_refused(tmp_path: Path) -> None:
    short = table(tmp_path / "short.csv", ("study_id", *COLUMNS[:-1]), [])
    with pytest.raises(Misconfigured, match="right_subarticular_stenosis_l5_s1"):
        read_lumbar_labels(short, None, None, Prefixed())
    with pytest.raises(Misconfigured, match=r"labels\.coordinates"):
        read_lumbar_labels(table(tmp_path / "t.csv", ("study_id", *COLUMNS), []), short, None, Prefixed())
    with pytest.raises(Misconfigured, match=r"labels\.series_descriptions"):
        read_lumbar_labels(tmp_path / "t.csv", None, short, Prefixed())
