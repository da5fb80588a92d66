"""A stack whose slices lie unevenly or lean (gantry tilt) onto a regular upright grid, in one interpolation.

Each output voxel reads the slices above and below it where the perpendicular through the voxel meets them, so that
voxels are right by their place in the patient. PS3.3 C.7.6.2 alone decides; the tilt of the header is not asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from curate.errors import Misconfigured
from curate.geometry.bands import Bands, bands
from curate.geometry.grid import Grid
from curate.geometry.placement import Placement, Straight, straighten
from curate.geometry.resample import plain_dtype, read_levels
from curate.geometry.separable import apply, pick, sums_dtype
from curate.geometry.weights import ORDERS, matrix_at, nearest_indices, uneven_matrix

_STILL = 1e-6  # of a pixel: drift below this is none
_EDGE = 0.5 + 1e-6  # of a pixel: how far its field reaches beyond the centre of the outermost one


def normalise(
    array: NDArray[Any],
    placement: Placement,
    spacing_mm: Sequence[float | None],
    *,
    order: int = 1,
    antialias: bool = True,
    slopes: ArrayLike = 1.0,
    intercepts: ArrayLike = 0.0,
    fill: float = 0.0,
    dtype: DTypeLike | None = None,
    threads: int = 1,
) -> tuple[NDArray[Any], Grid]:
    """``array`` (slice, row, column) at ``placement`` -> the grid of ``straighten`` at ``spacing_mm`` along (k, j, i).

    ``order``, ``antialias``, ``slopes``, ``intercepts``, ``dtype`` and ``threads`` are those of ``resample``, which an
    even and upright stack agrees with. Where slices lean, each is taken as surrounded by ``fill``, in output values
    (air in CT: -1024): voxels outside the field of both slices that they read are exactly ``fill``, voxels outside one
    of them are weighed with it. Smoothing along uneven gaps: see ``curate.geometry.weights.uneven_matrix``.

    Raises ``Misconfigured`` for a spacing that is not positive or another order, ``ValueError`` when the array does not
    fit the placement, or as ``resample`` does.
    """
    if array.shape != placement.shape:
        raise ValueError("array: its shape is not that of the placement")
    if order not in ORDERS:
        raise Misconfigured("resampling order: expected 0 (nearest), 1 (linear) or 3 (cubic B-spline)")
    straight = straighten(placement, spacing_mm)
    levels = read_levels(slopes, intercepts, array.shape[0], fill)
    wanted = array.dtype if dtype is None else np.dtype(dtype)
    along = _along(placement, straight, order=order, antialias=antialias)
    if order == 0:
        if not levels.is_plain or wanted != array.dtype:
            raise ValueError("nearest neighbour hands values on as they are: no slopes, intercepts or dtype")
        j_at, i_at = (_nearest(placement, straight, axis) for axis in (0, 1))
        return pick(array, [along.starts[0], j_at, i_at], fill), straight.grid
    is_single = sums_dtype(plain_dtype(array.dtype)) == np.float32
    operators = [along]
    for axis, (places, step) in enumerate(zip((straight.rows, straight.columns), straight.steps, strict=True)):
        drift, length = _drift(placement, axis), array.shape[1 + axis]
        positions = (places - drift[:, None]).ravel()
        matrix = matrix_at(positions, length, step, order=order, antialias=antialias)
        operators.append(bands(matrix, len(drift), is_single=is_single))
    result = apply(
        array.astype(plain_dtype(array.dtype), copy=False),
        operators,
        plain_dtype(wanted),
        levels=levels,
        inside=_inside(placement, straight),
        threads=threads,
    )
    return result.astype(wanted, copy=False), straight.grid


def _along(placement: Placement, straight: Straight, *, order: int, antialias: bool) -> Bands:
    if placement.is_even:
        gap = float(placement.gaps_mm.mean())
        step = straight.grid.spacing_mm[0] / gap
        positions = straight.heights_mm / gap
        return bands(matrix_at(positions, placement.shape[0], step, order=order, antialias=antialias))
    step = straight.grid.spacing_mm[0]
    heights = placement.heights_mm
    return bands(uneven_matrix(heights, straight.heights_mm, step, order=order, antialias=antialias))


def _drift(placement: Placement, axis: int) -> NDArray[np.float64]:
    """(slices,) drift in pixels, or (1,) if all slices stand above each other."""
    drift = placement.drift[:, axis]
    return drift if np.ptp(drift) > _STILL else drift[:1]


def _nearest(placement: Placement, straight: Straight, axis: int) -> NDArray[np.int64]:
    """(tables, outputs) nearest row or column on each slice, -1 outside its field."""
    drift, length = _drift(placement, axis), placement.shape[1 + axis]
    positions = (straight.rows, straight.columns)[axis] - drift[:, None]
    is_inside = (positions > -_EDGE) & (positions < length - 1 + _EDGE)
    return np.where(is_inside, nearest_indices(positions, length), -1).astype(np.int64)


def _inside(placement: Placement, straight: Straight) -> NDArray[np.int64] | None:
    """(tables, 4) first and one past the last output row and column in the field of each slice."""
    limits = []
    for axis, places in enumerate((straight.rows, straight.columns)):
        drift, length = _drift(placement, axis), placement.shape[1 + axis]
        limits.append(np.searchsorted(places, drift - _EDGE, side="right"))
        limits.append(np.searchsorted(places, drift + length - 1 + _EDGE, side="left"))
    tables = max(len(each) for each in limits)
    if tables == 1:
        return None
    return np.stack([np.broadcast_to(each, tables) for each in limits], axis=1).astype(np.int64)
