"""A volume turned so that every plane of it can be hung on a wall: where its voxels come to lie in a picture.

The patient's right is on the viewer's left (axial, coronal), the front is up (axial) or left (sagittal), the head is up
(sagittal, coronal). Axes are permuted and turned over, never rotated: an oblique volume keeps its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.geometry.grid import Grid
from curate.geometry.orientation import orient

_ORDER = "SPL"  # array order in which every plane is a slice: head, back and left at the high ends
_HALF = 0.5 + 1e-6  # of a slice
_OPPOSITE = dict(pairwise("LRL")) | dict(pairwise("APA")) | dict(pairwise("SIS"))


@dataclass(frozen=True, slots=True)
class Plane:
    """Which axes of the ``SPL`` array a plane has: its normal, its rows, its columns."""

    normal: int
    rows: int
    columns: int

    @property
    def is_turned(self) -> bool:
        """Whether its rows run from the foot up, and have to be turned over."""
        return self.rows == 0


AXIAL, SAGITTAL, CORONAL = Plane(0, 1, 2), Plane(2, 0, 1), Plane(1, 0, 2)
PLANES = AXIAL, SAGITTAL, CORONAL


@dataclass(frozen=True, slots=True, eq=False)
class Upright:
    """How indices of a volume become pixels of its three planes, at so many pixels a millimetre.

    ``grid``: the volume in ``SPL`` order. ``place``: the voxel (k, j, i) of that order where the planes meet.
    """

    grid: Grid
    place: tuple[int, int, int]
    scale: float
    source: Grid

    @classmethod
    def of(cls, source: Grid, place: tuple[int, int, int], longest: int) -> Upright:
        """``place``: voxel of ``source``. The longest side of the volume gets ``longest`` pixels."""
        grid = orient(np.broadcast_to(np.uint8(0), source.shape), source, _ORDER)[1]
        scale = longest / max(n * mm for n, mm in zip(grid.shape, grid.spacing_mm, strict=True))
        k, j, i = (round(float(n)) for n in grid.to_index(source.to_patient(place)))
        return cls(grid, (k, j, i), scale, source)

    def indices(self, given: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 3) continuous (k, j, i) of the volume -> of ``grid``."""
        return self.grid.to_index(self.source.to_patient(given))

    def cut(self, array: NDArray[Any], plane: Plane) -> NDArray[Any]:
        """The plane of an array of the volume's own order as (rows, columns), upper row first."""
        flat = np.take(orient(array, self.source, _ORDER)[0], self.place[plane.normal], axis=plane.normal)
        upper_first: NDArray[Any] = flat[::-1] if plane.is_turned else flat
        return np.ascontiguousarray(upper_first)

    def size(self, plane: Plane) -> tuple[int, int]:
        """(width, height) of a plane in pixels."""
        width, height = (
            max(1, round(self.grid.shape[axis] * self.grid.spacing_mm[axis] * self.scale))
            for axis in (plane.columns, plane.rows)
        )
        return width, height

    def pixel(self, index: NDArray[np.float64], plane: Plane) -> tuple[float, float]:
        """(x, y) of an index of ``grid``: a voxel's centre is at the middle of its pixels."""
        width, height = self.size(plane)
        row = index[plane.rows]
        if plane.is_turned:
            row = self.grid.shape[plane.rows] - 1 - row
        x = (index[plane.columns] + 0.5) * width / self.grid.shape[plane.columns]
        y = (row + 0.5) * height / self.grid.shape[plane.rows]
        return float(x), float(y)

    def is_near(self, index: NDArray[np.float64], plane: Plane) -> bool:
        """Whether an index of ``grid`` lies within half a slice of the plane."""
        return bool(abs(index[plane.normal] - self.place[plane.normal]) <= _HALF)

    def lies_in(self, corners: NDArray[np.float64], plane: Plane) -> bool:
        """Whether the plane is the one that a box of ``grid``, (4, 3), is flattest along, and near its middle."""
        extent = (corners.max(axis=0) - corners.min(axis=0)) * self.grid.spacing_mm
        return int(np.argmin(extent)) == plane.normal and self.is_near(corners.mean(axis=0), plane)

    def letters(self, plane: Plane) -> tuple[str, str, str, str]:
        """Side of the patient at the left, right, upper and lower edge; the nearest axis of an oblique volume."""
        right, down = self.grid.axis_codes[plane.columns], self.grid.axis_codes[plane.rows]
        if plane.is_turned:  # the high end of the axis is at the top
            down = _OPPOSITE[down]
        return _OPPOSITE[right], right, _OPPOSITE[down], down
