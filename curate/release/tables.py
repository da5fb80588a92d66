"""CSV files of a release, in the exact schemas of the two challenges (RSNA 2022 cervical, RSNA 2024 lumbar).

From tables of rows to bytes: UTF-8, one newline a line, rows sorted by id. Studies are named by their study keys.
Files of the hidden split carry no labels; ``render_solution`` writes them for the private folder.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from curate.manifests.schemas import CERVICAL_TARGETS, LUMBAR_CONDITIONS, LUMBAR_GRADES, LUMBAR_LEVELS, LUMBAR_TARGETS
from curate.release.description import HIDDEN_SPLIT, PUBLIC_SPLITS, SPLITS

Row = Sequence[object]

SOLUTION = "solution.csv"

# The official row order: patient_overall stands last in the 2022 test list, first in train.csv.
TEST_ORDER = ("C1", "C2", "C3", "C4", "C5", "C6", "C7", "patient_overall")
GRADE_COLUMNS = ("normal_mild", "moderate", "severe")
GRADE_WEIGHTS = (1, 2, 4)  # of the 2024 metric


def render_csvs(tables: Mapping[str, pa.Table], task: str) -> dict[str, bytes]:
    """File name -> bytes of every public CSV file of a task."""
    rows = {name: table.to_pylist() for name, table in tables.items()}
    files = {"split.csv": _csv(("patient_key", "study_key", "site", "split"), _split_rows(rows["samples"]))}
    files["exclusions.csv"] = _csv(
        tables["exclusions"].column_names, [tuple(row.values()) for row in rows["exclusions"]]
    )
    return files | (_cervical(rows) if task == "cervical" else _lumbar(rows))


def render_solution(samples: pa.Table, task: str) -> bytes:
    """The answer key of the hidden split: the scorer's ``solution`` table. Rows without a label are left out."""
    rows = [row for row in samples.to_pylist() if row["split"] == HIDDEN_SPLIT]
    if task == "cervical":
        return _csv(("row_id", "fractured"), _answers(rows, TEST_ORDER, lambda value: (value,)))
    header = ("row_id", *GRADE_COLUMNS, "sample_weight")
    return _csv(header, _answers(rows, LUMBAR_TARGETS, lambda v: (*(int(v == n) for n in range(3)), GRADE_WEIGHTS[v])))


def condition_title(condition: str) -> str:
    """``left_neural_foraminal_narrowing`` -> ``Left Neural Foraminal Narrowing``."""
    return condition.replace("_", " ").title()


def level_title(level: str) -> str:
    """``l1_l2`` -> ``L1/L2``."""
    return level.upper().replace("_", "/")


def test_rows(studies: Iterable[str], task: str) -> list[str]:
    """The row ids that a submission must have, in order: every target of every hidden study."""
    targets = TEST_ORDER if task == "cervical" else LUMBAR_TARGETS
    return [f"{study}_{target}" for study in sorted(studies) for target in targets]


def _cervical(rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, bytes]:
    split_of = {row["study_key"]: row["split"] for row in rows["samples"]}
    files = {}
    for split in PUBLIC_SPLITS:
        samples = [row for row in rows["samples"] if row["split"] == split]
        boxes = [row for row in rows["boxes"] if split_of.get(row["study_key"]) == split]
        files[f"{split}.csv"] = _csv(
            ("StudyInstanceUID", *CERVICAL_TARGETS),
            ((row["study_key"], *(row[target] for target in CERVICAL_TARGETS)) for row in samples),
        )
        files[f"{split}_bounding_boxes.csv"] = _csv(
            ("StudyInstanceUID", "x", "y", "width", "height", "slice_number"),
            ((r["study_key"], r["column"], r["row"], r["width"], r["height"], r["instance_number"]) for r in boxes),
        )
    hidden = sorted(study for study, split in split_of.items() if split == HIDDEN_SPLIT)
    files["test.csv"] = _csv(
        ("row_id", "StudyInstanceUID", "prediction_type"),
        ((f"{study}_{target}", study, target) for study in hidden for target in TEST_ORDER),
    )
    files["sample_submission.csv"] = _csv(
        ("row_id", "fractured"), ((row, 0.5) for row in test_rows(hidden, "cervical"))
    )
    return files


def _lumbar(rows: Mapping[str, list[dict[str, Any]]]) -> dict[str, bytes]:
    split_of = {row["study_key"]: row["split"] for row in rows["samples"]}
    files = {}
    for split in SPLITS:
        series = [row for row in rows["series"] if split_of.get(row["study_key"]) == split]
        files[f"{split}_series_descriptions.csv"] = _csv(
            ("study_id", "series_id", "series_description"),
            ((row["study_key"], row["series_key"], row["series_type"]) for row in series),
        )
    for split in PUBLIC_SPLITS:
        samples = [row for row in rows["samples"] if row["split"] == split]
        points = [row for row in rows["points"] if split_of.get(row["study_key"]) == split]
        files[f"{split}.csv"] = _csv(
            ("study_id", *LUMBAR_TARGETS),
            ((row["study_key"], *(_grade(row[target]) for target in LUMBAR_TARGETS)) for row in samples),
        )
        files[f"{split}_label_coordinates.csv"] = _csv(
            ("study_id", "series_id", "instance_number", "condition", "level", "x", "y"), map(_coordinate, points)
        )
    hidden = [study for study, split in split_of.items() if split == HIDDEN_SPLIT]
    third = 1 / 3
    files["sample_submission.csv"] = _csv(
        ("row_id", *GRADE_COLUMNS), ((row, third, third, third) for row in test_rows(hidden, "lumbar"))
    )
    return files


def _split_rows(samples: Iterable[Mapping[str, Any]]) -> Sequence[Row]:
    return [(row["patient_key"], row["study_key"], row["site"], row["split"]) for row in samples]


def _answers(rows: Iterable[Mapping[str, Any]], targets: Sequence[str], cells: Callable[[int], Row]) -> list[Row]:
    return [
        (f"{row['study_key']}_{target}", *cells(row[target]))
        for row in rows
        for target in targets
        if row[target] is not None
    ]


def _grade(value: int | None) -> str:
    return "" if value is None else LUMBAR_GRADES[value]


def _coordinate(row: Mapping[str, Any]) -> Row:
    if row["condition"] not in LUMBAR_CONDITIONS or row["level"] not in LUMBAR_LEVELS:
        raise ValueError("points: a condition or level that the challenge does not know")
    place = (row["study_key"], row["series_key"], row["instance_number"])
    return (*place, condition_title(row["condition"]), level_title(row["level"]), row["column"], row["row"])


def _csv(header: Sequence[str], rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    ordered: list[Row] = sorted(rows, key=_order)
    writer.writerows(ordered)
    return text.getvalue().encode()


def _order(row: Row) -> list[tuple[bool, Any]]:
    """Rows of one file have one type a column, and empty cells come last."""
    return [(cell is None, cell) for cell in row]
