"""Read boxes of voxels out of one sharded Zarr array without zarr-python, straight into the caller's buffer.

From a file, the chunks that a box touches are read and decoded in one compiled call; from an object store, near chunks
come in one request and all requests of a box run at the same time. The index at the end of the shard is read once and
kept. Only the layout that ``write_volume`` makes is understood (Zarr v3 ``sharding_indexed`` with index at the end,
Blosc with LZ4 inside); anything else is refused.
"""

from __future__ import annotations

import errno
import json
import math
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from curate.errors import Misconfigured, Quarantined
from curate.reasons import Reason
from curate.storage.store import unavailable
from curate.volumes.blosc_kernel import BLOSC_OVERHEAD
from curate.volumes.chunks import COLUMNS, LENGTH, OFFSET, READ, REFUSED, list_chunks, read_chunks, scratch_words
from curate.volumes.layout import DTYPES, METADATA_KEY, SHARD_KEY, covering_shard

_CHECKSUM_BYTES = 4
_LARGEST_CHUNK = 1 << 31  # Blosc counts in 32 bits
_LARGEST_SHARD = 1 << 48
_NEAR_BYTES = 1 << 20  # chunks that lie no further apart come in one request: time for a request at 50 MB/s
_FAR_BYTES = 8 << 20  # and further apart than this they never do
_REQUESTS = 5  # a box, where it can be had between these limits

_NOTHING = np.frombuffer(b"", np.uint8)
_thread = threading.local()

Index3 = tuple[int, int, int]


class Objects(Protocol):
    """What reading an array asks of a store; see ``curate.storage.Store``."""

    def get(self, key: str) -> bytes: ...

    def get_range(self, key: str, start: int, length: int) -> bytes: ...

    def get_ranges(self, key: str, ranges: Sequence[tuple[int, int]]) -> Sequence[bytes | memoryview]: ...


@runtime_checkable
class Files(Protocol):
    """A store whose objects are files of this machine."""

    def open_descriptor(self, key: str) -> int: ...


