"""Contradictions that label tables hold, found by rule. Each is an issue for a person to look at; nothing is changed.

Sides are decided in patient millimetres (the patient's left has the larger LPS x), never by pixel column or by order of
instances: stored images may run either way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from itertools import pairwise
from typing import Any

import pyarrow as pa

from curate.labels.cervical import CervicalLabels
from curate.labels.issues import Issue, issues_table
from curate.labels.lumbar import LumbarLabels
from curate.manifests.schemas import CERVICAL_TARGETS, LUMBAR_CONDITIONS, LUMBAR_LEVELS
from curate.reasons import Reason

GRADED_ON = {  # the series type that each condition is graded and marked on
    "spinal_canal_stenosis": "Sagittal T2/STIR",
    "left_neural_foraminal_narrowing": "Sagittal T1",
    "right_neural_foraminal_narrowing": "Sagittal T1",
    "left_subarticular_stenosis": "Axial T2",
    "right_subarticular_stenosis": "Axial T2",
}
SAGITTAL = "neural_foraminal_narrowing"  # of the sided conditions the one whose rows run along the spine
SIDED = (SAGITTAL, "subarticular_stenosis")
LEVEL_SHIFT_PIXELS = 20.0  # left and right of one level further apart than this: one of them is a level off
VERTEBRAE = (*CERVICAL_TARGETS[1:], *(f"T{n}" for n in range(1, 13)))  # head to feet

Places = Mapping[tuple[str, str], Mapping[str, Any]]  # (condition, level) -> row of POINTS


def check_cervical(labels: CervicalLabels) -> pa.Table:
    """LABEL_ISSUES: ``patient_overall`` that is not max(C1..C7); boxes on studies negative or without labels."""
    issues = []
    overall_of: dict[str, int] = {}
    for row in labels.targets.to_pylist():
        overall_of[row["study_key"]] = row["patient_overall"]
        highest = max(row[name] for name in CERVICAL_TARGETS[1:])
        if row["patient_overall"] != highest:
            detail = f"patient_overall is {row['patient_overall']}, the highest of C1..C7 is {highest}"
            issues.append(_contradiction("train", row, detail))
    for box in labels.boxes.to_pylist():
        overall = overall_of.get(box["study_key"])
        if overall is None:
            issues.append(_contradiction("boxes", box, "a box on a study without fracture labels"))
        elif overall == 0:
            issues.append(_contradiction("boxes", box, "a box on a study labelled negative"))
    return issues_table(issues)


def check_lumbar(labels: LumbarLabels) -> pa.Table:
    """LABEL_ISSUES: points for cells without a grade, grades without a point, points on a series of the wrong type.

    A study with grades and no point at all is one issue. When nothing at all is marked, no point is missed.
    """
    issues = []
    rows = {row["study_key"]: row for row in labels.targets.to_pylist()}
    types = labels.series_types.to_pylist()
    type_of = {(row["study_key"], row["series_key"]): row["series_type"] for row in types}
    marked: set[tuple[str, str, str]] = set()
    for point in labels.points.to_pylist():
        condition, level = point["condition"], point["level"]
        marked.add((point["study_key"], condition, level))
        if rows.get(point["study_key"], {}).get(f"{condition}_{level}") is None:
            issues.append(_contradiction("coordinates", point, f"{condition} {level} has a point and no grade"))
        found = type_of.get((point["study_key"], point["series_key"]))
        if found is not None and found != GRADED_ON[condition]:
            issues.append(_contradiction("coordinates", point, f"{condition} is marked on a series of type {found}"))
    if marked:
        issues += [_contradiction("train", row, detail) for row in rows.values() for detail in _unmarked(row, marked)]
    return issues_table(issues)


def check_point_places(points: pa.Table, labels: LumbarLabels) -> pa.Table:
    """LABEL_ISSUES of placed POINTS: sides swapped or at one pixel, left and right a level apart, levels that do not
    descend along the spine. The row of ``labels`` named is that of the right or of the lower point."""
    row_of = {
        (point["study_key"], point["condition"], point["level"]): point["label_row"]
        for point in labels.points.to_pylist()
    }
    by_study: dict[str, dict[tuple[str, str], dict[str, Any]]] = defaultdict(dict)
    for point in points.to_pylist():
        by_study[point["study_key"]][point["condition"], point["level"]] = point
    issues = []
    for study_key in sorted(by_study):
        places = by_study[study_key]
        for condition, level, detail in (*_side_faults(places), *_level_faults(places)):
            row = row_of.get((study_key, condition, level))
            issues.append(Issue("coordinates", row, study_key, Reason.LABEL_CONTRADICTION, detail))
    return issues_table(issues)


def check_coverage(targets: pa.Table, series: pa.Table, volumes: pa.Table) -> pa.Table:
    """LABEL_ISSUES of studies that have labels and give no sample: not in the archive (SERIES), nothing of them built
    (VOLUMES), or volumes of more than one patient or site, which no split by patient can hold."""
    known = set(series["study_key"].to_pylist()) | set(volumes["study_key"].to_pylist())
    owners: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for row in volumes.select(["study_key", "site", "patient_key"]).to_pylist():
        owners[row["study_key"]].add((row["site"], row["patient_key"]))
    issues = []
    for row in targets.select(["label_row", "study_key"]).to_pylist():
        study_key, number = row["study_key"], len(owners[row["study_key"]])
        if study_key not in known:
            issues.append(Issue("train", row["label_row"], study_key, Reason.LABEL_UNKNOWN_STUDY, ""))
        elif number == 0:
            issues.append(Issue("train", row["label_row"], study_key, Reason.LABEL_SERIES_NOT_DONE, ""))
        elif number > 1:
            issues.append(_contradiction("train", row, f"the study holds images of {number} patients or sites"))
    return issues_table(issues)


def _unmarked(row: Mapping[str, Any], marked: Collection[tuple[str, str, str]]) -> list[str]:
    cells = [(condition, level) for condition in LUMBAR_CONDITIONS for level in LUMBAR_LEVELS]
    missing = [
        f"{condition} {level} has a grade and no point"
        for condition, level in cells
        if row[f"{condition}_{level}"] is not None and (row["study_key"], condition, level) not in marked
    ]
    has_points = any((row["study_key"], *cell) in marked for cell in cells)
    return missing if has_points or not missing else [f"{len(missing)} grades and no point at all"]


def _side_faults(places: Places) -> Iterator[tuple[str, str, str]]:
    for condition in SIDED:
        for level in LUMBAR_LEVELS:
            left, right = places.get((f"left_{condition}", level)), places.get((f"right_{condition}", level))
            if left is None or right is None:
                continue
            name = f"right_{condition}", level
            same_slice = left["instance_key"] == right["instance_key"]
            if same_slice and (left["column"], left["row"]) == (right["column"], right["row"]):
                yield *name, f"{condition} {level}: left and right are at the same pixel"
                continue
            if left["point_mm"][0] <= right["point_mm"][0]:
                distance = right["point_mm"][0] - left["point_mm"][0]
                yield *name, f"{condition} {level}: left lies {distance:.1f} mm to the right of right"
            rows = abs(left["row"] - right["row"])
            if condition == SAGITTAL and left["series_key"] == right["series_key"] and rows > LEVEL_SHIFT_PIXELS:
                yield *name, f"{condition} {level}: left and right are {rows:.0f} rows apart"


def _level_faults(places: Places) -> Iterator[tuple[str, str, str]]:
    for condition in LUMBAR_CONDITIONS:
        marked = [level for level in LUMBAR_LEVELS if (condition, level) in places]
        for upper, lower in pairwise(marked):
            rise = places[condition, lower]["point_mm"][2] - places[condition, upper]["point_mm"][2]
            if rise >= 0:
                yield condition, lower, f"{condition}: {lower} lies {rise:.1f} mm above {upper}"


def _contradiction(table: str, row: Mapping[str, Any], detail: str) -> Issue:
    return Issue(table, row["label_row"], row["study_key"], Reason.LABEL_CONTRADICTION, detail)
