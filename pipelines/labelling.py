"""Label files meet what was built: which rows of the archive they speak of, and the tables that come of them.

In memory are the labels and the rows of the studies that they name; the rest of an archive goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from curate.labels import place_boxes, place_points, read_cervical_labels, read_lumbar_labels, with_series_types
from curate.labels.checks import check_cervical, check_coverage, check_lumbar, check_point_places
from curate.labels.levels import with_levels
from curate.labels.masks import points_objects
from curate.manifests import cervical_samples, lumbar_samples
from pipelines.spec import CervicalLabelFiles, CervicalSpec, LumbarLabelFiles, LumbarSpec, Spec
from pipelines.workspace import Workspace

Tables = dict[str, pa.Table]


class Labels(Protocol):
    """The labels of one task."""

    @property
    def studies(self) -> pa.Array:
        """Keys of the studies that a label names."""

    def typed(self, table: pa.Table) -> pa.Table:
        """Rows of SERIES or VOLUMES with the types that the labels give."""

    def place(self, built: Tables, splits: Mapping[str, str]) -> Tables:
        """The tables that labels make; ``built``: series, volumes and slices of ``studies``. To be called once."""

    def finished(self, volumes: pa.Table) -> pa.Table:
        """Rows of VOLUMES with what the placed labels say of them."""


def read_labels(spec: Spec, workspace: Workspace) -> Labels | None:
    """The label files of a spec, if it has any. Raises as their readers do."""
    match spec:
        case CervicalSpec(labels=CervicalLabelFiles() as files):
            return _Cervical(files, workspace)
        case LumbarSpec(labels=LumbarLabelFiles() as files):
            return _Lumbar(files, workspace)
        case _:
            return None


class _Cervical:
    def __init__(self, files: CervicalLabelFiles, workspace: Workspace) -> None:
        self._labels = read_cervical_labels(files.train, files.boxes, workspace.pseudonyms)

    @property
    def studies(self) -> pa.Array:
        return _studies(self._labels.targets, self._labels.boxes)

    def typed(self, table: pa.Table) -> pa.Table:
        return table

    def place(self, built: Tables, splits: Mapping[str, str]) -> Tables:
        labels, series, volumes = self._labels, built["series"], built["volumes"]
        boxes, misplaced = place_boxes(labels.boxes, built["slices"], volumes, series=series)
        coverage = check_coverage(labels.targets, series, volumes)
        return {
            "boxes": boxes,
            "samples": cervical_samples(labels.targets, volumes, splits),
            "label_issues": pa.concat_tables([labels.issues, misplaced, check_cervical(labels), coverage]),
        }

    def finished(self, volumes: pa.Table) -> pa.Table:
        return volumes


class _Lumbar:
    def __init__(self, files: LumbarLabelFiles, workspace: Workspace) -> None:
        self._labels = read_lumbar_labels(
            files.train, files.coordinates, files.series_descriptions, workspace.pseudonyms
        )
        self._points: pa.Table | None = None

    @property
    def studies(self) -> pa.Array:
        return _studies(self._labels.targets, self._labels.points)

    def typed(self, table: pa.Table) -> pa.Table:
        return with_series_types(table, self._labels.series_types)

    def place(self, built: Tables, splits: Mapping[str, str]) -> Tables:
        labels, series, volumes = self._labels, built["series"], built["volumes"]
        self._points, misplaced = place_points(labels.points, built["slices"], volumes, series=series)
        coverage = check_coverage(labels.targets, series, volumes)
        places = check_point_places(self._points, labels)
        return {
            "points": self._points,
            "objects": points_objects(self._points),
            "samples": lumbar_samples(labels.targets, volumes, splits),
            "label_issues": pa.concat_tables([labels.issues, misplaced, check_lumbar(labels), coverage, places]),
        }

    def finished(self, volumes: pa.Table) -> pa.Table:
        assert self._points is not None
        return with_levels(volumes, self._points)


def _studies(*tables: pa.Table) -> pa.Array:
    return pc.unique(pa.concat_tables([table.select(["study_key"]) for table in tables])["study_key"])
