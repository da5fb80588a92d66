"""Labels of RSNA 2024 lumbar degenerative classification: 25 grades a study, points on slices, and types of series.

``train.csv``: study_id and ``<condition>_<level>`` columns (Normal/Mild, Moderate, Severe or blank).
``train_label_coordinates.csv``: study_id, series_id, instance_number, condition ('Left Neural Foraminal Narrowing'),
level ('L1/L2'), x = column, y = row, pixels.
``train_series_descriptions.csv``: study_id, series_id, series_description (Sagittal T1, Sagittal T2/STIR, Axial T2).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from curate.labels.issues import Issue, issues_table
from curate.labels.rows import (
    Malformed,
    Row,
    Uids,
    drop_repeats,
    key_of,
    number_in,
    parse_rows,
    read_rows,
    whole_in,
)
from curate.manifests.schemas import LUMBAR_CONDITIONS, LUMBAR_GRADES, LUMBAR_LEVELS, LUMBAR_TARGETS, SERIES_TYPES
from curate.reasons import Reason

STUDY, SERIES = "study_id", "series_id"
COORDINATE_COLUMNS = (STUDY, SERIES, "instance_number", "condition", "level", "x", "y")
DESCRIPTION_COLUMNS = (STUDY, SERIES, "series_description")

TARGETS = pa.schema(
    [("label_row", pa.int64()), ("study_key", pa.string()), *((name, pa.int8()) for name in LUMBAR_TARGETS)]
)
POINT_LABELS = pa.schema(
    [
        ("label_row", pa.int64()),
        ("study_key", pa.string()),
        ("series_key", pa.string()),
        ("instance_number", pa.int64()),
        ("condition", pa.string()),
        ("level", pa.string()),
        ("column", pa.float64()),
        ("row", pa.float64()),
    ]
)
SERIES_TYPE_LABELS = pa.schema(
    [
        ("label_row", pa.int64()),
        ("study_key", pa.string()),
        ("series_key", pa.string()),
        ("series_type", pa.string()),
    ]
)

_CONDITION_OF = {condition.replace("_", " "): condition for condition in LUMBAR_CONDITIONS}  # lower-cased title
_LEVEL_OF = {level.replace("_", "/"): level for level in LUMBAR_LEVELS}


@dataclass(frozen=True, slots=True)
class LumbarLabels:
    """``targets``: TARGETS, one row a study, 0 | 1 | 2 or null where nobody graded; ``points``: POINT_LABELS;
    ``series_types``: SERIES_TYPE_LABELS; ``issues``: LABEL_ISSUES. Rows are in the order of the source."""

    targets: pa.Table
    points: pa.Table
    series_types: pa.Table
    issues: pa.Table


@dataclass(frozen=True, slots=True)
class _Targets:
    label_row: int
    study_key: str
    values: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class _Point:
    label_row: int
    study_key: str
    series_key: str
    instance_number: int
    condition: str
    level: str
    column: float
    row: float


@dataclass(frozen=True, slots=True)
class _SeriesType:
    label_row: int
    study_key: str
    series_key: str
    series_type: str


def read_lumbar_labels(
    train: Path, coordinates: Path | None, series_descriptions: Path | None, uids: Uids
) -> LumbarLabels:
    """Read the tables, with studies and series under their keys (``uids.uid`` of what the tables call them).

    A grade that is none of the three is null and named in the issues; studies or series with two rows that differ, and
    rows that cannot be read, are left out and named. Of two points for one condition and level of a study the first is
    used. Raises ``Misconfigured`` when a file or a column is missing.
    """
    targets, issues = _read_targets(train, uids)
    points: list[_Point] = []
    types: list[_SeriesType] = []
    if coordinates is not None:
        points, more = _read_points(coordinates, uids)
        issues += more
    if series_descriptions is not None:
        types, more = _read_series_types(series_descriptions, uids)
        issues += more
    target_rows = [
        {"label_row": row.label_row, "study_key": row.study_key, **dict(zip(LUMBAR_TARGETS, row.values, strict=True))}
        for row in targets
    ]
    return LumbarLabels(
        targets=pa.Table.from_pylist(target_rows, schema=TARGETS),
        points=pa.Table.from_pylist([asdict(point) for point in points], schema=POINT_LABELS),
        series_types=pa.Table.from_pylist([asdict(row) for row in types], schema=SERIES_TYPE_LABELS),
        issues=issues_table(issues),
    )


def with_series_types(table: pa.Table, series_types: pa.Table) -> pa.Table:
    """A table with ``series_key`` and ``series_type`` (SERIES, VOLUMES), its types filled; null where none is given."""
    type_of = dict(zip(series_types["series_key"].to_pylist(), series_types["series_type"].to_pylist(), strict=True))
    column = pa.array([type_of.get(key) for key in table["series_key"].to_pylist()], pa.string())
    return table.set_column(table.column_names.index("series_type"), "series_type", column)


def _read_targets(path: Path, uids: Uids) -> tuple[list[_Targets], list[Issue]]:
    rows, issues = read_rows(path, "train", (STUDY, *LUMBAR_TARGETS))
    parsed, malformed = parse_rows(rows, "train", partial(_parse_targets, uids=uids), partial(_study_key, uids=uids))
    issues += malformed
    readable = {row.label_row for row in parsed}
    for row in rows:
        if row.number in readable:
            issues += [
                Issue("train", row.number, _study_key(row, uids), Reason.LABEL_MALFORMED, f"{name} is not a grade")
                for name in LUMBAR_TARGETS
                if row.cells[name] and row.cells[name] not in LUMBAR_GRADES
            ]
    kept, repeated = drop_repeats(
        parsed, "train", same=lambda row: row.study_key, value=lambda row: row.values, what="study"
    )
    return kept, issues + repeated


def _read_points(path: Path, uids: Uids) -> tuple[list[_Point], list[Issue]]:
    rows, ragged = read_rows(path, "coordinates", COORDINATE_COLUMNS)
    study_key = partial(_study_key, uids=uids)
    parsed, malformed = parse_rows(rows, "coordinates", partial(_parse_point, uids=uids), study_key)
    kept: dict[tuple[str, str, str], _Point] = {}
    repeated = []
    for point in parsed:
        first = kept.setdefault((point.study_key, point.condition, point.level), point)
        if first is not point:
            detail = f"{point.condition} {point.level} already has a point in row {first.label_row}, which is used"
            repeated.append(Issue("coordinates", point.label_row, point.study_key, Reason.LABEL_DUPLICATE, detail))
    return list(kept.values()), [*ragged, *malformed, *repeated]


def _read_series_types(path: Path, uids: Uids) -> tuple[list[_SeriesType], list[Issue]]:
    table = "series_descriptions"
    rows, ragged = read_rows(path, table, DESCRIPTION_COLUMNS)
    parsed, malformed = parse_rows(rows, table, partial(_parse_type, uids=uids), partial(_study_key, uids=uids))
    kept, repeated = drop_repeats(
        parsed,
        table,
        same=lambda row: row.series_key,
        value=lambda row: (row.study_key, row.series_type),
        what="series",
    )
    return kept, [*ragged, *malformed, *repeated]


def _parse_targets(row: Row, uids: Uids) -> _Targets:
    grades = (row.cells[name] for name in LUMBAR_TARGETS)
    values = tuple(LUMBAR_GRADES.index(grade) if grade in LUMBAR_GRADES else None for grade in grades)
    return _Targets(row.number, key_of(row, STUDY, uids), values)


def _parse_point(row: Row, uids: Uids) -> _Point:
    condition = _CONDITION_OF.get(" ".join(row.cells["condition"].lower().split()))
    level = _LEVEL_OF.get(row.cells["level"].lower())
    if condition is None:
        raise Malformed("condition is none of the five")
    if level is None:
        raise Malformed("level is none of L1/L2 .. L5/S1")
    return _Point(
        row.number,
        key_of(row, STUDY, uids),
        key_of(row, SERIES, uids),
        whole_in(row, "instance_number"),
        condition,
        level,
        number_in(row, "x"),
        number_in(row, "y"),
    )


def _parse_type(row: Row, uids: Uids) -> _SeriesType:
    if row.cells["series_description"] not in SERIES_TYPES:
        raise Malformed("series_description is none of the three types")
    return _SeriesType(row.number, key_of(row, STUDY, uids), key_of(row, SERIES, uids), row.cells["series_description"])


def _study_key(row: Row, uids: Uids) -> str | None:
    return uids.uid(row.cells[STUDY]) if row.cells[STUDY] else None
