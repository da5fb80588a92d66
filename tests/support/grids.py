"""Small grids whose axes run in different directions, and a crop's shape to cut from them."""

from __future__ import annotations

import numpy as np

from curate.geometry import Grid
from curate.loading.crops import CropShape

SHAPE = CropShape((5, 6, 7), (2.0, 1.5, 1.0))
STEPS = {  # columns: millimetres (L, P, S) of a step along k, j, i
    "SPL": [[0, 0, 1.2], [0, 1.1, 0], [2.0, 0, 0]],
    "LIP": [[4.0, 0, 0], [0, 0, 0.9], [0, -0.8, 0]],
    "IAR": [[0, 0, -1.0], [0, -1.0, 0], [-1.0, 0, 0]],
}


def make_grid(codes: str, shape: tuple[int, int, int] = (40, 50, 60)) -> Grid:
    """A grid with these axis codes, whose middle lies at (3, -7, 11)."""
    affine = np.eye(4)
    affine[:3, :3] = STEPS[codes]
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2) + [3, -7, 11]
    grid = Grid(shape=shape, affine=affine)
    assert grid.axis_codes == codes
    return grid
