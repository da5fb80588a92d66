"""Whether grids and labels of a store lie where the planted truth has them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curate.geometry import Grid
from curate.labels import source_of
from tests.support.curated import Curated


def affine_of(row: dict[str, Any], name: str) -> np.ndarray:
    """A column of 16 numbers as (4, 4)."""
    return np.array(row[name]).reshape(4, 4)


def truth_of(curated: Curated) -> dict[tuple[str, int], dict[str, Any]]:
    """Stacks of sound series by series key and number."""
    key = curated.workspace.pseudonyms.uid
    return {(key(row["series"]), row["stack"]): row for row in curated.truth("series")}


def matching_truth(curated: Curated) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Each volume of a sound series with the one planted stack that has its grid."""
    truth = truth_of(curated)
    sound = {series for series, _ in truth}
    volumes = [row for row in curated.manifest("volumes").to_pylist() if row["series_key"] in sound]
    assert len(volumes) == len(truth)
    pairs = []
    for row in volumes:
        shape, affine = row["source_shape"], affine_of(row, "source_affine")
        matches = [
            one
            for (series, _), one in truth.items()
            if series == row["series_key"]
            and one["shape"] == shape
            and np.allclose(affine_of(one, "affine"), affine, atol=1e-3)
        ]
        assert len(matches) == 1, row["series_key"]
        pairs.append((row, matches[0]))
    return pairs


def check_way_back(index: list[float], label: dict[str, Any], volume: dict[str, Any], slices: pa.Table) -> None:
    """A voxel (k, j, i) leads back to the pixel that its label names."""
    back = source_of(index, volume, slices)
    assert (back.instance_key, back.instance_number) == (label["instance_key"], label["instance_number"])
    assert (back.column, back.row) == pytest.approx((label["column"], label["row"]), abs=1e-6)


def check_boxes(curated: Curated) -> list[dict[str, Any]]:
    """Boxes lie where they were drawn, to less than half a voxel, and lead back to their pixels; those looked at."""
    key = curated.workspace.pseudonyms.uid
    planted: dict[tuple[str, int], list[np.ndarray]] = {}
    for row in curated.truth("landmarks"):
        if row["kind"] == "box":
            planted.setdefault((key(row["study"]), row["instance_number"]), []).append(np.array(row["point_mm"]))
    sound = {series for series, _ in truth_of(curated)}
    boxes = [box for box in curated.manifest("boxes").to_pylist() if box["series_key"] in sound]
    volumes = curated.by_series("volumes")
    slices = curated.manifest("slices")
    for box in boxes:
        volume = volumes[box["series_key"]]
        grid = Grid(tuple(volume["shape"]), affine_of(volume, "affine"))
        corners = np.array(box["corners_mm"]).reshape(4, 3)
        indices = np.array(box["corners_index"]).reshape(4, 3)
        truth = np.array(planted[box["study_key"], box["instance_number"]])
        nearest = np.abs(corners[[0, 2], None] - truth[None]).max(axis=2).min(axis=1)  # upper left, lower right
        assert nearest.max() < 0.5 * min(grid.spacing_mm)
        assert np.abs(grid.to_index(corners) - indices).max() < 1e-6
        check_way_back(indices[0].tolist(), box, volume, slices)
    return boxes


def check_points(curated: Curated) -> list[dict[str, Any]]:
    """Points lie where they were set, to less than half a voxel, and lead back to their pixels; those looked at."""
    key = curated.workspace.pseudonyms.uid
    planted = {
        (key(row["study"]), row["name"]): np.array(row["point_mm"])
        for row in curated.truth("landmarks")
        if row["kind"] == "point"
    }
    sound = {series for series, _ in truth_of(curated)}
    points = [point for point in curated.manifest("points").to_pylist() if point["series_key"] in sound]
    volumes = {(row["series_key"], row["stack"]): row for row in curated.manifest("volumes").to_pylist()}
    slices = curated.manifest("slices")
    for point in points:
        volume = volumes[point["series_key"], point["stack"]]
        grid = Grid(tuple(volume["shape"]), affine_of(volume, "affine"))
        truth = planted[point["study_key"], f"{point['condition']}_{point['level']}"]
        assert np.abs(np.array(point["point_mm"]) - truth).max() < 0.5 * min(grid.spacing_mm)
        assert np.abs(grid.to_index(truth) - point["point_index"]).max() < 0.5
        check_way_back(point["point_index"], point, volume, slices)
    return points


def check_vertebrae(curated: Curated) -> list[dict[str, Any]]:
    """Vertebrae of masks lie where the scene has them; those looked at."""
    key = curated.workspace.pseudonyms.uid
    planted = {
        (key(row["study"]), row["name"]): np.array(row["anatomy_mm"])
        for row in curated.truth("landmarks")
        if row["kind"] == "vertebra"
    }
    objects = [row for row in curated.manifest("objects").to_pylist() if (row["study_key"], row["object"]) in planted]
    for row in objects:
        # the mask is the whole vertebra with its arch, the landmark the centre of the structure
        offset = np.array(row["centroid_mm"]) - planted[row["study_key"], row["object"]]
        assert abs(offset[0]) < 3.0
        assert np.abs(offset).max() < 20.0
    return objects
