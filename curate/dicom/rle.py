"""RLE frames (PS3.5 G): byte planes of packed runs, most significant plane first, unpacked by one kernel.

A segment must unpack to exactly one plane: a run past its end, a missing byte, or more than padding left over is
damage.
"""

from __future__ import annotations

import struct
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from curate.compiled import compiled, warms_up
from curate.errors import Rejected
from curate.reasons import Reason

_HEADER_BYTES = 64
_MARGIN = 16  # bytes that a copy of 8 at a time may write past its end
_NO_OPERATION = 0x80


def decode_rle(codestream: bytes, rows: int, columns: int, bits_allocated: int) -> NDArray[np.unsignedinteger]:
    """Unpack one frame of one sample per pixel -> uint8, uint16 or uint32, (rows, columns), native byte order.

    Raises Rejected(UNDECODABLE_PIXELS) when the segments are not one per byte of a pixel, do not lie in order inside
    the stream, or do not unpack to rows x columns bytes each.
    """
    width = bits_allocated // 8
    starts = _segments(codestream, width)
    out = np.empty((rows, columns), f"=u{width}")
    planes = np.empty((width, rows * columns + _MARGIN), np.uint8)
    if not _unpack(np.frombuffer(codestream, np.uint8), starts, planes, rows * columns):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "RLE: a segment does not unpack to one byte of each pixel")
    if width == 1:
        out.reshape(-1)[:] = planes[0, : rows * columns]
    elif width == 2:
        _join_2(planes, out.reshape(-1))
    else:
        _join_4(planes, out.reshape(-1))
    return out


def _segments(codestream: bytes, width: int) -> NDArray[np.int64]:
    """Where the segments start and, last, where the last one ends (G.5)."""
    if len(codestream) < _HEADER_BYTES:
        raise Rejected(Reason.UNDECODABLE_PIXELS, "RLE: the header is cut")
    count, *offsets = struct.unpack_from("<16L", codestream)
    starts = [*offsets[:width], len(codestream)]
    if count != width or starts[0] != _HEADER_BYTES or any(a >= b for a, b in pairwise(starts)):
        raise Rejected(Reason.UNDECODABLE_PIXELS, "RLE: the segments are not those of the pixels")
    return np.array(starts, np.int64)


@compiled
def _unpack(packed: NDArray[np.uint8], starts: NDArray[np.int64], planes: NDArray[np.uint8], count: int) -> bool:
    """Unpack every segment (PackBits, G.3.2) into its plane; False if one does not give ``count`` bytes."""
    for segment in range(starts.size - 1):
        if not _unpack_segment(packed[starts[segment] : starts[segment + 1]], planes[segment], np.uint64(count)):
            return False
    return True


@compiled
def _unpack_segment(packed: NDArray[np.uint8], plane: NDArray[np.uint8], count: np.uint64) -> bool:
    # Unsigned places: of a signed one the compiler must first see that it is not negative.
    at, end, filled, one, eight = np.uint64(0), np.uint64(packed.size), np.uint64(0), np.uint64(1), np.uint64(8)
    while filled < count:
        if at >= end:
            return False
        control = np.uint64(packed[at])
        at += one
        if control < _NO_OPERATION:
            length = control + one
            if at + length > end or filled + length > count:
                return False
            if at + length + eight <= end:  # eight at a time, up to 7 too many, which the next run overwrites
                for k in range(np.uint64(0), length, eight):
                    _copy_8(packed, at + k, plane, filled + k)
            else:
                for k in range(length):
                    plane[filled + k] = packed[at + k]
            at += length
            filled += length
        elif control > _NO_OPERATION:
            length = np.uint64(257) - control
            if at >= end or filled + length > count:
                return False
            byte = packed[at]
            for k in range(np.uint64(0), length, eight):
                for j in range(8):
                    plane[filled + k + np.uint64(j)] = byte
            at += one
            filled += length
    left_over = 0
    for k in range(at, end):
        left_over += packed[k] != 0 and packed[k] != _NO_OPERATION
    return left_over == 0


@compiled
def _copy_8(source: NDArray[np.uint8], start: np.uint64, target: NDArray[np.uint8], place: np.uint64) -> None:
    word = np.uint64(0)
    for k in range(8):
        word |= np.uint64(source[start + np.uint64(k)]) << np.uint64(8 * k)
    for k in range(8):
        target[place + np.uint64(k)] = np.uint8(word >> np.uint64(8 * k))


@compiled
def _join_2(planes: NDArray[np.uint8], out: NDArray[np.uint16]) -> None:
    high, low = planes[0], planes[1]
    for k in range(np.uint64(out.size)):
        out[k] = (np.uint16(high[k]) << np.uint16(8)) | np.uint16(low[k])


@compiled
def _join_4(planes: NDArray[np.uint8], out: NDArray[np.uint32]) -> None:
    for k in range(np.uint64(out.size)):
        word = np.uint32(0)
        for plane in range(4):
            word = (word << np.uint32(8)) | np.uint32(planes[plane, k])
        out[k] = word


@warms_up
def _warm_up() -> None:
    for width in (1, 2, 4):
        header = struct.pack("<16L", width, *(_HEADER_BYTES + 2 * k for k in range(width)), *[0] * (15 - width))
        decode_rle(header + b"\0\0" * width, 1, 1, 8 * width)
