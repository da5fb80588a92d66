"""From a pixel of a source slice to the patient, to a voxel of a volume, and back: for what a radiologist has drawn.

A pixel is named (slice, column, row): ``slice`` is k of the source, a grid or a placement (uneven or leaning slices);
column and row are continuous and whole numbers are pixel centres (PS3.3 C.7.6.2). All arrays broadcast; points are
(..., 3), and a polygon is an array of points. Voxels of a volume are continuous (k, j, i) of its grid, whatever turned
or resampled it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curate.geometry.grid import Grid, Points
from curate.geometry.onto import resample_onto
from curate.geometry.placement import Placement

Source: TypeAlias = Grid | Placement

_EDGE = 1e-6  # of a pixel, or millimetres: ties go to the higher index and borders belong to the field


@dataclass(frozen=True, slots=True, eq=False)
class SourcePixels:
    """Where points (..., 3) fall on the slices they are nearest to; every array has the shape (...)."""

    slice_index: NDArray[np.intp]  # k of the source grid, always a slice that exists
    column: NDArray[np.float64]
    row: NDArray[np.float64]
    distance_mm: NDArray[np.float64]  # from the plane of that slice, signed along row direction x column direction


@dataclass(frozen=True, slots=True, eq=False)
class SourceBoxes:
    """Boxes (...) on the slices first..last, both included; (column, row) is the corner, width and height in pixels."""

    first_slice: NDArray[np.intp]
    last_slice: NDArray[np.intp]
    column: NDArray[np.float64]
    row: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]


def pixel_to_patient(
    source: Source, slice_index: ArrayLike, column: ArrayLike, row: ArrayLike, distance_mm: ArrayLike = 0.0
) -> Points:
    """(..., 3) LPS millimetres of pixels on slices of ``source``, or of points ``distance_mm`` off their plane.

    Raises ``ValueError`` for a placement's slice that is not one of 0..slices - 1.
    """
    k, c, r, off = np.broadcast_arrays(
        *(np.asarray(value, dtype=np.float64) for value in (slice_index, column, row, distance_mm))
    )
    if isinstance(source, Grid):
        points = source.to_patient(np.stack([k, r, c], axis=-1))
        source = Placement.of(source) if off.any() else source
    else:
        whole = k.astype(np.intp)
        if (whole != k).any() or (k < 0).any() or (k >= source.shape[0]).any():
            raise ValueError("slice_index: no such slice")
        points = source.origins_mm[whole] + r[..., None] * source.down_mm + c[..., None] * source.across_mm
    if isinstance(source, Placement):
        points = points + off[..., None] * source.plane_normal
    return points


def patient_to_pixel(source: Source, points_mm: ArrayLike) -> SourcePixels:
    """Drop points (..., 3), LPS millimetres, perpendicularly onto the nearest slice of ``source``.

    Right for leaning stacks too: distance is measured along the plane normal, and the in-plane place belongs to the
    slice chosen. Of two slices equally near the one with the lower index is taken. ``pixel_to_patient`` of the slice,
    column, row and distance is the point again.
    """
    points = np.asarray(points_mm, dtype=np.float64)
    placement = Placement.of(source) if isinstance(source, Grid) else source
    normal, heights = placement.normal, placement.heights_mm
    height = (points - placement.origins_mm[0]) @ normal
    ties = 1e-9 * float(placement.gaps_mm.min())
    nearest = np.searchsorted((heights[1:] + heights[:-1]) / 2 + ties, height, side="left")
    distance = height - heights[nearest]
    on_plane = points - placement.origins_mm[nearest] - distance[..., None] * normal
    pixel = on_plane @ np.linalg.pinv(np.stack([placement.across_mm, placement.down_mm], axis=1)).T
    sense = float(np.sign(normal @ placement.plane_normal))
    return SourcePixels(np.asarray(nearest, dtype=np.intp), pixel[..., 0], pixel[..., 1], distance * sense)


def pixel_to_index(
    source: Source,
    volume: Grid,
    slice_index: ArrayLike,
    column: ArrayLike,
    row: ArrayLike,
    distance_mm: ArrayLike = 0.0,
) -> NDArray[np.float64]:
    """(..., 3) continuous (k, j, i) of ``volume`` for pixels on slices of ``source``, or ``distance_mm`` off them."""
    return volume.to_index(pixel_to_patient(source, slice_index, column, row, distance_mm))


def index_to_pixel(source: Source, volume: Grid, indices: ArrayLike) -> SourcePixels:
    """The way back: (..., 3) continuous (k, j, i) of ``volume`` to pixels on the nearest slices of ``source``."""
    return patient_to_pixel(source, volume.to_patient(indices))


def box_corners(
    source: Source, slice_index: ArrayLike, column: ArrayLike, row: ArrayLike, width: ArrayLike, height: ArrayLike
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


def box_to_index(
    source: Source,
    volume: Grid,
    slice_index: ArrayLike,
    column: ArrayLike,
    row: ArrayLike,
    width: ArrayLike,
    height: ArrayLike,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest (..., 3) continuous (k, j, i) of ``volume`` among the corners of boxes on slices."""
    corners = volume.to_index(box_corners(source, slice_index, column, row, width, height))
    return corners.min(axis=-2), corners.max(axis=-2)


