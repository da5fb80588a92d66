"""Read boxes of voxels out of one sharded Zarr array without zarr-python: one range request an inner chunk.

The index at the end of the shard is read once and kept. Only the layout that ``write_volume`` makes is understood
(Zarr v3 ``sharding_indexed`` with index at the end, Blosc inside); anything else is refused.
"""

from __future__ import annotations

import itertools
import json
import math
import struct
from typing import Any, Protocol

import google_crc32c
import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

from curate.errors import Misconfigured, Quarantined
from curate.reasons import Reason
from curate.volumes.layout import DTYPES, SHARD_KEY, covering_shard

_MISSING = 0xFFFF_FFFF_FFFF_FFFF  # Zarr sharding: an inner chunk of fill values that was not written
_CHECKSUM_BYTES = 4
_BLOSC_SIZES = struct.Struct("<4xIII")  # decoded bytes, block bytes, encoded bytes

blosc.use_threads = False  # as zarr-python sets it: threads of blosc do not survive a fork


class Objects(Protocol):
    """What reading an array asks of a store."""

    def get(self, key: str) -> bytes: ...

    def get_range(self, key: str, start: int, length: int) -> bytes: ...

    def size(self, key: str) -> int: ...


class ShardedArray:
    """One array of a volume. Safe to share between threads and to pickle; holds no open file."""

    __slots__ = ("_chunk", "_fill", "_index", "_key", "_store", "dtype", "shape")

    def __init__(self, store: Objects, path: str) -> None:
        """Read the metadata of the array at ``path``.

        Raises ``FileNotFoundError`` when there is none and ``Misconfigured`` when its layout is not ours.
        """
        self._store = store
        self._key = f"{path}/{SHARD_KEY}"
        self._index: NDArray[np.uint64] | None = None
        self.shape, self.dtype, self._chunk, self._fill = _parse_metadata(store.get(f"{path}/zarr.json"))

    def read(self, start: tuple[int, int, int], stop: tuple[int, int, int]) -> NDArray[Any]:
        """The box [start, stop), which lies inside the array. Reads the chunks that it touches and no others.

        Raises ``Quarantined(VERIFICATION_FAILED)`` when index or chunk are damaged.
        """
        output: NDArray[Any] = np.empty([b - a for a, b in zip(start, stop, strict=True)], dtype=self.dtype)
        if output.size == 0:
            return output
        is_whole = all(a == 0 and b == n for a, b, n in zip(start, stop, self.shape, strict=True))
        shard = memoryview(self._get_shard()) if is_whole else None
        index = self._read_index(shard)
        scratch: NDArray[Any] = np.empty(self._chunk, dtype=self.dtype)
        ranges = [range(a // c, -(-b // c)) for a, b, c in zip(start, stop, self._chunk, strict=True)]
        for place in itertools.product(*ranges):
            inside, outside = [], []
            for a, b, c, n in zip(start, stop, self._chunk, place, strict=True):
                low, high = max(a, n * c), min(b, (n + 1) * c)
                inside.append(slice(low - n * c, high - n * c))
                outside.append(slice(low - a, high - a))
            offset, length = (int(v) for v in index[place])
            if offset == length == _MISSING:
                output[tuple(outside)] = self._fill
                continue
            self._decode(self._get_chunk(shard, offset, length), scratch)
            output[tuple(outside)] = scratch[tuple(inside)]
        return output

    def _get_shard(self) -> bytes:
        try:
            return self._store.get(self._key)
        except FileNotFoundError:
            raise _damaged("the shard is missing") from None

    def _get_chunk(self, shard: memoryview | None, offset: int, length: int) -> bytes | memoryview:
        if shard is not None:
            return shard[offset : offset + length]
        return self._store.get_range(self._key, offset, length)

    def _read_index(self, shard: memoryview | None) -> NDArray[np.uint64]:
        if self._index is None:
            grid = [-(-n // c) for n, c in zip(self.shape, self._chunk, strict=True)]
            length = 16 * math.prod(grid) + _CHECKSUM_BYTES
            raw = bytes(shard[-length:]) if shard is not None else self._get_tail(length)
            if len(raw) != length or google_crc32c.value(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
                raise _damaged("the index of the shard is damaged")
            self._index = np.frombuffer(raw[:-4], dtype="<u8").reshape(*grid, 2)
        return self._index

    def _get_tail(self, length: int) -> bytes:
        try:
            return self._store.get_range(self._key, max(0, self._store.size(self._key) - length), length)
        except FileNotFoundError:
            raise _damaged("the shard is missing") from None

    def _decode(self, encoded: bytes | memoryview, scratch: NDArray[Any]) -> None:
        # blosc trusts the sizes in its header, so they are compared with what is there first
        decoded_size, _, encoded_size = _BLOSC_SIZES.unpack_from(bytes(encoded[:16]).ljust(16, b"\0"))
        if decoded_size != scratch.nbytes or encoded_size != len(encoded) or len(encoded) < _BLOSC_SIZES.size:
            raise _damaged("a chunk has another size than its header says")
        try:
            blosc.decompress(encoded, scratch)
        except RuntimeError:
            raise _damaged("a chunk cannot be decompressed") from None


def _damaged(detail: str) -> Quarantined:
    return Quarantined(Reason.VERIFICATION_FAILED, detail)


def _parse_metadata(
    content: bytes,
) -> tuple[tuple[int, int, int], np.dtype[Any], tuple[int, int, int], int | float]:
    """Shape, dtype, inner chunk and fill value."""
    try:
        metadata = json.loads(content)
        sharding = metadata["codecs"][0]["configuration"]
        names = [codec["name"] for codec in (*metadata["codecs"], *sharding["codecs"], *sharding["index_codecs"])]
        is_ours = (
            names == ["sharding_indexed", "bytes", "blosc", "bytes", "crc32c"]
            and sharding["index_location"] == "end"
            and metadata["zarr_format"] == 3
            and metadata["data_type"] in DTYPES
        )
        k, j, i = (int(n) for n in metadata["shape"])
        a, b, c = (int(n) for n in sharding["chunk_shape"])
        shard = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        is_ours = is_ours and min(a, b, c) > 0 and tuple(shard) == covering_shard((k, j, i), (a, b, c))
        fill = metadata["fill_value"]
    except (KeyError, IndexError, TypeError, ValueError):
        is_ours = False
    if not is_ours:
        raise Misconfigured("volume: its array is not one Zarr v3 shard of Blosc chunks, as write_volume makes them")
    return (k, j, i), np.dtype(metadata["data_type"]), (a, b, c), fill
