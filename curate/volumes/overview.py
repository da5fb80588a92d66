"""The coarse level of a volume, for browsing: about isotropic voxels, four times the finest spacing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.geometry.grid import Grid
from curate.geometry.resample import resample, resampled_grid

FACTOR = 4
SMALLEST = 64  # voxels along the longest axis from which a volume has an overview


def overview_grid(grid: Grid) -> Grid | None:
    """The grid of the overview, or None for a volume of fewer than 64 voxels along every axis.

    Each axis gets four times the finest spacing of the three; one that is coarser already is kept. Centre and
    directions are those of ``grid``.
    """
    return None if max(grid.shape) < SMALLEST else resampled_grid(grid, _spacing(grid))


def make_overview(array: NDArray[Any], grid: Grid, *, is_mask: bool = False) -> NDArray[Any]:
    """``array`` (k, j, i) on ``overview_grid(grid)``: linear after an antialias filter, or nearest for a mask.

    Same dtype, native byte order. Raises ``ValueError`` when the array does not fit the grid.
    """
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    small, _ = resample(native, grid, _spacing(grid), order=0 if is_mask else 1)
    return np.ascontiguousarray(small)


def _spacing(grid: Grid) -> list[float | None]:
    coarse = FACTOR * min(grid.spacing_mm)
    return [coarse if spacing < coarse else None for spacing in grid.spacing_mm]
