"""Where voxels lie in the patient: an affine from array indices to millimetres.

Index order is the order of the array, (k, j, i) with i the fastest; for an acquired stack that is (slice, row, column).
The frame is the DICOM patient frame: LPS axes (+x left, +y posterior, +z superior), millimetres, and an index names the
centre of its voxel (PS3.3 C.7.6.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Affine: TypeAlias = NDArray[np.float64]
Points: TypeAlias = NDArray[np.float64]

_TOWARDS = ("R", "L"), ("A", "P"), ("I", "S")  # minus, plus of each LPS axis


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A regular lattice of voxels in the patient.

    ``shape``: voxels along (k, j, i). ``affine``: float64 (4, 4), maps (k, j, i, 1) to LPS millimetres; read-only.
    """

    shape: tuple[int, int, int]
    affine: Affine

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError("affine: expected 4 x 4 finite numbers")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError("shape: expected three positive numbers")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise ValueError("affine: the three axes lie in one plane")
        affine.flags.writeable = False
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.shape == other.shape and np.array_equal(self.affine, other.affine)

    def __hash__(self) -> int:
        return hash((self.shape, self.affine.tobytes()))

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (k, j, i), millimetres."""
        k, j, i = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(k), float(j), float(i)

    @property
    def directions(self) -> NDArray[np.float64]:
        """(3, 3): column n is the unit vector, in LPS, along which index n grows."""
        matrix: NDArray[np.float64] = self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0)
        return matrix

    @property
    def axis_codes(self) -> str:
        """Towards which side each index grows, array order: an axial head-to-top CT stack reads ``SPL``."""
        directions = self.directions
        order = _dominant_axes(directions)
        return "".join(_TOWARDS[axis][int(directions[axis, n] > 0)] for n, axis in enumerate(order))

    def to_patient(self, indices: ArrayLike) -> Points:
        """(..., 3) continuous (k, j, i) -> (..., 3) LPS millimetres."""
        points: Points = np.asarray(indices, dtype=np.float64) @ self.affine[:3, :3].T + self.affine[:3, 3]
        return points

    def to_index(self, points_mm: ArrayLike) -> Points:
        """(..., 3) LPS millimetres -> (..., 3) continuous (k, j, i)."""
        inverse = np.linalg.inv(self.affine[:3, :3])
        indices: Points = (np.asarray(points_mm, dtype=np.float64) - self.affine[:3, 3]) @ inverse.T
        return indices

    def contains(self, indices: ArrayLike) -> NDArray[np.bool_]:
        """(..., 3) continuous (k, j, i) -> (...): whether the point lies inside a voxel of the grid."""
        index = np.asarray(indices, dtype=np.float64)
        inside = (index >= -0.5) & (index <= np.array(self.shape) - 0.5)
        return np.asarray(inside.all(axis=-1), dtype=np.bool_)


def _dominant_axes(directions: NDArray[np.float64]) -> list[int]:
    """For each index axis the patient axis it lies nearest to, each patient axis used once, strongest first."""
    strength = np.abs(directions)
    chosen = [-1, -1, -1]
    for _ in range(3):
        axis, index = np.unravel_index(int(np.argmax(strength)), strength.shape)
        chosen[int(index)] = int(axis)
        strength[axis, :] = -1
        strength[:, index] = -1
    return chosen
