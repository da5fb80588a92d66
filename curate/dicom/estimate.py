"""Bytes that building the volumes of one series needs, from headers alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import dist, prod

import numpy as np

Row = Mapping[str, object]


def estimate_memory(headers: Sequence[Row], *, spacing_mm: Sequence[float | None] | None = None) -> int:
    """Bytes at the peak of building the volumes of one series, from headers alone: never below what is needed.

    The files are held one at a time and the volume whole: 2 bytes a voxel as acquired, as oriented, as float32 for
    the resampling, and the resampled grid in float32, in its own type, encoded, and once more for its overview (a
    quarter of the voxels at most; made, encoded, read back and compared). ``spacing_mm``: target along
    (slice, row, column), None keeps an axis. The interpreter and its libraries come on top.
    """
    if not headers:
        return 0
    acquired = sum(_pixels(row) for row in headers)
    largest = max((_int(row, "size_bytes") or 0 for row in headers), default=0)
    growth = max((_growth(row, spacing_mm) for row in headers), default=1.0)
    item = max((max(16, _int(row, "bits_allocated") or 16) // 8 for row in headers), default=2)
    along_slices = _slice_growth(headers, spacing_mm)
    resampled = int(acquired * growth * along_slices * _lean(headers))
    between = max(acquired, int(acquired * growth), int(acquired * along_slices), resampled)
    return acquired * 2 * item + between * 8 + resampled * (4 + 3 * item) + 4 * largest


def _pixels(row: Row) -> int:
    return (_int(row, "rows") or 0) * (_int(row, "columns") or 0) * max(1, _int(row, "number_of_frames") or 1)


def _growth(row: Row, spacing_mm: Sequence[float | None] | None) -> float:
    """How many times more pixels the plane has at the target spacing."""
    own = _floats(row, "pixel_spacing_mm")
    if spacing_mm is None or len(own) != 2:
        return 1.0
    ratios = [have / want for have, want in zip(own, spacing_mm[1:], strict=True) if want]
    return prod(ratios, start=1.0)


def _lean(headers: Sequence[Row]) -> float:
    """How many times more pixels the plane has when slices that lean (gantry tilt) are set upright in one field."""
    positions = [np.array(_floats(row, "image_position_mm")) for row in headers]
    directions, spacing = _floats(headers[0], "image_orientation"), _floats(headers[0], "pixel_spacing_mm")
    placed = [position for position in positions if position.shape == (3,)]
    sides = _int(headers[0], "columns"), _int(headers[0], "rows")
    if len(placed) < 2 or len(directions) != 6 or len(spacing) != 2 or not all(sides):
        return 1.0
    along = np.reshape(directions, (2, 3)) @ np.transpose(placed)  # (columns, rows) x positions, mm
    spread = np.nan_to_num(np.ptp(along, axis=1))
    field = np.array(sides, float) * (spacing[1], spacing[0])
    return float(np.prod(1 + spread / np.maximum(field, 1e-3)))


def _slice_growth(headers: Sequence[Row], spacing_mm: Sequence[float | None] | None) -> float:
    """How many times more slices there are at the target spacing: from the spread of the positions."""
    positions = [_floats(row, "image_position_mm") for row in headers]
    known = [position for position in positions if len(position) == 3]
    if spacing_mm is None or not spacing_mm[0] or len(known) < 2:
        return 1.0
    spread = dist(*(tuple(pick(axis) for axis in zip(*known, strict=True)) for pick in (min, max)))
    return max(spread / spacing_mm[0] + 1, 1) / len(known)


def _int(row: Row, name: str) -> int | None:
    found = row.get(name)
    return found if isinstance(found, int) else None


def _floats(row: Row, name: str) -> tuple[float, ...]:
    found = row.get(name)
    return tuple(map(float, found)) if isinstance(found, Sequence) and not isinstance(found, str) else ()