class ShardedArray:
    """One array of a volume. Safe to share between threads, to pickle and to keep over a fork; holds no open file."""

    __slots__ = ("_chunk", "_fill", "_index", "_key", "_store", "dtype", "shape")

    def __init__(self, store: Objects, path: str, metadata: bytes | None = None) -> None:
        """Read the metadata of the array at ``path``, unless they are given.

        Raises ``FileNotFoundError`` when there is none and ``Misconfigured`` when its layout is not ours.
        """
        self._store = store
        self._key = f"{path}/{SHARD_KEY}"
        self._index: NDArray[np.int64] | None = None
        content = store.get(f"{path}/{METADATA_KEY}") if metadata is None else metadata
        self.shape, self.dtype, self._chunk, self._fill = _parse_metadata(content)

    def read(
        self, start: Index3, stop: Index3, out: NDArray[Any] | None = None, at: Index3 = (0, 0, 0)
    ) -> NDArray[Any]:
        """The box [start, stop), which lies inside the array. Reads the chunks that it touches and no others.

        ``out``: a writable array of ``dtype`` to put it into, from index ``at`` on, where it fits; else a new one.
        Raises ``Quarantined(VERIFICATION_FAILED)`` when index or chunk are damaged, ``Unavailable`` when storage
        refuses; ``out`` may hold parts of the box then.
        """
        output: NDArray[Any] = np.empty(np.subtract(stop, start), self.dtype) if out is None else out
        if all(a < b for a, b in zip(start, stop, strict=True)):
            try:
                if isinstance(self._store, Files):
                    self._read_file(self._store, start, stop, output, at)
                else:
                    self._read_parts(start, stop, output, at)
            except FileNotFoundError:
                raise _damaged("the shard is missing") from None
        return output

    def _read_file(self, store: Files, start: Index3, stop: Index3, output: NDArray[Any], at: Index3) -> None:
        descriptor = store.open_descriptor(self._key)
        try:
            if self._index is None:
                length = self._index_bytes()
                self._keep_index(os.pread(descriptor, length, max(0, os.fstat(descriptor).st_size - length)))
            if self._decode(self._list(start, stop), descriptor, _NOTHING, start, stop, output, at) == REFUSED:
                raise OSError(errno.EIO, "")
        except OSError as error:
            raise unavailable("read", error) from None
        finally:
            os.close(descriptor)

    def _read_parts(self, start: Index3, stop: Index3, output: NDArray[Any], at: Index3) -> None:
        if stop == self.shape and not any(start):
            shard = self._store.get(self._key)
            self._keep_index(shard[-self._index_bytes() :])
            self._decode(self._list(start, stop), -1, np.frombuffer(shard, np.uint8), start, stop, output, at)
            return
        if self._index is None:
            length = self._index_bytes()
            self._keep_index(self._store.get_range(self._key, -length, length))
        runs = list(_runs(self._list(start, stop)))
        wanted = [(begin, end - begin) for begin, end, _ in runs if begin < end]
        parts = iter(self._store.get_ranges(self._key, wanted) if wanted else ())
        for begin, end, table in runs:
            content = np.frombuffer(next(parts), np.uint8) if begin < end else _NOTHING
            self._decode(table, -1, content, start, stop, output, at)

    def _list(self, start: Index3, stop: Index3) -> NDArray[np.int64]:
        spans = (-(-b // c) - a // c for a, b, c in zip(start, stop, self._chunk, strict=True))
        table: NDArray[np.int64] = np.empty((math.prod(spans), COLUMNS), np.int64)
        assert self._index is not None
        list_chunks(self._index, start, stop, self._chunk, table)
        return table

    def _decode(
        self,
        table: NDArray[np.int64],
        descriptor: int,
        source: NDArray[np.uint8],
        start: Index3,
        stop: Index3,
        output: NDArray[Any],
        at: Index3,
    ) -> int:
        content, layout = _bytes_of(output, at)
        words = scratch_words(self._chunk, self.dtype.itemsize)
        status: int = read_chunks(
            table, descriptor, source, start, stop, self._chunk, self._fill, content, layout, _scratch(words)
        )
        if status not in (READ, REFUSED):
            raise _damaged("a chunk is damaged")
        return status

    def _index_bytes(self) -> int:
        return 16 * math.prod(self._grid()) + _CHECKSUM_BYTES

    def _grid(self) -> list[int]:
        return [-(-n // c) for n, c in zip(self.shape, self._chunk, strict=True)]

    def _keep_index(self, raw: bytes) -> None:
        if len(raw) != self._index_bytes() or google_crc32c.value(raw[:-4]) != int.from_bytes(raw[-4:], "little"):
            raise _damaged("the index of the shard is damaged")
        index = np.frombuffer(raw[:-4], dtype="<i8").reshape(*self._grid(), 2)
        offset, length = index[..., 0], index[..., 1]
        longest = math.prod(self._chunk) * self.dtype.itemsize + BLOSC_OVERHEAD
        is_sound = (offset >= 0) & (offset < _LARGEST_SHARD) & (length >= BLOSC_OVERHEAD) & (length <= longest)
        if not np.all(is_sound | ((offset == -1) & (length == -1))):
            raise _damaged("the index of the shard is damaged")
        self._index = index


def _runs(table: NDArray[np.int64]) -> Iterator[tuple[int, int, NDArray[np.int64]]]:
    """Chunks that lie near each other: first byte, end, and their rows of the table with offsets from there."""
    table = table[np.argsort(table[:, OFFSET])]
    offsets = table[:, OFFSET]
    gaps = offsets[1:] - np.maximum.accumulate(offsets + table[:, LENGTH])[:-1]
    gaps[offsets[:-1] < 0] = 0
    widest = np.sort(gaps)[-_REQUESTS] if gaps.size >= _REQUESTS else 0
    is_cut = (gaps > _FAR_BYTES) | ((gaps > _NEAR_BYTES) & (gaps > widest))
    cuts = np.flatnonzero(is_cut | ((offsets[:-1] < 0) & (offsets[1:] >= 0))) + 1
    for rows in np.split(table, cuts):
        begin, end = int(rows[0, OFFSET]), int((rows[:, OFFSET] + rows[:, LENGTH]).max())
        if begin < 0:  # left out
            yield 0, 0, rows
            continue
        rows[:, OFFSET] -= begin
        yield begin, end, rows


def _bytes_of(array: NDArray[Any], at: Index3) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """The memory of an array as bytes; where in it the index ``at`` lies, and the steps along the axes."""
    first = 0
    if array.flags.c_contiguous:
        content = array.reshape(-1)
    else:
        forward = array[tuple(slice(None, None, -1 if step < 0 else 1) for step in array.strides)]
        first = sum((n - 1) * -step for n, step in zip(array.shape, array.strides, strict=True) if step < 0)
        span = sum((n - 1) * step for n, step in zip(array.shape, forward.strides, strict=True)) // array.itemsize + 1
        content = np.lib.stride_tricks.as_strided(forward, (span,), (array.itemsize,))
    k, j, i = array.strides
    return content.view(np.uint8), (first + at[0] * k + at[1] * j + at[2] * i, k, j, i)


def _scratch(words: int) -> NDArray[np.uint64]:
    """Memory of this thread, kept from call to call."""
    kept: NDArray[np.uint64] | None = getattr(_thread, "scratch", None)
    if kept is None or kept.size < words:
        kept = _thread.scratch = np.empty(words, np.uint64)
    return kept[:words]


def _damaged(detail: str) -> Quarantined:
    return Quarantined(Reason.VERIFICATION_FAILED, detail)


def _parse_metadata(content: bytes) -> tuple[Index3, np.dtype[Any], Index3, NDArray[np.uint8]]:
    """Shape, dtype, inner chunk and the bytes of the fill value."""
    try:
        metadata = json.loads(content)
        sharding = metadata["codecs"][0]["configuration"]
        names = [codec["name"] for codec in (*metadata["codecs"], *sharding["codecs"], *sharding["index_codecs"])]
        order, compression = (codec.get("configuration", {}) for codec in sharding["codecs"])
        is_ours = (
            names == ["sharding_indexed", "bytes", "blosc", "bytes", "crc32c"]
            and order.get("endian", "little") == "little"
            and compression["cname"] in ("lz4", "lz4hc")
            and sharding["index_location"] == "end"
            and metadata["zarr_format"] == 3
            and metadata["data_type"] in DTYPES
        )
        k, j, i = (int(n) for n in metadata["shape"])
        a, b, c = (int(n) for n in sharding["chunk_shape"])
        shard = metadata["chunk_grid"]["configuration"]["chunk_shape"]
        is_ours = is_ours and all(0 < m <= n for m, n in ((a, k), (b, j), (c, i)))
        is_ours = is_ours and tuple(shard) == covering_shard((k, j, i), (a, b, c))
        dtype = np.dtype(metadata["data_type"]) if is_ours else np.dtype("u1")
        is_ours = is_ours and a * b * c * dtype.itemsize < _LARGEST_CHUNK
        fill = np.frombuffer(np.array(metadata["fill_value"], dtype).tobytes(), np.uint8)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError, AttributeError):
        is_ours = False
    if not is_ours:
        raise Misconfigured("volume: its array is not one Zarr v3 shard of Blosc chunks, as write_volume makes them")
    return (k, j, i), dtype, (a, b, c), fill
