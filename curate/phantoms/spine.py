"""The curved axis along which a phantom's vertebrae are strung, and the way from it to the patient and back.

Spine coordinates of a point are (u, v, s), millimetres: ``u`` towards the patient's left of the axis, ``v`` backwards
from the back wall of the vertebral bodies, ``s`` the height on the axis (up). Discs lie across the axis, so a curved
axis angles them as lordosis does. The scene frame is LPS turned and moved by ``pose``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.geometry.grid import Grid
from curate.phantoms.shapes import Field

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Levels:
    """Vertebrae from the top down. Heights are on the axis, millimetres."""

    names: tuple[str, ...]
    centres: tuple[float, ...]
    boundaries: tuple[float, ...]  # middles of the discs: boundaries[n] lies between names[n] and names[n + 1]

    def index(self, s: Field) -> NDArray[np.intp]:
        """Which vertebra the height belongs to, the ends included."""
        rising = np.asarray(self.boundaries[::-1], dtype=np.float32)
        result: NDArray[np.intp] = len(self.boundaries) - np.searchsorted(rising, s)
        return result

    def nearest_disc(self, s: Field) -> NDArray[np.intp]:
        """Which disc (boundary) is nearest to the height."""
        rising = np.asarray(self.boundaries[::-1], dtype=np.float32)
        middles = (rising[1:] + rising[:-1]) / 2
        result: NDArray[np.intp] = len(self.boundaries) - 1 - np.searchsorted(middles, s)
        return result


@dataclass(frozen=True, slots=True)
class Axis:
    """A planar cubic with a sideways bow, in the scene frame, and the pose of that frame in the patient.

    ``slope``, ``bend``, ``twist``: the back wall lies at y = slope z + bend z^2 / 2 + twist z^3 / 3.
    ``bow``: it lies at x = bow z^2.
    ``pose``: (4, 4), scene millimetres -> LPS millimetres, a rotation and a shift.
    """

    slope: float
    bend: float
    twist: float
    bow: float
    pose: Matrix

    def depth(self, s: Field) -> Field:
        """y of the axis at height s."""
        result: Field = s * (self.slope + s * (self.bend / 2 + s * (self.twist / 3)))
        return result

    def steepness(self, s: Field) -> Field:
        """dy/ds of the axis at height s."""
        result: Field = self.slope + s * (self.bend + s * self.twist)
        return result

    def to_patient(self, points: ArrayLike) -> Matrix:
        """(..., 3) spine coordinates (u, v, s) -> (..., 3) LPS millimetres. Exact."""
        u, v, s = np.moveaxis(np.asarray(points, dtype=np.float64), -1, 0)
        steep = self.slope + s * (self.bend + s * self.twist)
        y = s * (self.slope + s * (self.bend / 2 + s * (self.twist / 3)))
        length = np.sqrt(1 + steep**2)
        scene = np.stack([self.bow * s * s + u, y + v / length, s - v * steep / length], axis=-1)
        result: Matrix = scene @ self.pose[:3, :3].T + self.pose[:3, 3]
        return result

    def frame(self, s: float) -> Matrix:
        """(3, 3): columns are the LPS directions of u, v and s at a height."""
        steep = self.slope + s * (self.bend + s * self.twist)
        length = float(np.hypot(1, steep))
        scene = np.array([[1, 0, 0], [0, 1 / length, steep / length], [0, -steep / length, 1 / length]])
        result: Matrix = self.pose[:3, :3] @ scene
        return result

    def scene_points(self, grid: Grid, first: int, last: int) -> tuple[Field, Field, Field]:
        """Scene coordinates x, y, z of the voxels of slices first..last-1, float32 (last - first, rows, columns)."""
        affine = np.linalg.inv(self.pose) @ grid.affine
        k, j, i = (np.arange(n, dtype=np.float64) for n in grid.shape)
        k = k[first:last]
        x, y, z = (
            (row[0] * k[:, None, None] + (row[1] * j[:, None] + (row[2] * i + row[3]))).astype(np.float32)
            for row in affine[:3]
        )
        return x, y, z

    def from_scene(self, x: Field, y: Field, z: Field) -> tuple[Field, Field, Field]:
        """Scene coordinates -> spine coordinates, by three Newton steps (under 0.01 mm near the spine)."""
        s = z
        for _ in range(3):
            steep, off = self.steepness(s), y - self.depth(s)
            turn = np.float32(1) + steep * steep - off * (self.bend + 2 * self.twist * s)
            s = s + (off * steep + (z - s)) / np.maximum(turn, np.float32(0.3))
        steep = self.steepness(s)
        v = (y - self.depth(s) - (z - s) * steep) / np.sqrt(np.float32(1) + steep * steep)
        return x - np.float32(self.bow) * s * s, v, s


def pose(angles_deg: tuple[float, float, float], origin_mm: ArrayLike) -> Matrix:
    """(4, 4) pose: turns about the left-right, front-back and head-foot axes in that order, then a shift."""
    rotation = np.eye(3)
    for axis, angle in enumerate(np.radians(angles_deg)):
        c, s = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        first, second = (axis + 1) % 3, (axis + 2) % 3
        turn[[first, first, second, second], [first, second, first, second]] = c, -s, s, c
        rotation = turn @ rotation
    result = np.eye(4)
    result[:3, :3], result[:3, 3] = rotation, origin_mm
    return result
