"""Write one volume as OME-Zarr 0.5: same voxels, same bytes.

Everything is encoded in memory by zarr-python in one complete write a shard (partial shard writes can lose chunks:
zarr-python issue 3682) and then published create-if-absent, the root's metadata last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from curate.errors import Misconfigured
from curate.geometry.grid import Grid
from curate.storage import Store, open_store, sha256_bytes
from curate.volumes.layout import (
    DIMENSION_NAMES,
    DTYPES,
    IMAGE_PATH,
    LABELS_PATH,
    OVERVIEW_PATH,
    SHARD_KEY,
    Chunking,
    Description,
    choose_chunking,
    image_attributes,
    label_attributes,
    labels_attributes,
)
from curate.volumes.overview import make_overview, overview_grid
from curate.volumes.statistics import Statistics, measure

if TYPE_CHECKING:
    import zarr
    from zarr.core.buffer import Buffer

_ROOT = "zarr.json"
_LEVEL = 5
# one CPU is what a task has; and the JSON must not follow a user's settings
_ZARR_CONFIG = {"threading.max_workers": 1, "async.concurrency": 1, "json_indent": 2}


@dataclass(frozen=True, slots=True)
class WrittenObject:
    """One object of a volume; ``key`` is relative to the volume's URL."""

    key: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class WrittenVolume:
    """What was written; objects sorted by key."""

    uri: str
    objects: tuple[WrittenObject, ...]
    sha256: str  # of the shard that holds the voxels
    size: int  # bytes of all objects
    shape: tuple[int, int, int]
    dtype: str
    statistics: Statistics


def write_volume(
    url: str | Path,
    array: NDArray[Any],
    grid: Grid,
    *,
    modality: str | None = None,
    units: str | None = None,
    slice_axis: int = 0,
    labels: Mapping[str, NDArray[np.uint8]] | None = None,
) -> WrittenVolume:
    """Publish ``array`` (k, j, i) on ``grid`` and its masks (uint8, same shape, by name) as the volume at ``url``.

    ``url`` names the volume itself (``.../0.zarr``). ``units``: ``HU`` or ``stored``. ``slice_axis``: the array axis
    along which slices were acquired; it decides how the array is cut. A volume of 64 voxels or more along an axis gets
    an overview too, image and masks (``curate.volumes.overview``).

    Raises ``ValueError`` when array, masks and grid do not fit each other, the dtype is not one of ``layout.DTYPES`` or
    a value is not finite; ``Misconfigured`` when other bytes are there already; ``Unavailable`` when storage refuses.
    """
    masks = dict(sorted((labels or {}).items()))
    _check(array, grid, slice_axis, masks)
    statistics = measure(array)
    description = Description(grid, modality, units, slice_axis, tuple(masks), overview_grid(grid))
    encoded = _encode(array, description, masks)
    store = open_store(url)
    for key in sorted(encoded, key=_publishing_order):
        _publish(store, key, encoded[key])
    objects = tuple(WrittenObject(key, sha256_bytes(content), len(content)) for key, content in sorted(encoded.items()))
    shard = next(entry for entry in objects if entry.key == f"{IMAGE_PATH}/{SHARD_KEY}")
    size = sum(entry.size for entry in objects)
    return WrittenVolume(str(url), objects, shard.sha256, size, grid.shape, array.dtype.name, statistics)


def _check(array: NDArray[Any], grid: Grid, slice_axis: int, masks: Mapping[str, NDArray[np.uint8]]) -> None:
    if array.shape != grid.shape:
        raise ValueError("array: its shape is not that of the grid")
    if array.dtype.name not in DTYPES:
        raise ValueError(f"array: expected one of {', '.join(DTYPES)}")
    if slice_axis not in (0, 1, 2):
        raise ValueError("slice_axis: expected 0, 1 or 2")
    for name, mask in masks.items():
        if not name.isidentifier():
            raise ValueError("labels: a name is letters, digits and underscores")
        if mask.shape != grid.shape or mask.dtype != np.uint8:
            raise ValueError(f"labels: '{name}' is not uint8 of the shape of the grid")


def _encode(array: NDArray[Any], description: Description, masks: Mapping[str, NDArray[np.uint8]]) -> dict[str, bytes]:
    import zarr  # half a second that readers of volumes do not pay
    from zarr.storage import MemoryStore

    buffers: dict[str, Buffer] = {}
    store = MemoryStore(buffers)
    with zarr.config.set(_ZARR_CONFIG):
        root = zarr.create_group(store, attributes=cast(Any, image_attributes(description)))
        _encode_levels(root, array, description)
        if masks:
            group = root.create_group(LABELS_PATH, attributes=cast(Any, labels_attributes(tuple(masks))))
            for name, mask in masks.items():
                label = group.create_group(name, attributes=cast(Any, label_attributes(description)))
                _encode_levels(label, mask, description, is_mask=True)
    return {key: buffer.to_bytes() for key, buffer in buffers.items()}


def _encode_levels(group: zarr.Group, array: NDArray[Any], description: Description, *, is_mask: bool = False) -> None:
    _encode_array(group, IMAGE_PATH, array, choose_chunking(description.grid, description.slice_axis))
    if description.overview is not None:
        overview = make_overview(array, description.grid, is_mask=is_mask)
        _encode_array(group, OVERVIEW_PATH, overview, choose_chunking(description.overview, description.slice_axis))


def _encode_array(group: zarr.Group, path: str, array: NDArray[Any], chunking: Chunking) -> None:
    from zarr.codecs import BloscCodec

    native = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
    codec = BloscCodec(
        typesize=native.dtype.itemsize,
        cname="lz4hc",
        clevel=_LEVEL,
        shuffle=chunking.shuffle,
    )
    stored = group.create_array(
        path,
        shape=native.shape,
        dtype=native.dtype,
        chunks=chunking.chunk,
        shards=chunking.shard,
        compressors=[codec],
        fill_value=0,
        dimension_names=DIMENSION_NAMES,
        # chunks of zeros are left out, but an array of nothing else still gets its object
        config={"write_empty_chunks": not native.any()},
    )
    stored[...] = native


def _publishing_order(key: str) -> tuple[bool, bool, str]:
    """Payload first, then metadata, the root's last: a volume that can be opened is complete."""
    return key == _ROOT, key.endswith(_ROOT), key


def _publish(store: Store, key: str, content: bytes) -> None:
    if not store.put_new(key, content) and sha256_bytes(store.get(key)) != sha256_bytes(content):
        raise Misconfigured("volume: another one is already at this URL, and what is written is never replaced")
