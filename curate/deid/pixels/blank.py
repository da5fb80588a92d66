"""Frames as arrays, what they look like, and rectangles of them made blank in stored values.

Frames are (frame, row, column, sample) views over the stored words, so that what is blanked is blanked in the layout
of the file: interleaved or planar, little or big endian, grey, palette or colour.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from curate.deid.pixels.native import PixelLayout
from curate.deid.pixels.regions import Box
from curate.errors import Quarantined
from curate.reasons import Reason

Stored = NDArray[np.signedinteger | np.unsignedinteger]


def frames_of(words: Stored, layout: PixelLayout, *, is_planar: bool) -> Stored:
    """View of flat stored words as (frame, row, column, sample); YBR_FULL_422 is not such a layout.

    Raises Quarantined(DEIDENTIFICATION_FAILED) for layouts that cannot be blanked.
    """
    if layout.photometric == b"YBR_FULL_422" or layout.samples not in (1, 3):
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "pixels of a layout that cannot be cleaned")
    size = (layout.rows, layout.columns)
    words = words[: layout.frames * layout.rows * layout.columns * layout.samples]
    if is_planar and layout.samples > 1:
        return words.reshape(layout.frames, layout.samples, *size).transpose(0, 2, 3, 1)
    return words.reshape(layout.frames, *size, layout.samples)


def words_of(value: bytes | memoryview, layout: PixelLayout, *, little: bool) -> Stored:
    """Writable flat array over a copy of native pixel bytes, in the byte order of the file.

    Raises Quarantined(DEIDENTIFICATION_FAILED) for pixels that are not whole bytes.
    """
    if layout.bits_allocated not in (8, 16, 32):
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, "pixels of a size that cannot be cleaned")
    size = layout.bits_allocated // 8
    kind = f"{'<' if little else '>'}{'i' if layout.signed else 'u'}{size}"
    return np.frombuffer(value, kind, count=len(value) // size).copy()


def blank_boxes(frames: Stored, boxes: Iterable[Box], photometric: bytes) -> bool:
    """Paint the boxes black in every frame, in place; whether that changed any pixel.

    Black is the lowest value that the frame has for MONOCHROME2 (so that no new value widens its range), the highest
    one for MONOCHROME1, index 0 of a palette, and black as RGB or YBR_FULL write it.
    """
    is_changed = False
    wanted = list(boxes)
    for frame in frames:
        black = black_of(frame, photometric)
        for top, left, bottom, right in wanted:
            part = frame[top:bottom, left:right]
            if (part != black).any():
                part[...] = black
                is_changed = True
    return is_changed


def black_of(frame: Stored, photometric: bytes) -> Stored:
    """Samples of a black pixel, shape (sample,)."""
    if photometric == b"MONOCHROME1":
        return np.array([frame.max()], frame.dtype)
    if photometric in (b"MONOCHROME2", b""):
        return np.array([frame.min()], frame.dtype)
    if photometric == b"YBR_FULL":
        return np.array([0, 1 << (8 * frame.dtype.itemsize - 1), 1 << (8 * frame.dtype.itemsize - 1)], frame.dtype)
    return np.zeros(frame.shape[-1], frame.dtype)


def pictures_of(frame: Stored, photometric: bytes, palette: NDArray[np.uint8] | None = None) -> list[NDArray[np.uint8]]:
    """What a person could see of one frame (row, column, sample): one or two (row, column, 3) pictures of 8 bits.

    Grey frames are shown over their whole range, and, when single bright or dark pixels stretch that, once more over
    the range that holds 98% of the pixels: text as bright as bone is lost in the first one beside metal.
    """
    if palette is not None and photometric == b"PALETTE COLOR":
        return [palette[np.clip(frame[..., 0].astype(np.int64), 0, len(palette) - 1)]]
    values = frame.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    pictures = [_shown(values, low, high)]
    if frame.shape[-1] == 1:
        sampled = values[::2, ::2]
        inner_low, inner_high = (float(edge) for edge in np.percentile(sampled, (1, 99)))
        if inner_high > inner_low and (inner_high - inner_low) < 0.6 * (high - low):
            pictures.append(_shown(values, inner_low, inner_high))
    return pictures


def _shown(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    scaled = (np.clip(values, low, high) - low) * (255.0 / (high - low) if high > low else 0.0)
    grey = scaled.astype(np.uint8)
    return np.repeat(grey, 3, axis=-1) if grey.shape[-1] == 1 else grey
