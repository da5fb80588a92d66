"""Crops in millimetres: a small lattice laid around a place in the patient. Where it lies; no voxels are read here.

The lattice follows the volume's own axes, permuted and flipped to the order asked for (as ``SPL``), so that a crop
shows the same anatomy the same way round whatever the scanner stored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from curate.geometry import Grid

_AXES = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "I": (2, -1), "S": (2, 1)}  # LPS axis, sign

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class CropShape:
    """How large a crop is: voxels and millimetres along its three axes (D, H, W).

    A 2.5D stack has channels beside: each of its D slices with ``neighbours`` more on both sides, ``neighbour_mm``
    apart, and then with ``mask`` the object's voxels in the mask of that name, as 0 and 1.
    """

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    neighbours: int = 0
    neighbour_mm: float = 1.0
    mask: str | None = None

    @property
    def slices(self) -> int:
        """How many slices of the image are shown for each of D."""
        return 2 * self.neighbours + 1

    @property
    def size(self) -> tuple[int, ...]:
        """Shape of the array that is read: (D, H, W), or (D, channels, H, W) when there is more than one channel."""
        channels = self.slices + (self.mask is not None)
        return self.shape if channels == 1 else (self.shape[0], channels, *self.shape[1:])


@dataclass(frozen=True, slots=True)
class CropRequest:
    """One crop to read: which volume, where in it, and which values become -1 and +1.

    ``centre_mm``: LPS. ``axes``: where the crop's three axes point (``SPL``). ``mirrored``: turn left and right round,
    so that both sides of the body look alike. ``is_estimated``: the place comes from other patients, not from a label
    of this one. ``label``: the value of the object in masks; 0 stands for everything that is labelled. ``region``: the
    centre may be drawn from the box around ``centre_mm`` whose half edges these three LPS vectors (mm) are.
    """

    uri: str
    centre_mm: tuple[float, float, float]
    axes: str
    low: float
    high: float
    mirrored: bool = False
    is_estimated: bool = False
    label: int = 0
    region: tuple[Vector, Vector, Vector] | None = None

    def drawn(self, draws: NDArray[np.float64]) -> CropRequest:
        """The crop at one place of its region, by three numbers in [0, 1); itself when it has none."""
        if self.region is None:
            return self
        centre = np.array(self.centre_mm) + (2 * draws - 1) @ np.array(self.region)
        return replace(self, centre_mm=vector(centre), region=None)


@dataclass(frozen=True, slots=True)
class Jitter:
    """A small random change of where a crop lies. Zero everywhere: the crop as asked for."""

    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    zoom: float = 1.0
    gain: float = 1.0
    offset: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far ``Jitter`` may go, each way. ``mirror``: left and right may change places (where labels have no side)."""

    shift_mm: float = 0.0
    turn_degrees: float = 0.0
    zoom: float = 0.0
    gain: float = 0.0
    offset: float = 0.0
    mirror: bool = False

    DRAWS = 10

    def jitter(self, draws: NDArray[np.float64]) -> Jitter:
        """Turn ``DRAWS`` numbers in [0, 1) into a change; float64 (10,)."""
        way = 2 * draws - 1
        return Jitter(
            shift_mm=(self.shift_mm * way[0], self.shift_mm * way[1], self.shift_mm * way[2]),
            turn_degrees=(self.turn_degrees * way[3], self.turn_degrees * way[4], self.turn_degrees * way[5]),
            zoom=1 + self.zoom * way[6],
            gain=1 + self.gain * way[7],
            offset=self.offset * way[8],
            mirrored=self.mirror and draws[9] < 0.5,
        )


def vector(values: Iterable[float]) -> Vector:
    """Three numbers as plain floats."""
    x, y, z = (float(v) for v in values)
    return x, y, z


def axis_directions(grid: Grid, axes: str) -> NDArray[np.float64]:
    """(3, 3): column n is the LPS unit vector of the grid axis that lies nearest to ``axes[n]``, pointing that way."""
    own = grid.axis_codes
    columns = []
    for code in axes:
        axis, sign = _AXES[code]
        index = next(n for n, letter in enumerate(own) if _AXES[letter][0] == axis)
        columns.append(grid.directions[:, index] * sign * _AXES[own[index]][1])
    return np.stack(columns, axis=1)


def lattice(grid: Grid, request: CropRequest, shape: CropShape, jitter: Jitter) -> tuple[NDArray[np.float64], ...]:
    """Where the crop's voxels lie in the volume: (3, 3) index step along each crop axis, (3,) index of the first."""
    directions = axis_directions(grid, request.axes)
    if request.mirrored != jitter.mirrored:
        side = next(n for n, code in enumerate(request.axes) if code in "LR")
        directions[:, side] = -directions[:, side]
    turn = Rotation.from_euler("xyz", jitter.turn_degrees, degrees=True).as_matrix()
    step_mm = turn @ directions * np.array(shape.spacing_mm) * jitter.zoom
    centre_mm = np.array(request.centre_mm) + np.array(jitter.shift_mm)
    first_mm = centre_mm - step_mm @ ((np.array(shape.shape) - 1) / 2)
    matrix = np.linalg.inv(grid.affine[:3, :3]) @ step_mm
    return matrix, grid.to_index(first_mm)


def places_mm(
    grid: Grid, request: CropRequest, shape: CropShape, jitter: Jitter, *, stride: int
) -> NDArray[np.float64]:
    """(cells, 3) LPS millimetres: middles of the cells, ``stride`` voxels a side, of a crop; in C order."""
    matrix, first = lattice(grid, request, shape, jitter)
    along = [np.arange(n // stride) * stride + (stride - 1) / 2 for n in shape.shape]
    cells = np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, 3)
    return grid.to_patient(first + cells @ matrix.T)


def scale(
    values: NDArray[np.float32], low: float, high: float, *, gain: float = 1.0, offset: float = 0.0
) -> NDArray[np.float32]:
    """Map low..high to -1..1, change brightness by gain and offset, and clip; float32, same shape."""
    centred = (values - np.float32((low + high) / 2)) * np.float32(2 * gain / max(high - low, 1e-6)) + np.float32(
        offset
    )
    clipped: NDArray[np.float32] = np.clip(centred, -1, 1)
    return clipped
