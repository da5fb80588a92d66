"""A coarse look at a whole volume, or at a part of it: what a locator reads.

A view is a lattice in millimetres of a fixed shape, its axes pointing where asked (``SPL``), in the patient wherever it
was laid; so every study gives the same number of voxels, whatever the scanner stored. Axes that shrink are smoothed
first (``curate.geometry.resample``); the stored overview is read where it is fine enough.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from curate.geometry import Grid
from curate.geometry.resample import resample
from curate.loading.crops import CropRequest, CropShape, Jitter, lattice, scale
from curate.loading.reader import Open
from curate.volumes import StoredVolume, open_volume

_STILL = Jitter()


@dataclass(frozen=True, slots=True)
class View:
    """float32 ``values`` (D, H, W) in [-1, 1], and where they lie: ``grid`` maps (d, h, w, 1) to LPS millimetres.

    ``labels``: uint8 (D, H, W), the mask on the same lattice, 0 outside; None without one.
    """

    values: NDArray[np.float32]
    grid: Grid
    labels: NDArray[np.uint8] | None = None


class ViewReader:
    """Reads views of volumes below one store or release; keeps what it read last, already coarse.

    Safe to share between threads, and to pickle. ``cache_bytes``: how much to keep. ``open_url``: how volumes are
    opened.
    """

    def __init__(
        self, root: str, shape: CropShape, *, cache_bytes: int = 256 << 20, open_url: Open = open_volume
    ) -> None:
        self.root, self.shape, self.cache_bytes, self.open_url = root, shape, cache_bytes, open_url
        self._kept: OrderedDict[tuple[str, str | None], list[tuple[NDArray[Any], Grid]]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(ViewReader, cache_bytes=self.cache_bytes, open_url=self.open_url), (self.root, self.shape)

    def read(self, request: CropRequest, jitter: Jitter = _STILL, *, label: str | None = None) -> View:
        """The lattice of ``shape`` around ``request.centre_mm``. ``label``: the mask to sample beside it.

        Raises ``Unavailable`` when the storage refuses, ``KeyError`` when the volume has no such mask.
        """
        (image, grid), *masks = self._coarse(request.uri, label)
        target = lattice_grid(grid, request, self.shape, jitter)
        values = sample_onto(image.astype(np.float32), grid, target, outside=request.low)
        labels = None
        for mask, own in masks:
            labels = sample_onto(mask, own, target, order=0)
        seen = scale(values, request.low, request.high, gain=jitter.gain, offset=jitter.offset)
        return View(seen, target, labels)

    def _coarse(self, uri: str, label: str | None) -> list[tuple[NDArray[Any], Grid]]:
        key = uri, label
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        found = _read_coarse(self.open_url(f"{self.root.rstrip('/')}/{uri}"), min(self.shape.spacing_mm), label)
        with self._lock:
            self._bytes += sum(array.nbytes for array, _ in found)
            self._bytes -= sum(array.nbytes for array, _ in self._kept.pop(key, ()))  # another thread was faster
            self._kept[key] = found
            while self._bytes > self.cache_bytes and len(self._kept) > 1:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= sum(array.nbytes for array, _ in oldest)
        return found


def lattice_grid(grid: Grid, request: CropRequest, shape: CropShape, jitter: Jitter) -> Grid:
    """Where the voxels of a crop or view of ``grid`` lie, as a grid of their own."""
    matrix, first = lattice(grid, request, shape, jitter)
    affine = np.eye(4)
    affine[:3, :3] = grid.affine[:3, :3] @ matrix
    affine[:3, 3] = grid.to_patient(first)
    return Grid(shape.shape, affine)


def sample_onto(values: NDArray[Any], grid: Grid, target: Grid, *, order: int = 1, outside: float = 0) -> NDArray[Any]:
    """``values`` on ``grid`` at the voxels of ``target``, linearly (order 1) or nearest (0); ``target.shape``."""
    matrix = np.linalg.solve(grid.affine[:3, :3], target.affine[:3, :3])
    result: NDArray[Any] = affine_transform(
        values,
        matrix,
        grid.to_index(target.affine[:3, 3]),
        output_shape=target.shape,
        output=values.dtype,
        order=order,
        mode="constant",
        cval=outside,
    )
    return result


def _read_coarse(volume: StoredVolume, spacing_mm: float, label: str | None) -> list[tuple[NDArray[Any], Grid]]:
    """The image and, if asked for, the mask at about ``spacing_mm``: axes that are coarser stay as they are."""
    overview = volume.overview()
    level = overview if max(overview.grid.spacing_mm) <= spacing_mm else volume
    wanted: Sequence[float | None] = [spacing_mm if own < spacing_mm else None for own in level.grid.spacing_mm]
    read = [resample(level.read(), level.grid, wanted)]
    if label is not None:
        read.append(resample(level.label(label), level.grid, wanted, order=0))
    return read
