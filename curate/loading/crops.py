"""Crops in millimetres: a small lattice laid around a place in the patient, read from a stored volume.

The lattice follows the volume's own axes, permuted and flipped to the order asked for (as ``SPL``), so that a crop
shows the same anatomy the same way round whatever the scanner stored. Values between voxels are interpolated linearly;
a lattice much coarser than the volume is not smoothed first, so choose its spacing near the volume's.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform
from scipy.spatial.transform import Rotation

from curate.geometry import Grid
from curate.volumes import StoredVolume, open_volume

_AXES = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "I": (2, -1), "S": (2, 1)}  # LPS axis, sign

Block = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class CropShape:
    """How large a crop is: voxels and millimetres along its three axes."""

    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]

    @property
    def half_mm(self) -> NDArray[np.float64]:
        """From the centre to the outermost voxel centres, (3,)."""
        half: NDArray[np.float64] = (np.array(self.shape) - 1) / 2 * np.array(self.spacing_mm)
        return half


@dataclass(frozen=True, slots=True)
class CropRequest:
    """One crop to read: which volume, where in it, and which values become -1 and +1.

    ``centre_mm``: LPS. ``axes``: where the crop's three axes point (``SPL``). ``mirrored``: turn left and right round,
    so that both sides of the body look alike. ``is_estimated``: the place comes from other patients, not from a label
    of this one.
    """

    uri: str
    centre_mm: tuple[float, float, float]
    axes: str
    low: float
    high: float
    mirrored: bool = False
    is_estimated: bool = False


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


def block_around(
    grid: Grid, request: CropRequest, shape: CropShape, reach: Augmentation
) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
    """The box of voxels (start, shape) that holds the crop under every jitter within ``reach``."""
    matrix, first = lattice(grid, request, shape, Jitter())
    half = np.abs(matrix) @ ((np.array(shape.shape) - 1) / 2)
    centre = first + matrix @ ((np.array(shape.shape) - 1) / 2)
    diagonal_mm = float(np.linalg.norm(shape.half_mm))
    slack_mm = reach.shift_mm + diagonal_mm * (reach.zoom + 2 * np.sin(np.deg2rad(reach.turn_degrees)))
    half += slack_mm / np.array(grid.spacing_mm)
    low = np.floor(centre - half).astype(int) - 1
    high = np.ceil(centre + half).astype(int) + 2
    size = high - low
    return (int(low[0]), int(low[1]), int(low[2])), (int(size[0]), int(size[1]), int(size[2]))


@dataclass(slots=True)
class CropReader:
    """Reads crops of the volumes below one store or release; keeps opened volumes and the blocks it read last.

    Not safe to share between threads. ``cache_bytes``: how much to keep; 0 keeps nothing.
    """

    root: str
    shape: CropShape
    reach: Augmentation = Augmentation()
    cache_bytes: int = 256 << 20
    _volumes: OrderedDict[str, StoredVolume] = field(default_factory=OrderedDict)
    _blocks: OrderedDict[CropRequest, tuple[tuple[int, int, int], Block]] = field(default_factory=OrderedDict)
    _kept: int = 0

    def read(self, request: CropRequest, jitter: Jitter = Jitter()) -> NDArray[np.float32]:
        """float32 of ``shape.shape`` in [-1, 1]; outside the volume lies ``request.low``.

        Raises ``Unavailable`` when the storage refuses.
        """
        volume = self._open(request.uri)
        start, block = self._block(volume, request)
        matrix, first = lattice(volume.grid, request, self.shape, jitter)
        values = affine_transform(
            block.astype(np.float32),
            matrix,
            first - np.array(start),
            output_shape=self.shape.shape,
            output=np.float32,
            order=1,
            mode="constant",
            cval=request.low,
        )
        return scale(values, request.low, request.high, gain=jitter.gain, offset=jitter.offset)

    def places_mm(self, request: CropRequest, jitter: Jitter, *, stride: int) -> NDArray[np.float64]:
        """Where the cells of a crop lie; see ``places_mm``."""
        return places_mm(self._open(request.uri).grid, request, self.shape, jitter, stride=stride)

    def _open(self, uri: str) -> StoredVolume:
        if uri not in self._volumes:
            self._volumes[uri] = open_volume(f"{self.root.rstrip('/')}/{uri}")
            if len(self._volumes) > 256:
                self._volumes.popitem(last=False)
        return self._volumes[uri]

    def _block(self, volume: StoredVolume, request: CropRequest) -> tuple[tuple[int, int, int], Block]:
        if request in self._blocks:
            self._blocks.move_to_end(request)
            return self._blocks[request]
        start, size = block_around(volume.grid, request, self.shape, self.reach)
        lowest = np.iinfo(volume.dtype).min if np.issubdtype(volume.dtype, np.integer) else request.low
        block = volume.crop(start, size, pad=max(lowest, round(request.low)))
        self._kept += block.nbytes
        self._blocks[request] = start, block
        while self._kept > self.cache_bytes and self._blocks:
            _, (_, oldest) = self._blocks.popitem(last=False)
            self._kept -= oldest.nbytes
        return start, block


def scale(
    values: NDArray[np.float32], low: float, high: float, *, gain: float = 1.0, offset: float = 0.0
) -> NDArray[np.float32]:
    """Map low..high to -1..1, change brightness by gain and offset, and clip; float32, same shape."""
    centred = (values - np.float32((low + high) / 2)) * np.float32(2 * gain / max(high - low, 1e-6)) + np.float32(
        offset
    )
    clipped: NDArray[np.float32] = np.clip(centred, -1, 1)
    return clipped
