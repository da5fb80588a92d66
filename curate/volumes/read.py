"""Open a stored volume and read all of it, or boxes that may stick out of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.errors import Misconfigured, Quarantined
from curate.geometry.grid import Grid
from curate.reasons import Reason
from curate.storage import CachedStore, NodeCache, get_each, is_url, open_store
from curate.volumes.layout import (
    IMAGE_PATH,
    LABELS_PATH,
    METADATA_KEY,
    OVERVIEW_PATH,
    Description,
    read_attributes,
)
from curate.volumes.shards import Objects, ShardedArray


class StoredVolume:
    """A volume as it lies in a store: what it is, and its voxels on demand.

    Holds metadata and chunk indices, no open files: safe to share between threads, to pickle, and to keep over a fork
    (of an object store: spawn, see ``curate.storage``).
    """

    __slots__ = ("_arrays", "_description", "_level", "_store")

    def __init__(
        self, store: Objects, description: Description, level: str = IMAGE_PATH, metadata: bytes | None = None
    ) -> None:
        """The image's metadata are read unless given, those of masks when they are asked for; raises as ``open_volume``
        does."""
        self._store = store
        self._description = description
        self._level = level
        self._arrays: dict[str | None, ShardedArray] = {}
        self._open(None, level, metadata)

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

    def read(self, out: NDArray[Any] | None = None) -> NDArray[Any]:
        """All voxels (k, j, i); of an object store in one request. ``out`` and errors: as in ``crop``."""
        return self.crop((0, 0, 0), self.shape, out)

    def label(self, name: str) -> NDArray[np.uint8]:
        """The whole mask of that name. Raises ``KeyError`` when the volume has none."""
        return self.crop((0, 0, 0), self.shape, label=name)

    def crop(
        self,
        start: Sequence[int],
        shape: Sequence[int],
        out: NDArray[Any] | None = None,
        *,
        label: str | None = None,
        pad: float = 0,
    ) -> NDArray[Any]:
        """The box of ``shape`` voxels from index ``start`` (k, j, i), of the image or of the mask ``label``.

        ``start`` may be negative and the box may leave the volume or miss it: voxels outside get ``pad``. Only the
        chunks that the box touches are read, without the GIL. ``out``: a writable array of that shape and the stored
        dtype, contiguous or not, which is filled and returned, and nothing of its size is allocated; what it holds is
        undefined when an error is raised.

        Raises ``ValueError`` for a negative shape and an ``out`` that does not fit, ``KeyError`` for an unknown mask,
        ``OverflowError`` for a ``pad`` that the dtype cannot hold, ``Quarantined(VERIFICATION_FAILED)`` when what is
        stored is damaged, ``Unavailable`` when storage refuses.
        """
        array = self._array(label)
        low = [int(n) for n in start]
        size = [int(n) for n in shape]
        if len(low) != 3 or len(size) != 3 or min(size) < 0:
            raise ValueError("crop: expected three start indices and three sizes of 0 or more")
        if out is None:
            output: NDArray[Any] = np.empty(size, array.dtype)
        else:
            output = _checked(out, size, array.dtype)
        first = [min(max(a, 0), n) for a, n in zip(low, self.shape, strict=True)]
        last = [min(max(a + s, b), n) for a, s, b, n in zip(low, size, first, self.shape, strict=True)]
        if [b - a for a, b in zip(first, last, strict=True)] != size:
            output[...] = pad
        k, j, i = (b - a for a, b in zip(low, first, strict=True))
        return array.read((first[0], first[1], first[2]), (last[0], last[1], last[2]), output, (k, j, i))

    def _array(self, label: str | None) -> ShardedArray:
        if label in self._arrays:
            return self._arrays[label]
        if label not in self.label_names:
            raise KeyError(label)
        try:
            return self._open(label, f"{LABELS_PATH}/{label}/{self._level}")
        except (FileNotFoundError, Misconfigured):  # the root says that it is there
            raise Quarantined(Reason.VERIFICATION_FAILED, "a mask cannot be opened") from None

    def _open(self, label: str | None, path: str, metadata: bytes | None = None) -> ShardedArray:
        array = ShardedArray(self._store, path, metadata)
        if array.shape != self.shape:
            raise Misconfigured("volume: an array has another shape than the grid")
        self._arrays[label] = array
        return array


def _checked(out: NDArray[Any], shape: list[int], dtype: np.dtype[Any]) -> NDArray[Any]:
    if list(out.shape) != shape or out.dtype != dtype:
        raise ValueError(f"crop: out is {out.dtype} {out.shape}, the box is {dtype} {tuple(shape)}")
    if not (out.flags.writeable and out.flags.aligned) or any(step % out.itemsize for step in out.strides):
        raise ValueError("crop: out cannot be written, or its voxels do not lie at whole multiples of their size")
    return out


def open_volume(url: str | Path, *, cache: NodeCache | None = None) -> StoredVolume:
    """Open the volume at ``url`` as ``write_volume`` left it: two small requests, made at the same time.

    ``cache``: where to keep whole objects of an object store on this node; worth it from about five crops a volume. Of
    no use for a folder, and not used.

    Raises ``FileNotFoundError`` when there is none, ``Misconfigured`` when it is no volume of ours, ``Unavailable``
    when storage refuses.
    """
    far = open_store(url)
    store = far if cache is None or not is_url(url) else CachedStore(far, cache)
    with contextlib.closing(get_each(store, (METADATA_KEY, f"{IMAGE_PATH}/{METADATA_KEY}"))) as contents:
        _, root_content = next(contents)
        try:
            root = json.loads(root_content)
        except ValueError:
            raise Misconfigured("volume: its metadata is not JSON") from None
        description = read_attributes(root.get("attributes") if isinstance(root, dict) else None)
        _, metadata = next(contents)
    return StoredVolume(store, description, metadata=metadata)
