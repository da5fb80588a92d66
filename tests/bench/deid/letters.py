"""Letters drawn into pixels, and whether they can still be seen: the truth of every burned-in text here."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from tests.bench.deid.plants import Box

SEEN = 0.3
"""Correlation with the drawn letters from which they count as seen; a blanked box gives 0."""


@cache
def ink(text: str, size: int = 24) -> NDArray[np.bool_]:
    """The letters as a mask (row, column), trimmed to what is drawn."""
    font = ImageFont.load_default(size)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(text))
    image = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(image).text((1 - left, 1 - top), text, fill=255, font=font)
    mask = np.asarray(image) > 127
    return mask[np.ix_(mask.any(axis=1), mask.any(axis=0))]


def burn(
    frames: NDArray[np.generic], text: str, *, frame: int, row: int, column: int, value: int, size: int = 24
) -> tuple[Box, NDArray[np.bool_]]:
    """Draw into one frame of (frame, row, column[, sample]) in place; the box and the mask of what was drawn."""
    mask = ink(text, size)
    rows, columns = (row, row + mask.shape[0]), (column, column + mask.shape[1])
    frames[frame, slice(*rows), slice(*columns)][mask] = value
    return Box(frame, rows, columns), mask


def is_seen(frames: NDArray[np.generic], box: Box, mask: NDArray[np.bool_]) -> bool:
    """Whether the letters still stand out in the box of (frame, row, column[, sample])."""
    window = frames[box.frame, slice(*box.rows), slice(*box.columns)].astype(float)
    if window.ndim == 3:
        window = window.mean(axis=2)
    if window.shape != mask.shape or window.std() < 1e-6:
        return False
    return bool(abs(np.corrcoef(window.ravel(), mask.ravel().astype(float))[0, 1]) > SEEN)
