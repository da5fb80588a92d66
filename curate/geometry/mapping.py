"""From a pixel of a source slice to the patient and back, for points and boxes drawn by a radiologist.

A pixel is named (slice, column, row): ``slice`` is k of the source grid; column and row are continuous and whole
numbers are pixel centres (PS3.3 C.7.6.2). All arrays broadcast; points are (..., 3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.geometry.grid import Grid, Points


@dataclass(frozen=True, slots=True, eq=False)
class SourcePixels:
    """Where points (..., 3) fall on the slices they are nearest to; every array has the shape (...)."""

    slice_index: NDArray[np.intp]  # k of the source grid, always a slice that exists
    column: NDArray[np.float64]
    row: NDArray[np.float64]
    distance_mm: NDArray[np.float64]  # from the plane of that slice, signed along row direction x column direction


def pixel_to_patient(source: Grid, slice_index: ArrayLike, column: ArrayLike, row: ArrayLike) -> Points:
    """(..., 3) LPS millimetres of pixels on slices of ``source``."""
    k, c, r = np.broadcast_arrays(*(np.asarray(value, dtype=np.float64) for value in (slice_index, column, row)))
    return source.to_patient(np.stack([k, r, c], axis=-1))


def patient_to_pixel(source: Grid, points_mm: ArrayLike) -> SourcePixels:
    """Drop points (..., 3), LPS millimetres, perpendicularly onto the nearest slice of ``source``.

    Right for sheared stacks too: distance is measured along the plane normal, and the in-plane place belongs to the
    slice chosen. Of two slices equally near the one with the lower index is taken.
    """
    points = np.asarray(points_mm, dtype=np.float64)
    across, down, along = source.affine[:3, 2], source.affine[:3, 1], source.affine[:3, 0]
    normal = np.cross(across, down)
    normal /= np.linalg.norm(normal)
    offset = points - source.affine[:3, 3]
    height = offset @ normal
    pitch = float(along @ normal)
    nearest = np.clip(np.ceil(height / pitch - 0.5 - 1e-9), 0, source.shape[0] - 1)
    distance = height - nearest * pitch
    on_plane = offset - nearest[..., None] * along - distance[..., None] * normal
    pixel = on_plane @ np.linalg.pinv(np.stack([across, down], axis=1)).T
    return SourcePixels(nearest.astype(np.intp), pixel[..., 0], pixel[..., 1], distance)


def pixel_to_index(
    source: Grid, volume: Grid, slice_index: ArrayLike, column: ArrayLike, row: ArrayLike
) -> NDArray[np.float64]:
    """(..., 3) continuous (k, j, i) of ``volume`` for pixels on slices of ``source``."""
    return volume.to_index(pixel_to_patient(source, slice_index, column, row))


def index_to_pixel(source: Grid, volume: Grid, indices: ArrayLike) -> SourcePixels:
    """The way back: (..., 3) continuous (k, j, i) of ``volume`` to pixels on the nearest slices of ``source``."""
    return patient_to_pixel(source, volume.to_patient(indices))


def box_corners(
    source: Grid, slice_index: ArrayLike, column: ArrayLike, row: ArrayLike, width: ArrayLike, height: ArrayLike
) -> Points:
    """(..., 4, 3) LPS millimetres of a box whose upper-left corner is (column, row) and whose size is in pixels.

    Corner order as (row, column): low-low, low-high, high-high, high-low.
    """
    k, c, r, w, h = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (slice_index, column, row, width, height))
    )
    columns = np.stack([c, c + w, c + w, c], axis=-1)
    rows = np.stack([r, r, r + h, r + h], axis=-1)
    return pixel_to_patient(source, k[..., None], columns, rows)
