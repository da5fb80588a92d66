"""Resample a volume to an exact spacing. Volumes keep their axes (never rotated) and their centre."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from curate.errors import Misconfigured
from curate.geometry.bands import Bands, bands
from curate.geometry.grid import Grid
from curate.geometry.separable import Levels, apply, pick, sums_dtype
from curate.geometry.weights import ORDERS, axis_matrix, nearest_indices, output_length, sample_positions

_SAME = 1e-9


def resample(
    array: NDArray[Any],
    grid: Grid,
    spacing_mm: Sequence[float | None],
    *,
    order: int = 1,
    antialias: bool = True,
    slopes: ArrayLike = 1.0,
    intercepts: ArrayLike = 0.0,
    dtype: DTypeLike | None = None,
    threads: int = 1,
) -> tuple[NDArray[Any], Grid]:
    """Bring ``array`` (k, j, i) to ``spacing_mm`` (one number an axis, millimetres; ``None`` keeps the axis).

    The new grid has exactly the spacing asked for, max(1, round(n s / t)) samples an axis (halves up), and the centre
    and directions of the old one. ``order``: 0 nearest, 1 linear, 3 cubic B-spline; ``antialias`` smooths axes that
    shrink (orders 1 and 3). ``slopes`` and ``intercepts``, one for all or one a slice of axis 0, bring stored values to
    output values on the way (orders 1 and 3). The result has ``dtype`` (that of the array) and is C-ordered; integers
    are rounded half to even and saturated. Sums are float32 for integers up to 16 bits, else float64; values must
    be finite: a NaN spreads to the voxels beside it. Borders: see ``curate.geometry.weights``.

    Any view is read as it lies in memory: one that ``orient`` has turned costs no copy. ``threads`` share the slices
    and change no bit.

    Raises ``Misconfigured`` for a spacing that is not positive or another order, ``ValueError`` when the array does not
    fit the grid or is not of numbers, or for slopes of 0 or of another length.
    """
    if array.shape != grid.shape:
        raise ValueError("array: its shape is not that of the grid")
    if order not in ORDERS:
        raise Misconfigured("resampling order: expected 0 (nearest), 1 (linear) or 3 (cubic B-spline)")
    levels = read_levels(slopes, intercepts, grid.shape[0])
    target = resampled_grid(grid, spacing_mm)
    wanted = array.dtype if dtype is None else np.dtype(dtype)
    steps = axis_steps(grid, target)
    if order == 0:
        if not levels.is_plain or wanted != array.dtype:
            raise ValueError("nearest neighbour hands values on as they are: no slopes, intercepts or dtype")
        return _take_nearest(array, target.shape, steps), target
    if all(step is None for step in steps) and levels.is_plain and wanted == array.dtype:
        return array.copy(), target
    operators = axis_operators(grid, target, plain_dtype(array.dtype), order=order, antialias=antialias)
    values = array.astype(plain_dtype(array.dtype), copy=False)
    result = apply(values, operators, plain_dtype(wanted), levels=levels, threads=threads)
    return result.astype(wanted, copy=False), target


def axis_operators(
    grid: Grid, target: Grid, dtype: np.dtype[Any], *, order: int, antialias: bool
) -> list[Bands | None]:
    """What each axis is weighed with on the way to ``target``, for values of ``dtype``; ``None``: it is kept."""
    is_single = sums_dtype(dtype) == np.float32
    return [
        None if step is None else bands(axis_matrix(n, m, step, order=order, antialias=antialias), is_single=is_single)
        for n, m, step in zip(grid.shape, target.shape, axis_steps(grid, target), strict=True)
    ]


def axis_steps(grid: Grid, target: Grid) -> list[float | None]:
    """New over old spacing along (k, j, i); ``None`` for an axis that stays as it is."""
    steps: list[float | None] = []
    for axis, (new, old) in enumerate(zip(target.spacing_mm, grid.spacing_mm, strict=True)):
        is_kept = target.shape[axis] == grid.shape[axis] and abs(new / old - 1) <= _SAME
        steps.append(None if is_kept else new / old)
    return steps


def read_levels(slopes: ArrayLike, intercepts: ArrayLike, slices: int, fill: float = 0.0) -> Levels:
    """Slopes and intercepts, one or one a slice. Raises ``ValueError`` for others, for 0 and for what is not finite."""
    found = [np.atleast_1d(np.asarray(each, np.float64)) for each in (slopes, intercepts)]
    if any(each.shape not in ((1,), (slices,)) or not np.isfinite(each).all() for each in found):
        raise ValueError("slopes and intercepts: expected one finite number, or one a slice")
    if (found[0] == 0).any():
        raise ValueError("slopes: 0 loses the values")
    return Levels(found[0], found[1], fill)


def plain_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """What the kernels calculate in for a dtype: uint8 for bool, float32 for float16. Raises ``ValueError`` else."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ValueError("array: expected integers or floats of up to 64 bits")
    return np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")


def resampled_grid(grid: Grid, spacing_mm: Sequence[float | None]) -> Grid:
    """The grid that ``resample`` gives, without voxels. Raises ``Misconfigured`` for a spacing that is not positive."""
    if len(spacing_mm) != 3 or not all(t is None or (np.isfinite(t) and t > 0) for t in spacing_mm):
        raise Misconfigured("spacing: expected three positive numbers of millimetres, or none to keep an axis")
    targets = [s if t is None else float(t) for s, t in zip(grid.spacing_mm, spacing_mm, strict=True)]
    lengths = [output_length(n, s, t) for n, s, t in zip(grid.shape, grid.spacing_mm, targets, strict=True)]
    corner = [
        sample_positions(n, m, t / s)[0]
        for n, m, s, t in zip(grid.shape, lengths, grid.spacing_mm, targets, strict=True)
    ]
    affine = np.eye(4)
    for axis, (old, new) in enumerate(zip(grid.spacing_mm, targets, strict=True)):
        affine[:3, axis] = grid.affine[:3, axis] if new == old else grid.directions[:, axis] * new
    affine[:3, 3] = grid.to_patient(corner)
    k, j, i = lengths
    return Grid((k, j, i), affine)


def _take_nearest(array: NDArray[Any], shape: tuple[int, int, int], steps: Sequence[float | None]) -> NDArray[Any]:
    indices = [
        np.arange(n) if step is None else nearest_indices(sample_positions(n, m, step), n)
        for n, m, step in zip(array.shape, shape, steps, strict=True)
    ]
    return pick(array, [indices[0], indices[1][None], indices[2][None]])
