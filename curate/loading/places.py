"""Where things lie in a study: its volumes as places in the patient, its objects, and where objects lie on average."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.geometry import Grid

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Place:
    """A volume of a study: where its voxels lie, and which values to show as darkest and brightest."""

    uri: str
    series_key: str
    stack: int
    series_type: str | None
    grid: Grid
    low: float
    high: float

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        """The middle of the volume, LPS, (3,)."""
        return self.grid.to_patient((np.array(self.grid.shape) - 1) / 2)

    def mm_outside(self, point_mm: NDArray[np.float64]) -> float:
        """How far a point lies outside the volume; 0 inside."""
        index = self.grid.to_index(point_mm)
        beyond = np.maximum(np.maximum(-index, index - (np.array(self.grid.shape) - 1)), 0)
        return float(np.linalg.norm(beyond * np.array(self.grid.spacing_mm)))


def places_by_study(volumes: pa.Table, *, window: tuple[float, float] | None) -> dict[str, list[Place]]:
    """Study key -> its volumes, sorted by uri. ``window`` None: its 1st and 99th percentile (MR has no scale)."""
    places: dict[str, list[Place]] = defaultdict(list)
    for row in sorted(volumes.to_pylist(), key=lambda row: row["uri"]):
        low, high = window or (row["intensity_p01"], row["intensity_p99"])
        k, j, i = row["shape"]
        grid = Grid(shape=(k, j, i), affine=np.reshape(row["affine"], (4, 4)))
        place = Place(row["uri"], row["series_key"], row["stack"], row["series_type"], grid, low, high)
        places[row["study_key"]].append(place)
    return places


def objects_by_study(objects: pa.Table) -> dict[str, dict[str, Row]]:
    """Study key -> object -> its row; of several the one with most voxels, then the first by series and stack."""
    found: dict[str, dict[str, Row]] = defaultdict(dict)
    rows = [row for row in objects.to_pylist() if row["centroid_mm"] is not None]
    for row in sorted(rows, key=lambda r: (-(r["voxels"] or 0), r["series_key"], r["stack"])):
        found[row["study_key"]].setdefault(row["object"], row)
    return found


def estimate_offsets(
    objects: Mapping[str, Mapping[str, Row]], references: Mapping[str, Place]
) -> dict[str, NDArray[np.float64]]:
    """Object -> mean over studies of (its centroid - the middle of the study's reference volume), LPS mm, (3,)."""
    found: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for study in sorted(objects):
        if study in references:
            for name, row in objects[study].items():
                found[name].append(np.asarray(row["centroid_mm"]) - references[study].centre_mm)
    return {name: np.mean(offsets, axis=0) for name, offsets in found.items()}


def largest(places: Sequence[Place]) -> Place | None:
    """The volume with most voxels."""
    return max(places, key=lambda place: (int(np.prod(place.grid.shape)), place.uri), default=None)


def sagittal(places: Sequence[Place]) -> Place | None:
    """The volume that sees the whole lumbar spine: Sagittal T2/STIR, else Sagittal T1."""
    for series_type in ("Sagittal T2/STIR", "Sagittal T1"):
        for place in places:
            if place.series_type == series_type:
                return place
    return None
