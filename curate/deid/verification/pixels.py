"""Pixels of the output against the source's: the encoded bytes are the same, or what differs was allowed to.

Encoded bytes are compared as they lie; where they differ GDCM decodes both.
"""

from __future__ import annotations

from dataclasses import dataclass

import gdcm
import numpy as np
from numpy.typing import NDArray

from curate.deid.verification.entries import Contents
from curate.deid.verification.reading import named
from curate.deid.verification.standard import CLEAN_PIXELS


@dataclass(frozen=True, slots=True)
class Compared:
    """``fault`` is empty when nothing is wrong. ``how``: same bytes, same pixels, cleared bits, cleaned, no pixels."""

    how: str
    fault: str = ""
    changed_share: float = 0.0  # of all samples


def compare_pixels(source: bytes, output: bytes, before: Contents, after: Contents, claims: frozenset[str]) -> Compared:
    """Compare the pixels of one object with those of its source."""
    if not after.has_pixels():
        return Compared("no pixels", "the source has pixels, the output has none" if before.has_pixels() else "")
    if _are_same_bytes(before, after):
        return Compared("same bytes")
    return _compare_decoded(source, output, after, claims)


def _are_same_bytes(before: Contents, after: Contents) -> bool:
    """Whether the encoded bytes are equal, but for a pad of zero at the end of either."""
    if before.pixels is None or after.pixels is None:
        return False
    (was, was_end), (start, end) = before.pixels, after.pixels
    longer = (end - start) - (was_end - was)
    if abs(longer) > 1 or (longer == 1 and after.dataset[end - 1]) or (longer == -1 and before.dataset[was_end - 1]):
        return False
    shorter = min(end - start, was_end - was)
    # memoryview compares unlike formats number by number; slices of bytes are compared at once
    return before.dataset[was : was + shorter] == after.dataset[start : start + shorter]


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
