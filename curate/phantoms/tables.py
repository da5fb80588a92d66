"""Label tables in the challenges' own CSV schemas, and masks as NIfTI in a sagittal frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray

from curate.geometry.grid import Grid
from curate.manifests.schemas import CERVICAL_TARGETS, LUMBAR_TARGETS

COLUMNS = {
    "cervical": {
        "train": ("StudyInstanceUID", *CERVICAL_TARGETS),
        "train_bounding_boxes": ("StudyInstanceUID", "x", "y", "width", "height", "slice_number"),
    },
    "lumbar": {
        "train": ("study_id", *LUMBAR_TARGETS),
        "train_label_coordinates": ("study_id", "series_id", "instance_number", "condition", "level", "x", "y"),
        "train_series_descriptions": ("study_id", "series_id", "series_description"),
    },
}


class LabelTables:
    """Collects label rows of a task while an archive is made."""

    def __init__(self, task: str) -> None:
        self._columns = COLUMNS[task]
        self._rows: dict[str, list[Sequence[object]]] = {name: [] for name in self._columns}

    def add(self, table: str, *values: object) -> None:
        """Append one row, in the order of the table's columns."""
        if len(values) != len(self._columns[table]):
            raise ValueError(f"{table}: expected {len(self._columns[table])} values, got {len(values)}")
        self._rows[table].append(values)

    def width(self, table: str) -> int:
        """Number of columns of a table."""
        return len(self._columns[table])

    def write(self, folder: Path) -> None:
        """One CSV file a table."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, columns in self._columns.items():
            text = io.StringIO(newline="")
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(self._rows[name])
            (folder / f"{name}.csv").write_text(text.getvalue(), encoding="utf-8")


def write_mask(path: Path, mask: NDArray[np.uint8], grid: Grid) -> None:
    """A mask (k, j, i) of an axial stack as NIfTI-1 whose array runs sagittal planes first: (i, j, k) turned about.

    The affine, RAS millimetres, says where it lies; the array order is not that of the images.
    """
    array = np.ascontiguousarray(mask.transpose(1, 0, 2)[:, ::-1, :])  # (row, slice downwards, column)
    to_index = np.zeros((4, 4))
    to_index[1, 0] = to_index[2, 2] = to_index[3, 3] = 1
    to_index[0, 1], to_index[0, 3] = -1, mask.shape[0] - 1
    to_ras = np.diag([-1.0, -1.0, 1.0, 1.0])
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.nifti1.Nifti1Image(array, to_ras @ grid.affine @ to_index)  # type: ignore[no-untyped-call]
    path.write_bytes(image.to_bytes())
