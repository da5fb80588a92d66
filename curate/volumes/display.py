"""How a volume is best looked at: which grey values, and where to cut. No interpolation, no drawing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.geometry.grid import Grid

BONE = 350.0, 2000.0  # HU: from -650 to 1350, so that bone keeps its texture and soft tissue can be told from air
_BODY_HU = -300.0  # between lung or fat and air
_SHARES = 0.01, 0.99
_SAMPLED = 64  # positions along an axis that are looked at


def default_window(array: NDArray[Any], units: str | None) -> tuple[float, float]:
    """(centre, width) of the grey scale: bone for ``HU``, else from the 1st to the 99th percentile of the voxels.

    So also for a volume in ``HU`` of which the bone window would show nothing but black.
    """
    low, high = np.quantile(_sample(array), _SHARES)
    if units == "HU" and high > BONE[0] - BONE[1] / 2:
        return BONE
    return float(low + high) / 2, float(high - low)


def to_grey(plane: NDArray[Any], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Grey of each value: black at centre - width / 2 and below, white at centre + width / 2 and above."""
    centre, width = window
    share = (plane.astype(np.float64) - (centre - width / 2)) / max(width, 1e-12)
    grey: NDArray[np.uint8] = np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)
    return grey


def default_place(
    array: NDArray[Any],
    grid: Grid,
    units: str | None,
    *,
    masks: Iterable[NDArray[np.uint8]] = (),
    drawings: Iterable[ArrayLike] = (),
) -> tuple[int, int, int]:
    """Voxel (k, j, i) where three planes show the most.

    The centre of the first of ``drawings`` ((n, 3) or (3,) continuous (k, j, i)) that lies in the volume; else the
    labelled voxel nearest to the centre of all of them; else the centre of the body: of what is denser than air, or
    brighter than the mean.
    """
    for drawing in drawings:
        centre = np.atleast_2d(np.asarray(drawing, np.float64)).mean(axis=0)
        if grid.contains(centre):
            return _voxel(centre, grid)
    labelled = [np.argwhere(mask) for mask in masks]
    voxels = np.concatenate(labelled) if labelled else np.empty((0, 3), np.int64)
    if len(voxels):
        away = (voxels - voxels.mean(axis=0)) * grid.spacing_mm
        return _voxel(voxels[np.argmin((away**2).sum(axis=1))], grid)
    sampled = _sample(array)
    body = np.argwhere(sampled > (_BODY_HU if units == "HU" else sampled.mean()))
    if not len(body):
        return _voxel((np.array(grid.shape) - 1) / 2, grid)
    return _voxel(body.mean(axis=0) * _steps(array), grid)


def _sample(array: NDArray[Any]) -> NDArray[Any]:
    k, j, i = _steps(array)
    return array[::k, ::j, ::i]


def _steps(array: NDArray[Any]) -> tuple[int, int, int]:
    k, j, i = (-(-n // _SAMPLED) for n in array.shape)
    return k, j, i


def _voxel(index: ArrayLike, grid: Grid) -> tuple[int, int, int]:
    found = np.clip(np.rint(np.asarray(index, np.float64)), 0, np.array(grid.shape) - 1)
    k, j, i = (int(n) for n in found)
    return k, j, i
