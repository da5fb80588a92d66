"""Where the slices of a stack lie when no single affine says it: uneven gaps, gantry tilt, positions that wander."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import Misconfigured
from curate.geometry.grid import Grid, Points
from curate.geometry.weights import output_length

_EVEN_MM = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Parallel slices of one matrix, (slice, row, column), each at its own ImagePositionPatient (PS3.3 C.7.6.2).

    ``origins_mm`` (slices, 3): centre of the first pixel of every slice, LPS. ``down_mm``, ``across_mm`` (3,): from a
    pixel to the one in the next row, in the next column. ``thickness_mm`` stands for the gap when there is one slice.
    Arrays are float64 and read-only. Raises ``ValueError`` for numbers that are not finite, rows along columns, or
    slices that do not follow each other strictly along the normal, in one sense or the other.
    """

    shape: tuple[int, int, int]
    origins_mm: Points
    down_mm: Points
    across_mm: Points
    thickness_mm: float = 1.0

    def __post_init__(self) -> None:
        for name, size in (("origins_mm", (self.shape[0], 3)), ("down_mm", (3,)), ("across_mm", (3,))):
            array = np.array(getattr(self, name), dtype=np.float64)
            if array.shape != size or not np.isfinite(array).all():
                raise ValueError(f"{name}: expected finite numbers, one position a slice or three of a vector")
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if min(self.shape) < 1 or not (np.isfinite(self.thickness_mm) and self.thickness_mm > 0):
            raise ValueError("shape and thickness: expected positive numbers")
        if np.linalg.norm(np.cross(self.across_mm, self.down_mm)) < 1e-12:
            raise ValueError("rows and columns: they lie along one line")
        if (np.diff(self.heights_mm) <= 0).any():
            raise ValueError("slices: they do not follow each other along the normal")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Placement) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash(self._content())

    def _content(self) -> tuple[object, ...]:
        arrays = (self.origins_mm, self.down_mm, self.across_mm)
        return (self.shape, self.thickness_mm, *(array.tobytes() for array in arrays))

    @staticmethod
    def of(grid: Grid) -> Placement:
        """The same slices, along axis 0, with every position written out; a sheared affine is a tilt."""
        origins = grid.affine[:3, 3] + np.arange(grid.shape[0])[:, None] * grid.affine[:3, 0]
        down, across = grid.affine[:3, 1], grid.affine[:3, 2]
        plane = np.cross(across, down)
        gap = abs(float(grid.affine[:3, 0] @ plane / np.linalg.norm(plane)))
        return Placement(grid.shape, origins, down, across, gap)

    @property
    def plane_normal(self) -> NDArray[np.float64]:
        """(3,) unit vector along row direction x column direction."""
        cross = np.cross(self.across_mm, self.down_mm)
        normal: NDArray[np.float64] = cross / np.linalg.norm(cross)
        return normal

    @property
    def normal(self) -> NDArray[np.float64]:
        """(3,) unit vector across the planes, in the sense in which the slices follow each other."""
        normal = self.plane_normal
        runs_back = float((self.origins_mm[-1] - self.origins_mm[0]) @ normal) < 0
        return -normal if runs_back else normal

    @property
    def heights_mm(self) -> NDArray[np.float64]:
        """(slices,) distance of every plane from the first along ``normal``."""
        heights: NDArray[np.float64] = (self.origins_mm - self.origins_mm[0]) @ self.normal
        return heights

    @property
    def gaps_mm(self) -> NDArray[np.float64]:
        """(slices - 1,) distances between neighbouring planes, or the thickness alone."""
        return np.diff(self.heights_mm) if self.shape[0] > 1 else np.array([self.thickness_mm])

    @property
    def drift(self) -> NDArray[np.float64]:
        """(slices, 2) rows and columns by which each slice lies off the perpendicular through the first one."""
        sideways = self.origins_mm - self.origins_mm[0] - self.heights_mm[:, None] * self.normal
        pixels: NDArray[np.float64] = sideways @ np.linalg.pinv(np.stack([self.down_mm, self.across_mm], axis=1)).T
        return pixels

    @property
    def is_even(self) -> bool:
        """Whether all gaps are the same to a millionth of a millimetre."""
        return bool(np.ptp(self.gaps_mm) <= _EVEN_MM)

    def slice_grid(self, k: int) -> Grid:
        """The grid (1, rows, columns) of one slice."""
        affine = np.eye(4)
        affine[:3, :] = np.stack(
            [self.normal * self.thickness_mm, self.down_mm, self.across_mm, self.origins_mm[k]], axis=1
        )
        return Grid((1, self.shape[1], self.shape[2]), affine)


@dataclass(frozen=True, slots=True, eq=False)
class Straight:
    """A regular upright grid around a placement, and its sample places in terms of the slices.

    ``heights_mm`` (k,): above the first slice, along ``Placement.normal``. ``rows`` (j,), ``columns`` (i,): continuous
    indices of the first slice. ``steps``: output over input spacing along j and i.
    """

    grid: Grid
    heights_mm: NDArray[np.float64]
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    steps: tuple[float, float]


def straighten(placement: Placement, spacing_mm: Sequence[float | None]) -> Straight:
    """The regular grid, k along the normal, that holds every pixel of every slice, at ``spacing_mm`` along (k, j, i).

    ``None`` keeps the pixel spacing, or takes the median gap. The extent along k goes half a gap beyond the outer
    slices; sizes round as in ``resampled_grid``, which is what an even and upright stack gets. Raises ``Misconfigured``
    for a spacing that is not positive.
    """
    if len(spacing_mm) != 3 or not all(t is None or (np.isfinite(t) and t > 0) for t in spacing_mm):
        raise Misconfigured("spacing: expected three positive numbers of millimetres, or none to keep an axis")
    heights, gaps, drift = placement.heights_mm, placement.gaps_mm, placement.drift
    step_k = float(np.median(gaps)) if spacing_mm[0] is None else float(spacing_mm[0])
    bottom, top = float(-gaps[0] / 2), float(heights[-1] + gaps[-1] / 2)
    k_places = _spread(bottom, top, output_length(1, top - bottom, step_k), step_k)
    places, steps, columns = [], [], [placement.normal * step_k]
    for axis, vector in enumerate((placement.down_mm, placement.across_mm)):
        size, wanted = float(np.linalg.norm(vector)), spacing_mm[1 + axis]
        step = 1.0 if wanted is None else float(wanted) / size
        low = float(drift[:, axis].min()) - 0.5
        high = float(drift[:, axis].max()) + placement.shape[1 + axis] - 0.5
        places.append(_spread(low, high, output_length(1, high - low, step), step))
        steps.append(step)
        columns.append(vector * step)
    affine = np.eye(4)
    affine[:3, :3] = np.stack(columns, axis=1)
    affine[:3, 3] = placement.origins_mm[0] + placement.normal * k_places[0]
    affine[:3, 3] += placement.down_mm * places[0][0] + placement.across_mm * places[1][0]
    grid = Grid((len(k_places), len(places[0]), len(places[1])), affine)
    return Straight(grid, k_places, places[0], places[1], (steps[0], steps[1]))


def _spread(low: float, high: float, count: int, step: float) -> NDArray[np.float64]:
    """``count`` places ``step`` apart about the middle of low..high."""
    centred = np.arange(count, dtype=np.float64) - (count - 1) / 2
    places: NDArray[np.float64] = centred * step + (low + high) / 2
    return places
