"""Compressed frames for tests, by encoders of other libraries, and one of JPEG lossless with every option of T.81 H.

The JPEG lossless encoder is written from the standard for the tests alone, slow and plain; GDCM reads what it writes
wherever GDCM knows the option.
"""

from __future__ import annotations

import struct
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless

from tests.support.dicom_files import encode, make_dataset


def encapsulated(pixels: NDArray[Any], stream: bytes, syntax: str, **attributes: Any) -> bytes:
    """A file with one given codestream; ``pixels`` say the size and the type only."""
    dataset = make_dataset(pixels, **attributes)
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    return encode(dataset, syntax)


def stream_of(pixels: NDArray[Any], syntax: str) -> bytes:
    """A lossless codestream by imagecodecs."""
    if syntax == JPEGLSLossless:
        return bytes(imagecodecs.jpegls_encode(pixels))
    if syntax == JPEG2000Lossless:
        return bytes(imagecodecs.jpeg2k_encode(pixels, reversible=True, codecformat="J2K"))
    whole = bytes(imagecodecs.htj2k_encode(pixels))
    return whole[whole.index(b"\xff\x4f\xff\x51") :]


def encoded(pixels: NDArray[Any], syntax: str, **attributes: Any) -> bytes:
    """A file of ``pixels`` compressed by imagecodecs."""
    return encapsulated(pixels, stream_of(pixels, syntax), syntax, **attributes)


def jpeg_lossless(
    pixels: NDArray[Any],
    *,
    precision: int,
    selection: int = 1,
    point_transform: int = 0,
    restart_rows: int = 0,
    fill: bool = False,
) -> bytes:
    """ITU-T T.81 H: one component, one table in which every category 0..16 has a code of its own."""
    rows, columns = pixels.shape
    samples = pixels.astype(np.int64) >> point_transform
    lengths = [3, 3, 3, 3, 3, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]  # of the codes of categories 0..16
    counts = bytes(lengths.count(n) for n in range(1, 17))
    codes, code = [], 0
    for n, length in enumerate(lengths):
        code <<= length - (lengths[n - 1] if n else length)
        codes.append((code, length))
        code += 1
    body, bits = b"", ""
    for y in range(rows):
        is_first = y == 0 or (restart_rows and y % restart_rows == 0)
        if y and is_first:
            body += _pack(bits) + bytes((0xFF, 0xD0 + (y // restart_rows - 1) % 8))
            bits = ""
        for x in range(columns):
            difference = int(samples[y, x]) - _prediction(
                samples, y, x, selection, bool(is_first), 1 << (precision - point_transform - 1)
            )
            difference = (difference + 32767) % 65536 - 32767
            category = 16 if difference == 32768 else abs(difference).bit_length()
            word, length = codes[category]
            bits += format(word, f"0{length}b")
            if 0 < category < 16:
                extra = difference if difference > 0 else difference + (1 << category) - 1
                bits += format(extra, f"0{category}b")
    body += _pack(bits)
    filler = b"\xff\xff" if fill else b""
    frame = filler + b"\xff\xc3" + struct.pack(">HBHHBBBB", 11, precision, rows, columns, 1, 1, 0x11, 0)
    table = filler + b"\xff\xc4" + struct.pack(">HB", 19 + len(lengths), 0) + counts + bytes(range(17))
    restart = b"\xff\xdd" + struct.pack(">HH", 4, restart_rows * columns) if restart_rows else b""
    scan = b"\xff\xda" + struct.pack(">HBBBBBB", 8, 1, 1, 0, selection, 0, point_transform)
    return b"\xff\xd8" + frame + table + restart + scan + body + filler + b"\xff\xd9"


def _prediction(samples: NDArray[Any], y: int, x: int, selection: int, is_first: bool, half: int) -> int:
    if is_first:
        return half if x == 0 else int(samples[y, x - 1])
    above = int(samples[y - 1, x])
    if x == 0:
        return above
    left, corner = int(samples[y, x - 1]), int(samples[y - 1, x - 1])
    return (
        left,
        above,
        corner,
        left + above - corner,
        left + ((above - corner) >> 1),
        above + ((left - corner) >> 1),
        (left + above) >> 1,
    )[selection - 1]


def _pack(bits: str) -> bytes:
    bits += "1" * (-len(bits) % 8)
    return bytes(int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
