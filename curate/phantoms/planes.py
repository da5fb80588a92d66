"""The planes along which each series samples a patient: axial CT, sagittal MR, axial MR angled to every disc.

Every grid has slices along the normal (row direction x column direction), so that (k, j, i) is the acquired stack.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.geometry.grid import Grid

DECIMALS = 8  # what a decimal string holds beside sign and three digits; sampling uses the written numbers


def plane_grid(
    centre_mm: ArrayLike,
    row: ArrayLike,
    column: ArrayLike,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
) -> Grid:
    """A stack centred on a point. ``row``, ``column``: LPS directions in which column and row indices grow."""
    along_row = np.round(np.asarray(row, dtype=np.float64), DECIMALS)
    along_column = np.round(np.asarray(column, dtype=np.float64), DECIMALS)
    normal = np.cross(along_row, along_column)
    affine = np.eye(4)
    for axis, (direction, step) in enumerate(zip((normal, along_column, along_row), spacing_mm, strict=True)):
        affine[:3, axis] = direction * step
    origin = np.asarray(centre_mm, dtype=np.float64) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    affine[:3, 3] = np.round(origin, DECIMALS)
    return Grid(shape, affine)


def axial_ct(
    centre_mm: ArrayLike,
    matrix: tuple[int, int],
    field_mm: float,
    slice_mm: float,
    reach_mm: float,
    tilt_deg: float = 0.0,
) -> Grid:
    """Axial slices over ``reach_mm`` of table travel, ``field_mm`` wide.

    A tilted gantry turns the planes about the left-right axis while the table moves straight on, so that positions
    drift across the planes: the affine has a shear.
    """
    spacing = round(field_mm / matrix[1], 6)
    slices = max(2, round(reach_mm / slice_mm))
    angle = np.radians(tilt_deg)
    column = (0.0, float(np.cos(angle)), float(np.sin(angle)))
    grid = plane_grid(centre_mm, (1, 0, 0), column, (slices, *matrix), (slice_mm, spacing, spacing))
    if not tilt_deg:
        return grid
    affine = grid.affine.copy()
    affine[:3, 0] = (0, 0, slice_mm)
    affine[:3, 3] += (grid.affine[:3, 0] - affine[:3, 0]) * (slices - 1) / 2
    return Grid(grid.shape, affine)


def sagittal_mr(centre_mm: ArrayLike, matrix: tuple[int, int], spacing_mm: float, slices: int, slice_mm: float) -> Grid:
    """Straight sagittal slices; rows run from front to back, columns downwards."""
    return plane_grid(centre_mm, (0, 1, 0), (0, 0, -1), (slices, *matrix), (slice_mm, spacing_mm, spacing_mm))


def disc_mr(
    centre_mm: ArrayLike,
    frame: NDArray[np.float64],
    matrix: tuple[int, int],
    spacing_mm: float,
    slices: int,
    slice_mm: float,
) -> Grid:
    """Slices parallel to a disc. ``frame``: LPS directions of the spine there (left, back, up), as columns."""
    return plane_grid(centre_mm, frame[:, 0], frame[:, 1], (slices, *matrix), (slice_mm, spacing_mm, spacing_mm))


def orientation_of_planes(grid: Grid) -> Sequence[float]:
    """ImageOrientationPatient: direction of a row, then of a column."""
    directions = grid.directions
    return [float(x) for x in np.round(np.concatenate([directions[:, 2], directions[:, 1]]), DECIMALS)]


def position_of_slice(grid: Grid, k: int) -> Sequence[float]:
    """ImagePositionPatient of slice k."""
    return [float(x) for x in np.round(grid.to_patient([k, 0, 0]), DECIMALS)]
