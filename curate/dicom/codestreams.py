"""What the frame header of a compressed image says of it: JPEG, JPEG-LS and JPEG 2000."""

from __future__ import annotations

import struct
from typing import NamedTuple

JPEG_2000_START = b"\xff\x4f"
JPEG_LS = 0xF7  # marker of its frame header
_SIZE = b"\xff\x51"
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {JPEG_LS}
_START_OF_SCAN = 0xDA


class FrameHeader(NamedTuple):
    """``precision``: bits a sample, the most of all components. ``marker``: low byte of the frame's; 0: JPEG 2000."""

    rows: int
    columns: int
    components: int
    precision: int
    marker: int


def read_frame_header(codestream: bytes) -> FrameHeader | None:
    """The frame header (ITU-T T.81 B.2.2) or SIZ segment (T.800 A.5.1); None when there is none before the data."""
    if codestream[:2] == JPEG_2000_START:
        return _jpeg_2000(codestream)
    return _jpeg(codestream) if codestream[:2] == b"\xff\xd8" else None


def _jpeg(codestream: bytes) -> FrameHeader | None:
    at = 2
    while at + 10 <= len(codestream) and codestream[at] == 0xFF and codestream[at + 1] != _START_OF_SCAN:
        marker = codestream[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _START_OF_FRAME:
            precision, rows, columns, components = struct.unpack_from(">BHHB", codestream, at + 4)
            return FrameHeader(rows, columns, components, precision, marker)
        at += 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")
    return None


def _jpeg_2000(codestream: bytes) -> FrameHeader | None:
    """SIZ comes first; sizes of samples are three bytes a component."""
    if len(codestream) < 48 or codestream[2:4] != _SIZE:
        return None
    width, height, left, top = struct.unpack_from(">LLLL", codestream, 8)
    (components,) = struct.unpack_from(">H", codestream, 40)
    precision = max(((size & 0x7F) + 1 for size in codestream[42 : 42 + 3 * components : 3]), default=0)
    return FrameHeader(height - top, width - left, components, precision, 0)


def sample_precision(codestream: bytes) -> int:
    """Bits a sample that the stream can hold, the most of its components; 0 when it does not say."""
    header = read_frame_header(codestream)
    return 0 if header is None else header.precision