def index_to_box(source: Source, volume: Grid, low: ArrayLike, high: ArrayLike) -> SourceBoxes:
    """The boxes on the slices of ``source`` around boxes low..high (..., 3) of continuous (k, j, i) of ``volume``."""
    ends = np.stack(np.broadcast_arrays(np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)))
    choice = np.indices((2, 2, 2)).reshape(3, 8)
    corners = np.stack([ends[choice[axis], ..., axis] for axis in range(3)], axis=-1)
    found = index_to_pixel(source, volume, corners)
    column, row = found.column.min(axis=0), found.row.min(axis=0)
    return SourceBoxes(
        found.slice_index.min(axis=0),
        found.slice_index.max(axis=0),
        column,
        row,
        found.column.max(axis=0) - column,
        found.row.max(axis=0) - row,
    )


def mask_to_source(mask: NDArray[Any], volume: Grid, source: Source, *, fill: float = 0) -> NDArray[Any]:
    """(slice, row, column) labels at the pixel centres of ``source``: the nearest voxels of ``mask`` (k, j, i)."""
    if isinstance(source, Grid):
        return resample_onto(mask, volume, source, fill=fill)
    planes = [resample_onto(mask, volume, source.slice_grid(k), fill=fill) for k in range(source.shape[0])]
    return np.concatenate(planes)


def mask_to_volume(mask: NDArray[Any], source: Source, volume: Grid, *, fill: float = 0) -> NDArray[Any]:
    """(k, j, i) labels at the voxel centres of ``volume``: the nearest pixel of ``mask`` (slice, row, column).

    From a placement each centre drops perpendicularly onto its nearest slice; centres outside the field of that slice,
    or further beyond the outermost slices than half a gap, get ``fill``. Raises ``ValueError`` when the mask does not
    fit its source.
    """
    if isinstance(source, Grid):
        return resample_onto(mask, source, volume, fill=fill)
    if mask.shape != source.shape:
        raise ValueError("mask: its shape is not that of the source")
    output = np.full(volume.shape, fill, dtype=mask.dtype)
    j, i = np.indices(volume.shape[1:])
    heights, normal = source.heights_mm, source.normal
    for k in range(volume.shape[0]):
        points = volume.to_patient(np.stack([np.full_like(j, k), j, i], axis=-1))
        found = patient_to_pixel(source, points)
        above = (points - source.origins_mm[0]) @ normal
        is_inside = (above >= -source.gaps_mm[0] / 2 - _EDGE) & (above <= heights[-1] + source.gaps_mm[-1] / 2 + _EDGE)
        row, column = np.floor(found.row + 0.5 + _EDGE), np.floor(found.column + 0.5 + _EDGE)
        is_inside &= (row >= 0) & (row < mask.shape[1]) & (column >= 0) & (column < mask.shape[2])
        at = found.slice_index[is_inside], row[is_inside].astype(np.intp), column[is_inside].astype(np.intp)
        output[k][is_inside] = mask[at]
    return output
