"""Native pixel bytes: nothing may hide beside the pixels.

Bytes after the last pixel are cut, and bits above BitsStored, where retired embedded overlays put text (PS3.5 8.1.1,
PS3.3 C.9.2), are set to what the pixel value alone says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import Quarantined, Rejected
from curate.reasons import Reason


@dataclass(frozen=True, slots=True)
class PixelLayout:
    """Numbers of the image pixel module (PS3.3 C.7.6.3) that say how many bytes and bits belong to pixels."""

    rows: int
    columns: int
    frames: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: bytes

    @property
    def length(self) -> int:
        """Bytes of all frames in native encoding, without padding."""
        bits = self.rows * self.columns * self.frames * self.samples * self.bits_allocated
        if self.photometric == b"YBR_FULL_422":
            bits = bits * 2 // 3
        return (bits + 7) // 8


def trim_native(value: bytes | memoryview, layout: PixelLayout) -> bytes | memoryview:
    """The bytes that are pixels, padded to an even number with zero; the very same object when nothing is cut.

    Raises Rejected(TRUNCATED_FILE) when there are fewer than the header says.
    """
    if len(value) < layout.length:
        raise Rejected(Reason.TRUNCATED_FILE, "fewer pixel bytes than rows, columns and frames ask for")
    if layout.length == 0:
        raise Rejected(Reason.IMPLAUSIBLE_HEADER, "rows, columns or bits are missing or zero")
    if len(value) == layout.length:
        return value
    trimmed = bytes(value[: layout.length]) + b"\0" * (layout.length & 1)
    return value if trimmed == value else trimmed


def swap_bytes(value: bytes | memoryview) -> bytes:
    """Pairs of bytes swapped: 8-bit pixels that a big endian file packs in words (PS3.5 8.1.1), and back."""
    return np.frombuffer(value, ">u2").astype("<u2").tobytes()


def clear_unused_bits(value: bytes | memoryview, layout: PixelLayout, *, little: bool) -> bytes | None:
    """Pixels with nothing in the bits above BitsStored but the sign; None when that is so already.

    Raises Quarantined(DEIDENTIFICATION_FAILED) when the unused bits are not the high ones.
    """
    unused = layout.bits_allocated - layout.bits_stored
    if layout.bits_allocated not in (8, 16, 32) or unused == 0:
        return None
    if unused < 0 or layout.bits_stored < 1 or layout.high_bit != layout.bits_stored - 1:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "stored bits do not end at the high bit")
    size = layout.bits_allocated // 8
    whole = len(value) - len(value) % size
    dtype = np.dtype(f"{'<' if little else '>'}{'i' if layout.signed else 'u'}{size}")
    stored: NDArray[np.signedinteger | np.unsignedinteger] = np.frombuffer(value, dtype, count=whole // size)
    highest = (1 << (layout.bits_stored - layout.signed)) - 1
    if layout.signed:
        is_clear = stored.min() >= -highest - 1 and stored.max() <= highest
    else:
        is_clear = int(np.bitwise_or.reduce(stored)) <= highest  # one pass instead of two
    if is_clear:
        return None
    native = stored.astype(stored.dtype.newbyteorder("="))
    cleared = (native << unused) >> unused if layout.signed else native & highest
    return cleared.astype(stored.dtype).tobytes() + bytes(value[whole:])
