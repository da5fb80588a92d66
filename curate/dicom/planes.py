"""Image planes of one series, and those that could be slices of one stack: one matrix, one orientation.

Positions and orientations alone decide (PS3.3 C.7.6.2): never the file order, SliceLocation, SliceThickness or the
gantry tilt of the header.
"""

from __future__ import annotations

import math
import operator
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

COSINE_TOLERANCE = 1e-3  # per direction cosine: planes of one stack
UNIT_TOLERANCE = 5e-3  # length and perpendicularity of directions: printed with three decimals they are this far off
SPACING_TOLERANCE = 1e-4  # relative, of pixel spacings
_FARTHEST_MM = 1e6


@dataclass(frozen=True, slots=True)
class Slice:
    """One image plane: a single-frame object, or one frame of a multi-frame one.

    ``position_mm``: centre of the first pixel, LPS. ``orientation``: direction in which the column index grows, then
    the row index. ``spacing_mm``: between rows, between columns. ``kind``: what may tell images at one position apart
    (echo time, reconstruction kernel, ...), by name. ``frame`` counts from 0.
    """

    key: str
    position_mm: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    spacing_mm: tuple[float, float]
    rows: int
    columns: int
    instance_number: int | None = None
    thickness_mm: float | None = None
    frame: int = 0
    kind: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector along row direction x column direction, LPS."""
        cross = np.cross(self.orientation[:3], self.orientation[3:])
        normal: NDArray[np.float64] = cross / np.linalg.norm(cross)
        return normal


def why_no_plane(plane: Slice) -> str | None:
    """What is wrong with the numbers of a plane, or None."""
    row, column = plane.orientation[:3], plane.orientation[3:]
    numbers = (*plane.position_mm, *plane.orientation, *plane.spacing_mm)
    if not all(map(math.isfinite, numbers)) or min(plane.spacing_mm) <= 0:
        return "a position, orientation or spacing is not a usable number"
    if max(map(abs, plane.position_mm)) > _FARTHEST_MM:
        return "a position, orientation or spacing is not a usable number"
    slant = abs(sum(map(operator.mul, row, column)))
    if max(abs(math.hypot(*each) - 1) for each in (row, column)) > UNIT_TOLERANCE or slant > UNIT_TOLERANCE:
        return "row and column directions are not perpendicular unit vectors"
    return None


def group_by_matrix(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Slices of one matrix and one pixel spacing each, the largest group first, ties by the smallest key."""
    groups: defaultdict[tuple[int, int], list[list[Slice]]] = defaultdict(list)
    for each in slices:
        for group in groups[each.rows, each.columns]:
            if _is_close(each.spacing_mm, group[0].spacing_mm):
                group.append(each)
                break
        else:
            groups[each.rows, each.columns].append([each])
    found = [group for same in groups.values() for group in same]
    return sorted(found, key=lambda group: (-len(group), min((each.key, each.frame) for each in group)))


def group_by_orientation(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Greedy: a slice joins the first group whose first slice has the same directions within COSINE_TOLERANCE."""
    groups: list[list[Slice]] = []
    for each in slices:
        for group in groups:
            pairs = zip(each.orientation, group[0].orientation, strict=True)
            if each.orientation == group[0].orientation or all(abs(a - b) <= COSINE_TOLERANCE for a, b in pairs):
                group.append(each)
                break
        else:
            groups.append([each])
    return groups


def _is_close(one: Sequence[float], other: Sequence[float]) -> bool:
    return one == other or all(abs(a - b) <= SPACING_TOLERANCE * min(a, b) for a, b in zip(one, other, strict=True))
