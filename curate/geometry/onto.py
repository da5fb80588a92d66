"""Masks from one grid to another, through any two affines: the nearest voxel, or the label that fills most of one."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from curate.compiled import compiled, warms_up
from curate.errors import Misconfigured
from curate.geometry.grid import Grid
from curate.geometry.separable import as_stored, pick
from curate.geometry.weights import nearest_indices

_HALF = 0.5 + 1e-6  # as in curate.geometry.weights: ties go to the higher index
_STRAIGHT = 1e-7  # voxels that an axis may drift sideways over its whole length and still run along another
_MOST_SAMPLES = 16  # a voxel and axis that a majority asks for

Rule = Literal["nearest", "majority"]


def resample_onto(
    array: NDArray[Any], grid: Grid, target: Grid, *, fill: float = 0, rule: Rule = "nearest"
) -> NDArray[Any]:
    """Values of ``array`` (k, j, i) at the voxel centres of ``target``, through any two affines; for masks.

    ``nearest``: the voxel of ``grid`` whose centre is nearest along its axes; ties go to the higher index.
    ``majority``, for targets with larger voxels: the value found most often at evenly spaced points of the target
    voxel, as many along each axis as voxels of ``grid`` fit in (16 at most); of equals the one at the centre, else the
    lowest. Voxels whose centre lies in no voxel of ``grid`` get ``fill``; points outside have no say. The dtype stays.

    Raises ``ValueError`` when the array does not fit its grid, ``Misconfigured`` for another rule.
    """
    if array.shape != grid.shape:
        raise ValueError("array: its shape is not that of the grid")
    if rule not in ("nearest", "majority"):
        raise Misconfigured("rule: expected 'nearest' or 'majority'")
    straight = _straight_axes(array.shape, grid, target) if rule == "nearest" else None
    if straight is not None:
        axes, indices = straight
        return pick(array.transpose(axes), indices, fill)
    stored = as_stored(array)
    matrix = (np.linalg.inv(grid.affine) @ target.affine)[:3]
    order = list(stored.axes)
    matrix = matrix[order]
    for axis, flip in enumerate(stored.flips):
        if flip:
            matrix[axis] *= -1
            matrix[axis, 3] += stored.array.shape[axis] - 1
    # a tie is broken towards the higher index of the array as given, whichever way its memory runs
    halves = np.array([1 - _HALF if flip else _HALF for flip in stored.flips])
    output = np.empty(target.shape, stored.array.dtype)
    value = output.dtype.type(fill)
    if rule == "nearest":
        _nearest(stored.array, matrix, halves, value, output)
    else:
        counts = np.array([_samples(matrix[:, axis]) for axis in range(3)])
        _majority(stored.array, matrix, halves, counts, value, output)
    return output


def _straight_axes(
    shape: tuple[int, ...], grid: Grid, target: Grid
) -> tuple[list[int], list[NDArray[np.int64]]] | None:
    """For grids whose axes run alike: the axis of ``grid`` along each axis of ``target``, and its nearest indices."""
    matrix = (np.linalg.inv(grid.affine) @ target.affine)[:3]
    axes = [int(axis) for axis in np.argmax(np.abs(matrix[:, :3]), axis=0)]
    drift = np.abs(matrix[:, :3]) * np.array(target.shape)
    drift[axes, range(3)] = 0
    if sorted(axes) != [0, 1, 2] or drift.max() > _STRAIGHT:
        return None
    indices = []
    for n, axis in enumerate(axes):
        position = matrix[axis, 3] + matrix[axis, n] * np.arange(target.shape[n])
        is_inside = (position > -_HALF) & (position < shape[axis] - 1 + _HALF)
        nearest = np.where(is_inside, nearest_indices(position, shape[axis]), -1)
        indices.append(nearest if n == 0 else nearest[None])
    return axes, indices


def _samples(column: NDArray[np.float64]) -> int:
    """Points along one axis of a target voxel: so many that no source voxel along it is passed over."""
    return max(1, min(_MOST_SAMPLES, math.ceil(float(np.abs(column).max()) - 1e-6)))


@compiled
def _is_inside(position: float, length: int) -> bool:
    return -_HALF < position < length - 1 + _HALF


@compiled
def _index(position: float, half: float, length: int) -> int:
    return min(max(int(np.floor(position + half)), 0), length - 1)


@compiled
def _nearest(source: Any, matrix: Any, halves: Any, fill: Any, output: Any) -> None:
    n0, n1, n2 = source.shape
    h0, h1, h2 = halves[0], halves[1], halves[2]
    c0, c1, c2 = matrix[0, 2], matrix[1, 2], matrix[2, 2]
    for k in range(output.shape[0]):
        for j in range(output.shape[1]):
            r0 = matrix[0, 0] * k + matrix[0, 3] + matrix[0, 1] * j
            r1 = matrix[1, 0] * k + matrix[1, 3] + matrix[1, 1] * j
            r2 = matrix[2, 0] * k + matrix[2, 3] + matrix[2, 1] * j
            row = output[k, j]
            for i in range(row.size):
                p0, p1, p2 = r0 + c0 * i, r1 + c1 * i, r2 + c2 * i
                if _is_inside(p0, n0) and _is_inside(p1, n1) and _is_inside(p2, n2):
                    row[i] = source[_index(p0, h0, n0), _index(p1, h1, n1), _index(p2, h2, n2)]
                else:
                    row[i] = fill


@compiled
def _majority(source: Any, matrix: Any, halves: Any, counts: Any, fill: Any, output: Any) -> None:
    n0, n1, n2 = source.shape
    h0, h1, h2 = halves[0], halves[1], halves[2]
    total = counts[0] * counts[1] * counts[2]
    offsets = np.empty((total, 3), np.float64)
    for n in range(total):
        a = (n // (counts[1] * counts[2]) + 0.5) / counts[0] - 0.5
        b = (n // counts[2] % counts[1] + 0.5) / counts[1] - 0.5
        c = (n % counts[2] + 0.5) / counts[2] - 0.5
        for axis in range(3):
            offsets[n, axis] = matrix[axis, 0] * a + matrix[axis, 1] * b + matrix[axis, 2] * c
    labels, votes = np.empty(total, source.dtype), np.empty(total, np.int64)
    for k in range(output.shape[0]):
        for j in range(output.shape[1]):
            for i in range(output.shape[2]):
                p0 = matrix[0, 0] * k + matrix[0, 3] + matrix[0, 1] * j + matrix[0, 2] * i
                p1 = matrix[1, 0] * k + matrix[1, 3] + matrix[1, 1] * j + matrix[1, 2] * i
                p2 = matrix[2, 0] * k + matrix[2, 3] + matrix[2, 1] * j + matrix[2, 2] * i
                if not (_is_inside(p0, n0) and _is_inside(p1, n1) and _is_inside(p2, n2)):
                    output[k, j, i] = fill
                    continue
                found = 0
                for n in range(total):
                    q0, q1, q2 = p0 + offsets[n, 0], p1 + offsets[n, 1], p2 + offsets[n, 2]
                    if not (_is_inside(q0, n0) and _is_inside(q1, n1) and _is_inside(q2, n2)):
                        continue
                    label = source[_index(q0, h0, n0), _index(q1, h1, n1), _index(q2, h2, n2)]
                    place = 0
                    while place < found and labels[place] != label:
                        place += 1
                    if place == found:
                        labels[found], votes[found] = label, 0
                        found += 1
                    votes[place] += 1
                best = source[_index(p0, h0, n0), _index(p1, h1, n1), _index(p2, h2, n2)]
                most = 0
                for n in range(found):
                    if labels[n] == best:
                        most = votes[n]
                centre = best
                for n in range(found):
                    is_lower = votes[n] == most and best != centre and labels[n] < best
                    if votes[n] > most or is_lower:
                        best, most = labels[n], votes[n]
                output[k, j, i] = best


@warms_up
def _warm() -> None:
    """Masks; other types compile where they are first met."""
    halves, counts, source = np.full(3, _HALF), np.ones(3, np.int64), np.zeros((1, 1, 1), np.uint8)
    _nearest(source, np.eye(4)[:3], halves, np.uint8(0), source.copy())
    _majority(source, np.eye(4)[:3], halves, counts, np.uint8(0), source.copy())
