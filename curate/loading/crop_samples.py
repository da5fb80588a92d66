"""What to read for other trainings than one study at a time: one crop a sample, placed from the tables alone.

Everywhere in a volume, where something is labelled, around every object, or each vertebra, level and side by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.geometry import Grid
from curate.loading.crops import CropRequest, CropShape, axis_directions, vector
from curate.loading.places import Place, Row, places_by_study
from curate.loading.samples import StudySample

Window = tuple[float, float]
Box = tuple[NDArray[np.float64], NDArray[np.float64]]  # lowest and highest (k, j, i)


def random_crops(
    manifests: Mapping[str, pa.Table], shape: CropShape, *, axes: str, window: Window | None, per_volume: int = 1
) -> list[StudySample]:
    """``per_volume`` crops of each volume, anywhere in it; each visit draws another place.

    A crop lies inside the volume along every axis that is long enough for it, and in the middle along the others.
    ``manifests``: tables ``samples`` and ``volumes``. ``window``: which values become -1 and 1, None: the 1st and 99th
    percentile. No targets. Sorted by study key and uri.
    """
    return _regions(manifests, shape, axes, window, per_volume, boxes={})


def foreground_crops(
    manifests: Mapping[str, pa.Table], shape: CropShape, *, axes: str, window: Window | None, per_volume: int = 1
) -> list[StudySample]:
    """As ``random_crops``, with centres drawn from the box around all that the table ``objects`` has in a volume.

    A volume without objects is drawn from as a whole.
    """
    return _regions(manifests, shape, axes, window, per_volume, boxes=_labelled_boxes(manifests["objects"]))


def object_crops(manifests: Mapping[str, pa.Table], *, axes: str, window: Window | None) -> list[StudySample]:
    """One crop around each row of the table ``objects``. Targets: the study's label of that name, -1 without one.

    Sorted by study key, object, uri.
    """
    places = _by_volume(places_by_study(manifests["volumes"], window=window))
    studies = {row["study_key"]: row for row in manifests["samples"].to_pylist()}
    samples = []
    for row in manifests["objects"].to_pylist():
        study, place = studies.get(row["study_key"]), places.get((row["series_key"], row["stack"]))
        if study is not None and place is not None and row["centroid_mm"] is not None:
            label = study.get(row["object"].replace(":", "_"))
            request = CropRequest(place.uri, vector(row["centroid_mm"]), axes, place.low, place.high)
            sample = StudySample(
                row["study_key"], study["split"], (-1 if label is None else int(label),), (request,), ((),)
            )
            samples.append(((row["study_key"], row["object"], place.uri), sample))
    return [sample for _, sample in sorted(samples, key=lambda pair: pair[0])]


def one_by_one(samples: Iterable[StudySample]) -> list[StudySample]:
    """Each crop of each study as a sample of its own, with the one target that it shows: vertebrae, levels, sides.

    Crops that a study lacks are left out. Targets that no crop shows by itself (``patient_overall``) stand before the
    others, and are left out too.
    """
    return [
        StudySample(sample.study_key, sample.split, (target,), (crop,), (marks,))
        for sample in samples
        for crop, target, marks in zip(
            sample.crops, sample.targets[len(sample.targets) - len(sample.crops) :], sample.marks, strict=True
        )
        if crop is not None
    ]


def _regions(
    manifests: Mapping[str, pa.Table],
    shape: CropShape,
    axes: str,
    window: Window | None,
    per_volume: int,
    boxes: Mapping[tuple[str, int], Box],
) -> list[StudySample]:
    if per_volume < 1:
        raise ValueError("per_volume: expected at least 1")
    places = places_by_study(manifests["volumes"], window=window)
    splits = {row["study_key"]: row["split"] for row in manifests["samples"].to_pylist()}
    samples = []
    for key in sorted(splits):
        for place in places.get(key, ()):
            box = boxes.get((place.series_key, place.stack))
            request = _anywhere(place, axes, *(_inside(place.grid, shape, axes) if box is None else box))
            samples += [StudySample(key, splits[key], (), (request,), ((),))] * per_volume
    return samples


def _anywhere(place: Place, axes: str, low: NDArray[np.float64], high: NDArray[np.float64]) -> CropRequest:
    """A crop whose centre is drawn from the box low..high of continuous (k, j, i)."""
    edges = (place.grid.affine[:3, :3] * ((high - low) / 2)).T
    region = vector(edges[0]), vector(edges[1]), vector(edges[2])
    centre = vector(place.grid.to_patient((low + high) / 2))
    return CropRequest(place.uri, centre, axes, place.low, place.high, region=region)


def _inside(grid: Grid, shape: CropShape, axes: str) -> Box:
    """Where the centre may lie for the crop to lie in the volume; the middle along axes that are too short."""
    along = np.abs(grid.directions.T @ axis_directions(grid, axes))
    half = along @ ((np.array(shape.shape) - 1) / 2 * np.array(shape.spacing_mm)) / np.array(grid.spacing_mm)
    last = np.array(grid.shape) - 1.0
    return np.minimum(half, last / 2), np.maximum(last - half, last / 2)


def _labelled_boxes(objects: pa.Table) -> dict[tuple[str, int], Box]:
    """(series key, stack) -> the box around all its objects; a point is a box without size."""
    rows: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in objects.to_pylist():
        if row["centroid_index"] is not None:
            rows[row["series_key"], row["stack"]].append(row)
    return {
        key: (
            np.min([row["box_low_index"] or row["centroid_index"] for row in found], axis=0),
            np.max([row["box_high_index"] or row["centroid_index"] for row in found], axis=0),
        )
        for key, found in rows.items()
    }


def _by_volume(places: Mapping[str, Sequence[Place]]) -> dict[tuple[str, int], Place]:
    return {(place.series_key, place.stack): place for found in places.values() for place in found}
