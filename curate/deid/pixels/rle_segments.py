"""RLE frames (PS3.5 annex G): the bytes that are runs of pixels, and nothing beside them.

A frame names up to 15 segments by offset; what stands after the last run of a segment, or between header and first
segment, decodes to nothing and is set to zero or cut. Nothing is re-encoded.
"""

from __future__ import annotations

import struct
from itertools import pairwise

from curate.errors import Quarantined
from curate.reasons import Reason

_HEADER = struct.Struct("<16I")


def clean_rle(frame: bytes, segment_length: int) -> bytes:
    """The frame with zeros where no run is, cut after the last run; the same object when that is so already.

    ``segment_length``: decoded bytes of each segment, rows x columns. Raises Quarantined(DEIDENTIFICATION_FAILED) for
    a header or runs that do not fit.
    """
    if len(frame) < _HEADER.size:
        raise _doubt("an RLE frame without its header")
    count, *offsets = _HEADER.unpack_from(frame)
    if not 1 <= count <= 15 or any(offsets[count:]) or offsets[0] != _HEADER.size:
        raise _doubt("the header of an RLE frame names what is not there")
    bounds = [*offsets[:count], len(frame)]
    if any(later <= earlier for earlier, later in pairwise(bounds)):
        raise _doubt("segments of an RLE frame overlap")
    ends = [_end_of_runs(frame, start, end, segment_length) for start, end in pairwise(bounds)]
    if not any(frame[end:bound].strip(b"\0") for end, bound in zip(ends, bounds[1:], strict=True)):
        return frame
    cleaned = bytearray(frame[: ends[-1]])
    for end, bound in zip(ends[:-1], bounds[1:-1], strict=True):
        cleaned[end:bound] = bytes(bound - end)
    return bytes(cleaned)


def _end_of_runs(frame: bytes, at: int, limit: int, wanted: int) -> int:
    """Position after the run that completes the segment (PackBits: literal, repeat, or 128 for nothing)."""
    decoded = 0
    while decoded < wanted and at < limit:
        control = frame[at]
        if control < 128:
            decoded += control + 1
            at += control + 2
        elif control > 128:
            decoded += 257 - control
            at += 2
        else:
            at += 1
    if decoded < wanted or at > limit:
        raise _doubt("an RLE segment ends before its pixels do")
    return at


def _doubt(detail: str) -> Quarantined:
    return Quarantined(Reason.DEIDENTIFICATION_FAILED, detail)
