"""Decoding of one Blosc chunk, compiled: LZ4, shuffle, and the rows of a box into the caller's buffer.

A chunk is one Blosc 1 buffer (c-blosc, README_CHUNK_FORMAT.rst) of LZ4 streams, shuffled by bytes or by bits. LZ4
itself is ``LZ4_decompress_safe`` of the library inside numcodecs, which keeps to the bounds that it is given; every
other number in a chunk is compared with its bounds here, so damaged or hostile bytes are told and do nothing else.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding
import numpy as np
from numba import types
from numcodecs import blosc
from numpy.typing import NDArray

from curate.compiled import compiled

BLOSC_OVERHEAD = 16  # a chunk that cannot be compressed is a header of so many bytes and the voxels
_SHUFFLED, _COPIED, _BIT_SHUFFLED, _NOT_SPLIT, _LZ4 = 1, 2, 4, 16, 1  # flags, and the format in their upper 3 bits
_VERSION = 2

# Under a name of its own: what is compiled is cached, and the address differs from process to process.
llvmlite.binding.add_symbol(
    "curate_lz4_decompress", ctypes.cast(ctypes.CDLL(blosc.__file__).LZ4_decompress_safe, ctypes.c_void_p).value
)
_lz4_decompress: Any = types.ExternalFunction(
    "curate_lz4_decompress", types.int32(types.intp, types.intp, types.int32, types.int32)
)
_memcpy: Any = types.ExternalFunction("memcpy", types.intp(types.intp, types.intp, types.intp))


@compiled
def decode(
    encoded: NDArray[np.uint8],
    size: int,
    room: int,
    chunk: tuple[int, int, int],
    low: tuple[int, int, int],
    high: tuple[int, int, int],
    work: NDArray[np.uint64],
    streams: NDArray[np.int64],
    output: NDArray[np.uint8],
    to: tuple[int, int, int, int],
) -> bool:
    """One chunk: the box [low, high) of it into ``output``. False if it is damaged."""
    flags = np.int64(encoded[2])
    if encoded[0] != _VERSION or encoded[3] != size or _u32(encoded, 4) != room or _u32(encoded, 12) != encoded.size:
        return False
    if flags & _COPIED:
        if encoded.size != room + BLOSC_OVERHEAD:
            return False
        _copy(encoded[BLOSC_OVERHEAD:], 0, size, chunk, low, high, output, to)
        return True
    block = _u32(encoded, 8)
    if flags >> 5 != _LZ4 or block < size or block > room or block % size != 0:
        return False
    if BLOSC_OVERHEAD + 4 * ((room + block - 1) // block) > encoded.size:
        return False
    plain = work.view(np.uint8)
    begin = ((low[0] * chunk[1] + low[1]) * chunk[2] + low[2]) * size
    end = (((high[0] - 1) * chunk[1] + high[1] - 1) * chunk[2] + high[2]) * size
    for number in range(begin // block, (end + block - 1) // block):
        first, length = number * block // size, min(block, room - number * block)
        parts = size if flags & _NOT_SPLIT == 0 and length == block else 1
        at = _u32(encoded, BLOSC_OVERHEAD + 4 * number)
        if not _inflate(encoded, at, length // parts, parts, plain, streams):
            return False
        is_transposed = flags & _BIT_SHUFFLED != 0 and length // size % 8 == 0
        if is_transposed or (flags & _SHUFFLED != 0 and size > 1):
            for n in range(1, size if parts == 1 else 1):
                streams[n] = streams[0] + n * (length // size)
            if is_transposed:
                _transpose(encoded, length // size, size, first, chunk, low, high, work, streams)
            _weave(encoded, plain, streams, length // size, first, size, chunk, low, high, output, to)
            continue
        for n in range(parts):
            if streams[n] >= plain.size:
                at, many = streams[n] - plain.size, length // parts
                _memcpy(plain.ctypes.data + n * many, encoded.ctypes.data + at, many)
        _copy(plain[:length], first, size, chunk, low, high, output, to)
    return True


@compiled
def _u32(content: NDArray[np.uint8], at: int) -> int:
    place = np.uint64(at)
    value = np.int64(0)
    for n in range(4):
        value |= np.int64(content[place + np.uint64(n)]) << (8 * n)
    return int(value)


@compiled
def _inflate(
    encoded: NDArray[np.uint8],
    at: int,
    length: int,
    parts: int,
    plain: NDArray[np.uint8],
    streams: NDArray[np.int64],
) -> bool:
    """Decode the streams of a block, which start at ``at``, into ``plain`` -> False if they are damaged.

    ``streams``: where each lies in ``plain`` then. One that is not compressed stays in ``encoded``, and its place there
    counts from the end of ``plain``.
    """
    for n in range(parts):
        if at < BLOSC_OVERHEAD or at > encoded.size - 4:
            return False
        stored = _u32(encoded, at)
        at += 4
        if stored > encoded.size - at:
            return False
        streams[n] = n * length
        if stored == length:
            streams[n] = plain.size + at
        elif _lz4_decompress(encoded.ctypes.data + at, plain.ctypes.data + n * length, stored, length) != length:
            return False
        at += stored
    return True


@compiled
def _stream(encoded: NDArray[np.uint8], plain: NDArray[np.uint8], at: int, length: int) -> NDArray[np.uint8]:
    if at >= plain.size:
        return encoded[at - plain.size : at - plain.size + length]
    return plain[at : at + length]


@compiled
def _transpose(
    encoded: NDArray[np.uint8],
    length: int,
    size: int,
    first: int,
    chunk: tuple[int, int, int],
    low: tuple[int, int, int],
    high: tuple[int, int, int],
    work: NDArray[np.uint64],
    streams: NDArray[np.int64],
) -> None:
    """Turn the rows of the box from 8 planes of bits a stream to bytes, in the second half of ``work``."""
    plain = work.view(np.uint8)
    eighth = length // 8
    for n in range(size):
        bits = _stream(encoded, plain, streams[n], length)
        streams[n] = (work.size // 2 + n * eighth) * 8
        turned = work[streams[n] // 8 : streams[n] // 8 + eighth]
        for k in range(low[0], high[0]):
            begin = (k * chunk[1] + low[1]) * chunk[2] - first
            end = (k * chunk[1] + high[1]) * chunk[2] - first
            a, b = max(begin, 0) // 8, (min(end, length) + 7) // 8
            if a < b:
                _transpose_bytes(bits, eighth, a, b, turned)


@compiled
def _transpose_bytes(bits: NDArray[np.uint8], eighth: int, a: int, b: int, turned: NDArray[np.uint64]) -> None:
    """Words [a, b) of ``turned``: 8 x 8 bits each (Hacker's Delight, 2nd edition, 7-3)."""
    p0, p1, p2, p3 = bits[a:b], bits[eighth + a : eighth + b], bits[2 * eighth + a :], bits[3 * eighth + a :]
    p4, p5 = bits[4 * eighth + a :], bits[5 * eighth + a :]
    p6, p7 = bits[6 * eighth + a :], bits[7 * eighth + a :]
    to = turned[a:b]
    for n in range(b - a):
        x = np.uint64(p0[n]) | np.uint64(p1[n]) << np.uint64(8)
        x |= np.uint64(p2[n]) << np.uint64(16) | np.uint64(p3[n]) << np.uint64(24)
        x |= np.uint64(p4[n]) << np.uint64(32) | np.uint64(p5[n]) << np.uint64(40)
        x |= np.uint64(p6[n]) << np.uint64(48) | np.uint64(p7[n]) << np.uint64(56)
        swap = (x ^ (x >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
        x ^= swap ^ (swap << np.uint64(7))
        swap = (x ^ (x >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
        x ^= swap ^ (swap << np.uint64(14))
        swap = (x ^ (x >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
        to[n] = x ^ swap ^ (swap << np.uint64(28))


@compiled
def _weave(
    encoded: NDArray[np.uint8],
    plain: NDArray[np.uint8],
    streams: NDArray[np.int64],
    length: int,
    first: int,
    size: int,
    chunk: tuple[int, int, int],
    low: tuple[int, int, int],
    high: tuple[int, int, int],
    output: NDArray[np.uint8],
    to: tuple[int, int, int, int],
) -> None:
    """Put voxels together from streams of their bytes; the block holds the voxels [first, first + length)."""
    if size == 2 and to[3] == 2:
        one = _stream(encoded, plain, streams[0], length)
        two = _stream(encoded, plain, streams[1], length)
        _pair(one, two, first, chunk, low, high, output.view(np.uint16), to)
        return
    for n in range(size):
        part = _stream(encoded, plain, streams[n], length)
        for k in range(low[0], high[0]):
            for j in range(low[1], high[1]):
                row = (k * chunk[1] + j) * chunk[2] - first
                at = to[0] + k * to[1] + j * to[2] - row * to[3] + n
                for m in range(max(row + low[2], 0), min(row + high[2], length)):
                    output[at + m * to[3]] = part[m]


@compiled
def _pair(
    one: NDArray[np.uint8],
    two: NDArray[np.uint8],
    first: int,
    chunk: tuple[int, int, int],
    low: tuple[int, int, int],
    high: tuple[int, int, int],
    output: NDArray[np.uint16],
    to: tuple[int, int, int, int],
) -> None:
    """``_weave`` for voxels of two bytes that lie side by side."""
    for k in range(low[0], high[0]):
        for j in range(low[1], high[1]):
            row = (k * chunk[1] + j) * chunk[2] - first
            a, b = max(row + low[2], 0), min(row + high[2], one.size)
            at = np.uint64((to[0] + k * to[1] + j * to[2] + (a - row) * 2) // 2)
            a0 = np.uint64(a)
            for m in range(np.uint64(max(b - a, 0))):
                output[at + m] = np.uint16(one[a0 + m]) | np.uint16(two[a0 + m]) << np.uint16(8)


@compiled
def _copy(
    voxels: NDArray[np.uint8],
    first: int,
    size: int,
    chunk: tuple[int, int, int],
    low: tuple[int, int, int],
    high: tuple[int, int, int],
    output: NDArray[np.uint8],
    to: tuple[int, int, int, int],
) -> None:
    """Voxels whose bytes lie together; the block holds those from ``first`` on."""
    for k in range(low[0], high[0]):
        for j in range(low[1], high[1]):
            row = (k * chunk[1] + j) * chunk[2] - first
            a, b = max(row + low[2], 0), min(row + high[2], voxels.size // size)
            if a >= b:
                continue
            at = to[0] + k * to[1] + j * to[2] + (a - row) * to[3]
            if to[3] == size:
                _memcpy(output.ctypes.data + at, voxels.ctypes.data + a * size, (b - a) * size)
                continue
            for m in range(b - a):
                for n in range(size):
                    output[at + m * to[3] + n] = voxels[(a + m) * size + n]
