"""Resample a volume to an exact spacing, or a mask onto another grid.

Volumes keep their axes (never rotated) and their centre; masks go through any affine by nearest neighbour.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from curate.errors import Misconfigured
from curate.geometry.grid import Grid
from curate.geometry.weights import ORDERS, axis_matrix, nearest_indices, output_length, sample_positions

_BLOCK_BYTES = 1 << 20  # of one working block: about one plane, small enough to stay in cache
_SAME = 1e-9


def resample(
    array: NDArray[Any], grid: Grid, spacing_mm: Sequence[float | None], *, order: int = 1, antialias: bool = True
) -> tuple[NDArray[Any], Grid]:
    """Bring ``array`` (k, j, i) to ``spacing_mm`` (one number an axis, millimetres; ``None`` keeps the axis).

    The new grid has exactly the spacing asked for, max(1, round(n s / t)) samples an axis (halves up), and the centre
    and directions of the old one. ``order``: 0 nearest, 1 linear, 3 cubic B-spline; ``antialias`` smooths axes that
    shrink (orders 1 and 3). Sums are float32 (float64 for 64-bit floats and for integers above 16 bits); integers are
    rounded half to even and saturated; the dtype stays. Borders: see ``curate.geometry.weights``.

    Raises ``Misconfigured`` for a spacing that is not positive or another order, ``ValueError`` when the array does not
    fit the grid.
    """
    if array.shape != grid.shape:
        raise ValueError("array: its shape is not that of the grid")
    if order not in ORDERS:
        raise Misconfigured("resampling order: expected 0 (nearest), 1 (linear) or 3 (cubic B-spline)")
    target = resampled_grid(grid, spacing_mm)
    steps = [new / old for new, old in zip(target.spacing_mm, grid.spacing_mm, strict=True)]
    changed = [a for a in range(3) if target.shape[a] != grid.shape[a] or abs(steps[a] - 1) > _SAME]
    if not changed:
        return array.copy(), target
    # shrinking axes first: the fewest voxels for the axes that follow
    changed.sort(key=lambda a: (target.shape[a] / grid.shape[a], a))
    if order == 0:
        return _take_nearest(array, changed, target.shape, steps), target
    work = np.dtype(np.float64 if array.dtype.itemsize > 2 and array.dtype != np.float32 else np.float32)
    result = array
    for axis in changed:
        matrix = axis_matrix(grid.shape[axis], target.shape[axis], steps[axis], order=order, antialias=antialias)
        result = _apply(csr_array(matrix, dtype=work), result, axis)
    return _to_dtype(result, array.dtype), target


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


def resample_onto(array: NDArray[Any], grid: Grid, target: Grid, *, fill: float = 0) -> NDArray[Any]:
    """Values of ``array`` at the voxel centres of ``target`` by nearest neighbour, through any two affines; for masks.

    Voxels whose centre lies in no voxel of ``grid`` get ``fill``. Ties go to the higher index. One plane of the target
    at a time: working memory is a few planes. The dtype stays.

    Raises ``ValueError`` when the array does not fit its grid.
    """
    if array.shape != grid.shape:
        raise ValueError("array: its shape is not that of the grid")
    to_source = np.linalg.inv(grid.affine) @ target.affine
    column, row = np.arange(target.shape[2]), np.arange(target.shape[1])[:, None]
    output = np.full(target.shape, fill, dtype=array.dtype)
    for k in range(target.shape[0]):
        inside = np.ones(target.shape[1:], dtype=np.bool_)
        index = []
        for axis, length in enumerate(grid.shape):
            a, b, c, origin = to_source[axis]
            position = (a * k + origin) + b * row + c * column
            inside &= (position > -0.5 - 1e-6) & (position < length - 0.5 + 1e-6)
            index.append(nearest_indices(position, length))
        output[k][inside] = array[index[0][inside], index[1][inside], index[2][inside]]
    return output


def _take_nearest(
    array: NDArray[Any], axes: Sequence[int], shape: tuple[int, int, int], steps: Sequence[float]
) -> NDArray[Any]:
    for axis in axes:
        positions = sample_positions(array.shape[axis], shape[axis], steps[axis])
        array = np.take(array, nearest_indices(positions, array.shape[axis]), axis=axis)
    return np.ascontiguousarray(array)


def _apply(matrix: csr_array, array: NDArray[Any], axis: int) -> NDArray[Any]:
    """Multiply along one axis, block by block, so that no full-size copy in the working dtype is made."""
    shape = list(array.shape)
    shape[axis] = matrix.shape[0]
    output: NDArray[Any] = np.empty(shape, dtype=matrix.dtype)
    across = 1 if axis == 0 else 0  # the axis along which blocks are cut
    plane = array.nbytes // array.itemsize * matrix.dtype.itemsize // array.shape[across]
    thickness = max(1, _BLOCK_BYTES // max(1, plane))
    for start in range(0, array.shape[across], thickness):
        cut: list[slice] = [slice(None)] * 3
        cut[across] = slice(start, start + thickness)
        block = np.moveaxis(array[tuple(cut)], axis, 0)
        flat = np.ascontiguousarray(block, dtype=matrix.dtype).reshape(block.shape[0], -1)
        product = (matrix @ flat).reshape(matrix.shape[0], *block.shape[1:])
        output[tuple(cut)] = np.moveaxis(product, 0, axis)
    return output


def _to_dtype(array: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if not np.issubdtype(dtype, np.integer):
        return array.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    np.rint(array, out=array)
    np.clip(array, limits.min, limits.max, out=array)
    return array.astype(dtype)
