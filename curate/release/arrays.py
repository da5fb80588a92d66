"""Zarr objects of a release: text of the metadata, and voxels behind their compression."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from curate.errors import Misconfigured, Rejected
from curate.storage import LocalStore, Store
from curate.volumes.layout import SHARD_KEY
from curate.volumes.shards import ShardedArray

_SLAB_BYTES = 64 << 20


class _OneArray:
    """The store of a release, with one object taken from memory because it was read already."""

    def __init__(self, store: Store, key: str, content: bytes | None) -> None:
        self._store = store
        self._key, self._content = key, content

    def get(self, key: str) -> bytes:
        return self._content if key == self._key and self._content is not None else self._store.get(key)

    def get_range(self, key: str, start: int, length: int) -> bytes:
        if key == self._key and self._content is not None:
            return self._content[start:][:length]
        return self._store.get_range(key, start, length)

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> list[bytes | memoryview]:
        return [self.get_range(key, start, length) for start, length in ranges]


def is_shard(path: str) -> bool:
    """Whether a path of a release is the one object that holds an array's voxels."""
    return path.startswith("volumes/") and path.endswith(f"/{SHARD_KEY}")


def iterate_voxels(release: Path | Store, path: str, content: bytes | None) -> Iterator[bytes]:
    """The decoded voxels of a shard, in slabs along the first axis; ``content``: the object, if it was kept.

    Raises ``ValueError`` when the array cannot be decoded, ``FileNotFoundError`` when its metadata is missing.
    """
    store = LocalStore(release) if isinstance(release, Path) else release
    try:
        array = ShardedArray(_OneArray(store, path, content), path.removesuffix(f"/{SHARD_KEY}"))
        k, j, i = array.shape
        step = max(1, _SLAB_BYTES // max(1, j * i * array.dtype.itemsize))
        step = -(-step // 32) * 32  # whole chunks, so that none is decoded twice
        for first in range(0, k, step):
            yield array.read((first, 0, 0), (min(k, first + step), j, i)).tobytes()
    except (Misconfigured, Rejected) as error:
        raise ValueError(str(error)) from None


def json_text(content: bytes) -> bytes:
    """Every string of a JSON document, keys too, without JSON's escapes. Raises ``ValueError`` when it is not JSON."""
    return b"\0".join(text.encode("utf-8", "surrogatepass") for text in _strings(json.loads(content)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
