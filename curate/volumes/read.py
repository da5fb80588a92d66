"""Open a stored volume and read all of it, or boxes that may stick out of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import Misconfigured
from curate.geometry.grid import Grid
from curate.storage import Store, open_store
from curate.volumes.layout import IMAGE_PATH, LABELS_PATH, OVERVIEW_PATH, Description, read_attributes
from curate.volumes.shards import ShardedArray


class StoredVolume:
    """A volume as it lies in a store: what it is, and its voxels on demand.

    Holds metadata and chunk indices, no open files: safe to share between threads, to pickle, and to keep over a fork.
    """

    __slots__ = ("_arrays", "_description", "_store")

    def __init__(self, store: Store, description: Description, level: str = IMAGE_PATH) -> None:
        """Read the metadata of the arrays of one level, on ``description.grid``; raises as ``open_volume`` does."""
        self._store = store
        self._description = description
        self._arrays: dict[str | None, ShardedArray] = {None: ShardedArray(store, level)}  # None: the image
        for name in description.label_names:
            self._arrays[name] = ShardedArray(store, f"{LABELS_PATH}/{name}/{level}")
        if any(array.shape != description.grid.shape for array in self._arrays.values()):
            raise Misconfigured("volume: an array has another shape than the grid")

    @property
    def grid(self) -> Grid:
        return self._description.grid

    @property
    def shape(self) -> tuple[int, int, int]:
        return self._description.grid.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._arrays[None].dtype

    @property
    def modality(self) -> str | None:
        return self._description.modality

    @property
    def units(self) -> str | None:
        """``HU`` or ``stored``."""
        return self._description.units

    @property
    def slice_axis(self) -> int:
        """The array axis along which slices were acquired."""
        return self._description.slice_axis

    @property
    def label_names(self) -> tuple[str, ...]:
        return self._description.label_names

    def overview(self) -> StoredVolume:
        """The coarse level, image and masks: a volume on its own grid. The volume itself when it has none.

        Reads metadata only; raises as ``open_volume`` does.
        """
        coarse = self._description.overview
        if coarse is None:
            return self
        return StoredVolume(self._store, replace(self._description, grid=coarse, overview=None), OVERVIEW_PATH)

    def read(self) -> NDArray[Any]:
        """All voxels (k, j, i), in one request. Raises ``Quarantined(VERIFICATION_FAILED)`` when they are damaged."""
        return self._arrays[None].read((0, 0, 0), self.shape)

    def label(self, name: str) -> NDArray[np.uint8]:
        """The whole mask of that name. Raises ``KeyError`` when the volume has none."""
        mask: NDArray[np.uint8] = self._arrays[name].read((0, 0, 0), self.shape)
        return mask

    def crop(
        self, start: Sequence[int], shape: Sequence[int], *, label: str | None = None, pad: float = 0
    ) -> NDArray[Any]:
        """The box of ``shape`` voxels from index ``start`` (k, j, i), of the image or of the mask ``label``.

        ``start`` may be negative and the box may leave the volume or miss it: voxels outside get ``pad``. Only the
        chunks that the box touches are read. Raises ``ValueError`` for a negative shape, ``KeyError`` for an unknown
        mask.
        """
        array = self._arrays[label]
        low = [int(n) for n in start]
        size = [int(n) for n in shape]
        if len(low) != 3 or len(size) != 3 or min(size) < 0:
            raise ValueError("crop: expected three start indices and three sizes of 0 or more")
        first = [min(max(a, 0), n) for a, n in zip(low, self.shape, strict=True)]
        last = [min(max(a + s, b), n) for a, s, b, n in zip(low, size, first, self.shape, strict=True)]
        found = array.read((first[0], first[1], first[2]), (last[0], last[1], last[2]))
        if list(found.shape) == size:
            return found
        output = np.full(size, pad, dtype=array.dtype)
        place = tuple(slice(b - a, b - a + n) for a, b, n in zip(low, first, found.shape, strict=True))
        if found.size:
            output[place] = found
        return output


def open_volume(url: str | Path) -> StoredVolume:
    """Open the volume at ``url`` as ``write_volume`` left it; reads metadata only.

    Raises ``FileNotFoundError`` when there is none, ``Misconfigured`` when it is no volume of ours, ``Unavailable``
    when storage refuses.
    """
    store = open_store(url)
    try:
        root = json.loads(store.get("zarr.json"))
    except ValueError:
        raise Misconfigured("volume: its metadata is not JSON") from None
    description = read_attributes(root.get("attributes") if isinstance(root, dict) else None)
    return StoredVolume(store, description)
