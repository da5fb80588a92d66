"""Contradictions are found by rule, and consistent labels raise none."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from curate.labels import CervicalLabels, LumbarLabels, cervical, lumbar
from curate.labels.checks import (
    check_cervical,
    check_coverage,
    check_lumbar,
    check_point_places,
)
from curate.manifests import schemas

VERTEBRAE = ("C1", "C2", "C3", "C4", "C5", "C6", "C7")
CONDITIONS = {
    "spinal_canal_stenosis": "Sagittal T2/STIR",
    "left_neural_foraminal_narrowing": "Sagittal T1",
    "right_neural_foraminal_narrowing": "Sagittal T1",
    "left_subarticular_stenosis": "Axial T2",
    "right_subarticular_stenosis": "Axial T2",
}
LEVELS = ("l1_l2", "l2_l3", "l3_l4", "l4_l5", "l5_s1")
NO_ISSUES = schemas.LABEL_ISSUES.empty_table()

Place = dict[str, Any]


def found(table: pa.Table) -> list[tuple[str, int | None, str, str]]:
    assert table.schema.equals(schemas.LABEL_ISSUES)
    assert set(table["study_key"].to_pylist()) <= {"S1", "S2"}
    return [(row["table"], row["row"], row["reason"], row["detail"]) for row in table.to_pylist()]


def cervical_labels(targets: list[tuple[str, int, tuple[int, ...]]], boxes: list[str]) -> CervicalLabels:
    target_rows = [
        {"label_row": n, "study_key": study, "patient_overall": overall, **dict(zip(VERTEBRAE, values, strict=True))}
        for n, (study, overall, values) in enumerate(targets)
    ]
    box_rows = [{"label_row": n, "study_key": study} for n, study in enumerate(boxes)]
    return CervicalLabels(
        pa.Table.from_pylist(target_rows, schema=cervical.TARGETS),
        pa.Table.from_pylist(box_rows, schema=cervical.BOX_LABELS),
        NO_ISSUES,
    )


HEALTHY, FRACTURED = (0,) * 7, (0, 1, 0, 0, 0, 0, 0)


def test_consistent_fracture_labels_raise_no_issue() -> None:
    labels = cervical_labels([("S1", 1, FRACTURED), ("S2", 0, HEALTHY)], ["S1", "S1"])
    assert found(check_cervical(labels)) == []


@pytest.mark.parametrize(("overall", "values", "highest"), [(0, FRACTURED, 1), (1, HEALTHY, 0)])
def test_an_overall_label_that_is_not_the_highest_is_named(overall: int, values: tuple[int, ...], highest: int) -> None:
    labels = cervical_labels([("S2", int(any(HEALTHY)), HEALTHY), ("S1", overall, values)], [])
    detail = f"patient_overall is {overall}, the highest of C1..C7 is {highest}"
    assert found(check_cervical(labels)) == [("train", 1, "label_contradiction", detail)]


def test_boxes_on_negative_and_on_unlabelled_studies_are_named() -> None:
    labels = cervical_labels([("S1", 0, HEALTHY)], ["S1", "S2"])
    assert found(check_cervical(labels)) == [
        ("boxes", 0, "label_contradiction", "a box on a study labelled negative"),
        ("boxes", 1, "label_contradiction", "a box on a study without fracture labels"),
    ]


def consistent_points() -> dict[tuple[str, str], Place]:
    """A straight spine: levels 35 mm apart, the left side at larger LPS x. Stored columns run from the left side to the
    right side of the patient, the other way than usual: pixel columns must not decide."""
    points = {}
    for condition, kind in CONDITIONS.items():
        for n, level in enumerate(LEVELS):
            x = 15.0 if condition.startswith("left") else -15.0 if condition.startswith("right") else 0.0
            axial = kind == "Axial T2"
            points[condition, level] = {
                "study_key": "S1",
                "series_key": kind,
                "stack": 0,
                "instance_key": f"{kind}/{n if axial else x}",
                "condition": condition,
                "level": level,
                "column": 100.0 - x if axial else 60.0,
                "row": 80.0 if axial else 40.0 + 50.0 * n,
                "point_mm": [x, 10.0, -35.0 * n],
            }
    return points


def lumbar_labels(points: dict[tuple[str, str], Place], **cells: int | None) -> LumbarLabels:
    target: dict[str, Any] = {"label_row": 3, "study_key": "S1"}
    target |= {f"{condition}_{level}": 0 for condition in CONDITIONS for level in LEVELS} | cells
    types = [{"label_row": n, "study_key": "S1", "series_key": k} for n, k in enumerate(sorted({*CONDITIONS.values()}))]
    return LumbarLabels(
        pa.Table.from_pylist([target], schema=lumbar.TARGETS),
        pa.Table.from_pylist([{"label_row": n, **point} for n, point in enumerate(points.values())]).select(
            ["label_row", "study_key", "series_key", "condition", "level", "column", "row"]
        )
        if points
        else lumbar.POINT_LABELS.empty_table(),
        pa.Table.from_pylist(
            [row | {"series_type": row["series_key"]} for row in types], schema=lumbar.SERIES_TYPE_LABELS
        ),
        NO_ISSUES,
    )


def place_issues(points: dict[tuple[str, str], Place]) -> list[tuple[str, int | None, str, str]]:
    placed = pa.Table.from_pylist(list(points.values()), schema=schemas.POINTS)
    return found(check_point_places(placed, lumbar_labels(points)))


def test_consistent_grades_and_points_raise_no_issue() -> None:
    points = consistent_points()
    assert found(check_lumbar(lumbar_labels(points))) == []
    assert place_issues(points) == []


def test_a_point_for_a_blank_grade_and_a_grade_without_a_point_are_named() -> None:
    points = consistent_points()
    del points["spinal_canal_stenosis", "l1_l2"]
    labels = lumbar_labels(points, left_subarticular_stenosis_l3_l4=None)
    row = list(points).index(("left_subarticular_stenosis", "l3_l4"))
    assert found(check_lumbar(labels)) == [
        ("coordinates", row, "label_contradiction", "left_subarticular_stenosis l3_l4 has a point and no grade"),
        ("train", 3, "label_contradiction", "spinal_canal_stenosis l1_l2 has a grade and no point"),
    ]


def test_a_blank_grade_without_a_point_is_no_contradiction() -> None:
    points = consistent_points()
    del points["spinal_canal_stenosis", "l1_l2"]
    assert found(check_lumbar(lumbar_labels(points, spinal_canal_stenosis_l1_l2=None))) == []


def test_without_a_table_of_coordinates_no_point_is_missed() -> None:
    assert found(check_lumbar(lumbar_labels({}))) == []


def test_a_study_with_grades_and_no_point_at_all_is_one_issue() -> None:
    marked = {place: row | {"study_key": "S2"} for place, row in consistent_points().items()}
    labels = lumbar_labels(marked, spinal_canal_stenosis_l1_l2=None)
    missing = [issue for issue in found(check_lumbar(labels)) if issue[0] == "train"]
    assert missing == [("train", 3, "label_contradiction", "24 grades and no point at all")]


def test_a_point_on_a_series_of_the_wrong_type_is_named() -> None:
    points = consistent_points()
    points["spinal_canal_stenosis", "l2_l3"]["series_key"] = "Axial T2"
    assert found(check_lumbar(lumbar_labels(points))) == [
        ("coordinates", 1, "label_contradiction", "spinal_canal_stenosis is marked on a series of type Axial T2")
    ]


@pytest.mark.parametrize("condition", ["subarticular_stenosis", "neural_foraminal_narrowing"])
def test_swapped_sides_are_found_in_patient_millimetres(condition: str) -> None:
    points = consistent_points()
    left, right = points[f"left_{condition}", "l4_l5"], points[f"right_{condition}", "l4_l5"]
    for name in ("point_mm", "instance_key", "column"):
        left[name], right[name] = right[name], left[name]
    ((table, row, reason, detail),) = place_issues(points)
    assert (table, reason) == ("coordinates", "label_contradiction")
    assert row == list(points).index((f"right_{condition}", "l4_l5"))
    assert detail == f"{condition} l4_l5: left lies 30.0 mm to the right of right"


def test_both_sides_at_one_pixel_are_one_issue() -> None:
    points = consistent_points()
    left = points["left_neural_foraminal_narrowing", "l2_l3"]
    points["right_neural_foraminal_narrowing", "l2_l3"] = left | {"condition": "right_neural_foraminal_narrowing"}
    ((_, _, _, detail),) = place_issues(points)
    assert detail == "neural_foraminal_narrowing l2_l3: left and right are at the same pixel"


def test_foramina_a_level_apart_are_named() -> None:
    points = consistent_points()
    points["right_neural_foraminal_narrowing", "l1_l2"]["row"] -= 21.0
    ((_, _, _, detail),) = place_issues(points)
    assert detail == "neural_foraminal_narrowing l1_l2: left and right are 21 rows apart"


def test_rows_of_an_axial_slice_do_not_run_along_the_spine() -> None:
    points = consistent_points()
    points["right_subarticular_stenosis", "l1_l2"]["row"] -= 30.0
    assert place_issues(points) == []


def test_levels_that_do_not_descend_are_named_by_the_lower_one() -> None:
    points = consistent_points()
    points["spinal_canal_stenosis", "l3_l4"]["point_mm"] = [0.0, 10.0, -30.0]
    ((_, row, _, detail),) = place_issues(points)
    assert detail == "spinal_canal_stenosis: l3_l4 lies 5.0 mm above l2_l3"
    assert row == 2


def test_a_side_or_level_that_is_not_there_is_not_compared() -> None:
    points = consistent_points()
    del points["right_subarticular_stenosis", "l4_l5"], points["spinal_canal_stenosis", "l3_l4"]
    assert place_issues(points) == []


def coverage(volumes: list[Place], series: list[Place]) -> list[tuple[str, int | None, str, str]]:
    return found(
        check_coverage(
            pa.table({"label_row": [5], "study_key": ["S1"]}),
            pa.Table.from_pylist([dict.fromkeys(schemas.SERIES.names) | row for row in series], schema=schemas.SERIES),
            pa.Table.from_pylist(
                [dict.fromkeys(schemas.VOLUMES.names) | row for row in volumes], schema=schemas.VOLUMES
            ),
        )
    )


def test_a_labelled_study_that_gives_no_sample_says_why() -> None:
    mine = {"study_key": "S1", "site": "a", "patient_key": "P1"}
    assert coverage([mine], [mine]) == []
    assert coverage([], []) == [("train", 5, "label_unknown_study", "")]
    assert coverage([], [mine]) == [("train", 5, "label_series_not_done", "")]
    assert coverage([mine, mine | {"patient_key": "P2"}], [mine]) == [
        ("train", 5, "label_contradiction", "the study holds images of 2 patients or sites")
    ]
