"""Crops read from stored volumes: the voxels around a lattice, interpolated and scaled in one pass.

Values between voxels are interpolated linearly; a lattice much coarser than the volume is not smoothed first, so choose
its spacing near the volume's.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.geometry import Grid
from curate.loading.crops import CropRequest, CropShape, Jitter, lattice, places_mm
from curate.loading.interpolate import sample_linear, sample_nearest
from curate.volumes import StoredVolume, open_volume

Triple = tuple[int, int, int]
Open = Callable[[str], StoredVolume]

AS_ASKED = Jitter()

_OPEN = 256  # volumes whose metadata and chunk indices are kept
_MARGIN = 1e-3  # voxels; far more than rounding can move a lattice


class CropReader:
    """Reads crops of one shape out of the volumes below a store or release. Keeps volumes open, but no voxels.

    Safe to share between threads, to pickle and to keep over a fork: volumes are opened when they are first needed, and
    again in a process that has inherited them. ``open_url``: how, ``curate.volumes.open_volume`` by default.
    """

    def __init__(self, root: str, shape: CropShape, *, open_url: Open = open_volume) -> None:
        self._root = root.rstrip("/")
        self._shape = shape
        self._open_url = open_url
        self._forget()

    def __getstate__(self) -> dict[str, Any]:
        return {"_root": self._root, "_shape": self._shape, "_open_url": self._open_url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    def read(
        self, request: CropRequest, jitter: Jitter = AS_ASKED, *, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """float32 of ``shape.size``: the image in [-1, 1], a mask's channel 0 or 1; into ``out`` when it is given.

        Outside the volume lies ``request.low``; a volume without the mask has none of the object. Raises
        ``Unavailable`` when the storage refuses.
        """
        shape, volume = self._shape, self.open(request.uri)
        output = np.empty(shape.size, np.float32) if out is None else out
        stack = output.reshape(shape.shape[0], -1, *shape.shape[1:])
        image = stack if shape.mask is None else np.empty((len(stack), shape.slices, *stack.shape[2:]), np.float32)
        matrix, first = _stack_lattice(volume.grid, request, shape, jitter)
        start, size = box_around(matrix, first, image.shape)
        whole = np.issubdtype(volume.dtype, np.integer)
        pad = max(np.iinfo(volume.dtype).min, round(request.low)) if whole else request.low
        slope = 2 * jitter.gain / max(request.high - request.low, 1e-6)
        shift = jitter.offset - slope * (request.low + request.high) / 2
        sample_linear(volume.crop(start, size, pad=pad), matrix, first - start, image, slope=slope, shift=shift)
        if shape.mask is not None:
            stack[:, :-1] = image
            found = self.read_mask(request, jitter, name=shape.mask)
            stack[:, -1] = found == request.label if request.label else found > 0
        return output

    def read_mask(self, request: CropRequest, jitter: Jitter = AS_ASKED, *, name: str) -> NDArray[np.uint8]:
        """uint8 (D, H, W): labels of the mask at the crop's voxels, the nearest; 0 outside and where there is none."""
        shape, volume = self._shape, self.open(request.uri)
        output: NDArray[np.uint8] = np.zeros(shape.shape, np.uint8)
        if name in volume.label_names:
            stack = output[:, None]
            matrix, first = _stack_lattice(volume.grid, request, shape, jitter)
            first = first + matrix[:, 1] * shape.neighbours  # the middle one
            start, size = box_around(matrix, first, stack.shape)
            sample_nearest(volume.crop(start, size, label=name), matrix, first - start, stack)
        return output

    def places_mm(self, request: CropRequest, jitter: Jitter = AS_ASKED, *, stride: int) -> NDArray[np.float64]:
        """Where the cells of a crop lie; see ``curate.loading.crops.places_mm``."""
        return places_mm(self.open(request.uri).grid, request, self._shape, jitter, stride=stride)

    def open(self, uri: str) -> StoredVolume:
        """The volume at ``uri``, relative to the root; raises as ``open_volume`` does."""
        if self._process != os.getpid():
            self._forget()  # sockets and locks of another process are of no use here
        with self._lock:
            if uri in self._volumes:
                self._volumes.move_to_end(uri)
                return self._volumes[uri]
        volume = self._open_url(f"{self._root}/{uri}")
        with self._lock:
            self._volumes[uri] = volume
            if len(self._volumes) > _OPEN:
                self._volumes.popitem(last=False)
        return volume

    def _forget(self) -> None:
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._volumes: OrderedDict[str, StoredVolume] = OrderedDict()


def box_around(
    matrix: NDArray[np.float64], first: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[Triple, Triple]:
    """The box of voxels (start, shape) that holds a lattice and the neighbours of each of its places."""
    across = matrix * (np.array(shape) - 1)
    low, high = first + np.minimum(across, 0).sum(axis=1), first + np.maximum(across, 0).sum(axis=1)
    start = np.floor(low - _MARGIN).astype(int)
    size = np.floor(high + _MARGIN).astype(int) + 2 - start
    return (int(start[0]), int(start[1]), int(start[2])), (int(size[0]), int(size[1]), int(size[2]))


def _stack_lattice(
    grid: Grid, request: CropRequest, shape: CropShape, jitter: Jitter
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """As ``lattice``, with a second axis for the neighbours of each slice: (3, 4) index steps, (3,) the first."""
    matrix, first = lattice(grid, request, shape, jitter)
    step = matrix[:, 0] * (shape.neighbour_mm / shape.spacing_mm[0])
    return np.insert(matrix, 1, step, axis=1), first - step * shape.neighbours
