"""Labels of RSNA 2022 cervical spine fracture detection: fracture targets of a study and boxes on its slices.

``train.csv``: StudyInstanceUID, patient_overall, C1..C7 (0 or 1). ``train_bounding_boxes.csv``: StudyInstanceUID, x, y,
width, height (pixels, upper-left corner; x = column, y = row), slice_number (= InstanceNumber).
"""

from __future__ import annotations

from collections.abc import Hashable
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
from curate.manifests.schemas import CERVICAL_TARGETS

STUDY = "StudyInstanceUID"
BOX_COLUMNS = ("x", "y", "width", "height", "slice_number")
FRACTURE = "fracture"  # what a box of this challenge means

TARGETS = pa.schema(
    [("label_row", pa.int64()), ("study_key", pa.string()), *((name, pa.int8()) for name in CERVICAL_TARGETS)]
)
BOX_LABELS = pa.schema(
    [
        ("label_row", pa.int64()),
        ("study_key", pa.string()),
        ("instance_number", pa.int64()),
        ("label", pa.string()),
        ("column", pa.float64()),
        ("row", pa.float64()),
        ("width", pa.float64()),
        ("height", pa.float64()),
    ]
)


@dataclass(frozen=True, slots=True)
class CervicalLabels:
    """``targets``: TARGETS, one row a study, no nulls; ``boxes``: BOX_LABELS; ``issues``: LABEL_ISSUES.

    ``label_row`` is the row of the source table, from 0 without the header. Rows are in the order of the source.
    """

    targets: pa.Table
    boxes: pa.Table
    issues: pa.Table


@dataclass(frozen=True, slots=True)
class _Targets:
    label_row: int
    study_key: str
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Box:
    label_row: int
    study_key: str
    instance_number: int
    label: str
    column: float
    row: float
    width: float
    height: float


def read_cervical_labels(train: Path, boxes: Path | None, uids: Uids) -> CervicalLabels:
    """Read both tables, with studies under their keys (``uids.uid`` of what the table calls them).

    A study with an unreadable cell, or with two rows that differ, is left out and named in the issues; so is a box with
    an unreadable number or without an area. Raises ``Misconfigured`` when a file or a column is missing.
    """
    targets, issues = _read_targets(train, uids)
    found, box_issues = _read_boxes(boxes, uids) if boxes is not None else ([], [])
    target_rows = [
        {"label_row": row.label_row, "study_key": row.study_key, **dict(zip(CERVICAL_TARGETS, row.values, strict=True))}
        for row in targets
    ]
    return CervicalLabels(
        targets=pa.Table.from_pylist(target_rows, schema=TARGETS),
        boxes=pa.Table.from_pylist([asdict(box) for box in found], schema=BOX_LABELS),
        issues=issues_table([*issues, *box_issues]),
    )


def _read_targets(path: Path, uids: Uids) -> tuple[list[_Targets], list[Issue]]:
    rows, ragged = read_rows(path, "train", (STUDY, *CERVICAL_TARGETS))
    parsed, malformed = parse_rows(rows, "train", partial(_parse_targets, uids=uids), partial(_study_key, uids=uids))
    kept, repeated = drop_repeats(
        parsed, "train", same=lambda row: row.study_key, value=lambda row: row.values, what="study"
    )
    return kept, [*ragged, *malformed, *repeated]


def _read_boxes(path: Path, uids: Uids) -> tuple[list[_Box], list[Issue]]:
    rows, ragged = read_rows(path, "boxes", (STUDY, *BOX_COLUMNS))
    parsed, malformed = parse_rows(rows, "boxes", partial(_parse_box, uids=uids), partial(_study_key, uids=uids))

    def place(box: _Box) -> Hashable:
        return box.study_key, box.instance_number, box.column, box.row, box.width, box.height

    kept, repeated = drop_repeats(parsed, "boxes", same=place, value=lambda box: box.label, what="box")
    return kept, [*ragged, *malformed, *repeated]


def _parse_targets(row: Row, uids: Uids) -> _Targets:
    study_key = key_of(row, STUDY, uids)
    values = tuple(whole_in(row, name) for name in CERVICAL_TARGETS)
    wrong = [name for name, value in zip(CERVICAL_TARGETS, values, strict=True) if value not in (0, 1)]
    if wrong:
        raise Malformed(f"{wrong[0]} is not 0 or 1")
    return _Targets(row.number, study_key, values)


def _parse_box(row: Row, uids: Uids) -> _Box:
    study_key = key_of(row, STUDY, uids)
    column, top, width, height = (number_in(row, name) for name in BOX_COLUMNS[:4])
    if width <= 0 or height <= 0:
        raise Malformed("width or height is not above 0")
    return _Box(row.number, study_key, whole_in(row, "slice_number"), FRACTURE, column, top, width, height)


def _study_key(row: Row, uids: Uids) -> str | None:
    return uids.uid(row.cells[STUDY]) if row.cells[STUDY] else None
