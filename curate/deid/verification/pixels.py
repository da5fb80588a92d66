"""Pixels of the output against the source's: the encoded bytes are the same, or what differs was allowed to.

Where they lie is found from the end of the file, without a parser; decoding, where it is needed, is GDCM's.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import gdcm
import numpy as np
from numpy.typing import NDArray

from curate.deid.verification.reading import PIXELS, Contents, named
from curate.deid.verification.standard import CLEAN_PIXELS

_DEFLATED = "1.2.840.10008.1.2.1.99"
_BIG = "1.2.840.10008.1.2.2"
_DELIMITER = b"\xfe\xff\xdd\xe0\0\0\0\0"
_LARGEST = 1 << 31


@dataclass(frozen=True, slots=True)
class Compared:
    """``fault`` is empty when nothing is wrong. ``how``: same bytes, same pixels, cleared bits, cleaned, no pixels."""

    how: str
    fault: str = ""
    changed_share: float = 0.0  # of all samples


def compare_pixels(source: bytes, output: bytes, before: Contents, after: Contents, claims: frozenset[str]) -> Compared:
    """Compare the pixels of one object with those of its source."""
    if not any(entry.tag in PIXELS for entry in after.entries):
        had = any(entry.tag in PIXELS for entry in before.entries)
        return Compared("no pixels", "the source has pixels, the output has none" if had else "")
    flat = dataset_bytes(output, after.transfer_syntax)
    start = pixel_start(flat, after.transfer_syntax)
    if start is None:
        return Compared("not found", "the pixel data do not end where the file ends")
    if _starts_a_value(flat[start:], dataset_bytes(source, before.transfer_syntax), before.transfer_syntax):
        return Compared("same bytes")
    return _compare_decoded(source, output, after, claims)


def dataset_bytes(content: bytes, transfer_syntax: str) -> bytes:
    """The file, or its data set inflated where the transfer syntax deflates it (PS3.5 A.5)."""
    if transfer_syntax != _DEFLATED:
        return content
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    return inflater.decompress(content[144 + int.from_bytes(content[140:144], "little") :], _LARGEST)


def pixel_start(content: bytes, transfer_syntax: str) -> int | None:
    """Offset of the pixel value, when it reaches exactly to the last byte; None when no header says so."""
    order = _order(transfer_syntax)
    for start in _value_starts(content, transfer_syntax):
        length = int.from_bytes(content[start - 4 : start], order)
        if start + length == len(content) or (length == 0xFFFFFFFF and content.endswith(_DELIMITER)):
            return start
    return None


def _value_starts(content: bytes, transfer_syntax: str) -> Iterator[int]:
    """Offsets at which the value of a pixel element could start, from the last on; some are pixels that look so."""
    order = _order(transfer_syntax)
    for tag in reversed(PIXELS):  # integers first, as nearly all files have them
        mark = (tag >> 16).to_bytes(2, order) + (tag & 0xFFFF).to_bytes(2, order)
        at = content.rfind(mark)
        while at >= 0:
            yield at + 12
            yield at + 8
            at = content.rfind(mark, 0, at)


def _order(transfer_syntax: str) -> Literal["big", "little"]:
    return "big" if transfer_syntax == _BIG else "little"


def _starts_a_value(value: bytes, source: bytes, transfer_syntax: str) -> bool:
    """Whether the bytes are those of the source's pixel element, but for a pad of zero at their end."""
    for start in _value_starts(source, transfer_syntax):
        if source.startswith(value, start) or (value[-1:] == b"\0" and source.startswith(value[:-1], start)):
            return True
    return False


def _compare_decoded(source: bytes, output: bytes, after: Contents, claims: frozenset[str]) -> Compared:
    old, new = _decode(source), _decode(output)
    if old is None or new is None:
        return Compared("not compared", "other encoded bytes, and GDCM cannot decode them to compare")
    if old.shape != new.shape:
        return Compared("changed", "another number of samples")
    if np.array_equal(old, new):
        return Compared("same pixels")
    stored = after.value(0x00280101)[:1] or b"\x10"
    mask = (1 << stored[0]) - 1
    if np.array_equal(old & mask, new & mask):
        return Compared("cleared bits")
    share = float(np.count_nonzero(old != new)) / old.size
    if CLEAN_PIXELS in claims:
        return Compared("cleaned", changed_share=share)
    return Compared("changed", "pixels changed and cleaning is not stated", share)


def _decode(content: bytes) -> NDArray[np.uint16] | NDArray[np.uint8] | NDArray[np.uint32] | None:
    """Samples as unsigned numbers, frame after frame."""
    with named(content) as path:
        reader = gdcm.ImageReader()
        reader.SetFileName(path)
        if not reader.Read():
            return None
        image = reader.GetImage()
        buffer = image.GetBuffer()
        if buffer is None:
            return None
        width = image.GetPixelFormat().GetBitsAllocated()
        decoded = buffer.encode("utf-8", "surrogateescape")
        if width not in (8, 16, 32) or len(decoded) % (width // 8):
            return np.frombuffer(decoded, np.uint8)
        return np.frombuffer(decoded, f"<u{width // 8}")
