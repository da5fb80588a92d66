"""Crops as a picture, to see what a model sees."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

_LINE = 14  # pixels of a line of text
_GAP = 4


def draw_crops(crops: Sequence[NDArray[Any]], captions: Sequence[str], *, height: int = 256) -> Image.Image:
    """The middle slices of crops (D, H, W) beside each other, each with its caption below; 8-bit grey.

    Values from -1, black, to 1, white. ``height``: of a slice, in pixels; rows and columns are drawn at one scale, so
    the picture is true where a crop's last two spacings are alike. Raises ``ValueError`` when captions do not fit.
    """
    panels = []
    for crop, caption in zip(crops, captions, strict=True):
        plane = np.asarray(crop)[len(crop) // 2]
        grey = np.rint((np.clip(plane, -1, 1) + 1) * 127.5).astype(np.uint8)
        shown = Image.fromarray(grey).resize((round(height * grey.shape[1] / grey.shape[0]), height))
        panel = Image.new("L", (max(shown.width, round(ImageDraw.Draw(shown).textlength(caption))), height + _LINE))
        panel.paste(shown, (0, 0))
        ImageDraw.Draw(panel).text((0, height), caption, fill=255)
        panels.append(panel)
    picture = Image.new("L", (sum(panel.width + _GAP for panel in panels), height + _LINE))
    x = 0
    for panel in panels:
        picture.paste(panel, (x, 0))
        x += panel.width + _GAP
    return picture
