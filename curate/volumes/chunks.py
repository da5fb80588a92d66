"""Reading of inner chunks, compiled: from a file or from memory into the caller's buffer, without the GIL."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numpy.typing import NDArray

from curate.compiled import compiled, warms_up
from curate.volumes.blosc_kernel import BLOSC_OVERHEAD, decode

READ, DAMAGED, REFUSED = range(3)
"""All chunks were read; a chunk is not what its index and header say; the file cannot be read."""

PLACE_K, PLACE_J, PLACE_I, OFFSET, LENGTH = range(5)
COLUMNS = 5
"""Of a table of chunks, int64 (n, 5): the chunk's place in the grid of chunks, and its bytes; -1 for both: it was left
out, all of it is the fill value."""

_memset: Any = types.ExternalFunction("memset", types.intp(types.intp, types.int32, types.intp))
_pread: Any = types.ExternalFunction("pread", types.intp(types.int32, types.intp, types.intp, types.int64))


@compiled
def list_chunks(
    index: NDArray[np.int64],
    start: tuple[int, int, int],
    stop: tuple[int, int, int],
    chunk: tuple[int, int, int],
    table: NDArray[np.int64],
) -> int:
    """Write the chunks that the box [start, stop) touches into ``table`` -> how many.

    ``index``: (k, j, i, 2), offset and length of each. ``table``: (n, COLUMNS) with room for all.
    """
    count = 0
    for k in range(start[0] // chunk[0], (stop[0] + chunk[0] - 1) // chunk[0]):
        for j in range(start[1] // chunk[1], (stop[1] + chunk[1] - 1) // chunk[1]):
            for i in range(start[2] // chunk[2], (stop[2] + chunk[2] - 1) // chunk[2]):
                table[count, 0], table[count, 1], table[count, 2] = k, j, i
                table[count, 3], table[count, 4] = index[k, j, i, 0], index[k, j, i, 1]
                count += 1
    return count


def scratch_words(chunk: tuple[int, int, int], itemsize: int) -> int:
    """Room for a chunk as stored, its streams, and its streams once more: 64-bit words."""
    room = chunk[0] * chunk[1] * chunk[2] * itemsize
    return (room + BLOSC_OVERHEAD + 7) // 8 + 2 * ((room + 7) // 8)


@compiled
def read_chunks(
    table: NDArray[np.int64],
    descriptor: int,
    source: NDArray[np.uint8],
    start: tuple[int, int, int],
    stop: tuple[int, int, int],
    chunk: tuple[int, int, int],
    fill: NDArray[np.uint8],
    output: NDArray[np.uint8],
    layout: tuple[int, int, int, int],
    scratch: NDArray[np.uint64],
) -> int:
    """Decode the part of the box [start, stop) that lies in the chunks of ``table`` -> READ, DAMAGED or REFUSED.

    ``descriptor``: of the open file that offsets count in; if negative, they count in ``source``. ``fill``: the bytes
    of the fill value, as many as a voxel has. ``output``: the bytes of the caller's buffer; ``layout``: how many bytes
    into it the first voxel of the box lies, and how many from one voxel to the next along k, j and i. ``scratch``: of
    ``scratch_words`` words.
    """
    room = chunk[0] * chunk[1] * chunk[2] * fill.size
    longest = room + BLOSC_OVERHEAD
    place = scratch.view(np.uint8)
    work = scratch[(longest + 7) // 8 :]
    streams = np.empty(8, np.int64)
    for row in range(table.shape[0]):
        k, j, i = table[row, 0] * chunk[0], table[row, 1] * chunk[1], table[row, 2] * chunk[2]
        low = max(0, start[0] - k), max(0, start[1] - j), max(0, start[2] - i)
        high = min(chunk[0], stop[0] - k), min(chunk[1], stop[1] - j), min(chunk[2], stop[2] - i)
        k, j, i = k - start[0], j - start[1], i - start[2]
        to = (layout[0] + k * layout[1] + j * layout[2] + i * layout[3], layout[1], layout[2], layout[3])
        offset, length = table[row, 3], table[row, 4]
        if offset == -1 and length == -1:
            _fill(fill, low, high, output, to)
            continue
        if offset < 0 or length < BLOSC_OVERHEAD or length > longest:
            return DAMAGED
        encoded = place[:length]
        if descriptor >= 0:
            found = _pread(descriptor, place.ctypes.data, length, offset)
            if found != length:
                return REFUSED if found < 0 else DAMAGED
        elif offset > source.size - length:
            return DAMAGED
        else:
            encoded = source[offset : offset + length]
        if not decode(encoded, fill.size, room, chunk, low, high, work, streams, output, to):
            return DAMAGED
    return READ


@compiled
def _fill(
    fill: NDArray[np.uint8],
    low: tuple[int, int, int],
    high: tuple[int, int, int],
    output: NDArray[np.uint8],
    to: tuple[int, int, int, int],
) -> None:
    """A chunk that was left out."""
    is_even = to[3] == fill.size and np.all(fill == fill[0])
    for k in range(low[0], high[0]):
        for j in range(low[1], high[1]):
            at = to[0] + k * to[1] + j * to[2] + low[2] * to[3]
            if is_even:
                _memset(output.ctypes.data + at, np.int32(fill[0]), (high[2] - low[2]) * to[3])
                continue
            for m in range(high[2] - low[2]):
                for n in range(fill.size):
                    output[at + m * to[3] + n] = fill[n]


@warms_up
def _warm_up() -> None:
    """A box of one voxel in a chunk that was left out."""
    one, table = (1, 1, 1), np.full((1, COLUMNS), -1, np.int64)
    # from bytes, so not writable: as the arrays that a reader passes
    index = np.frombuffer(table[0, :2].tobytes(), np.int64).reshape(1, 1, 1, 2)
    list_chunks(index, (0, 0, 0), one, one, table)
    fill, voxel, scratch = np.frombuffer(b"00", np.uint8), np.empty(2, np.uint8), np.empty(8, np.uint64)
    read_chunks(table, -1, fill, (0, 0, 0), one, one, fill, voxel, (0, 2, 2, 2), scratch)
