"""One plane of a volume, drawn: grey values, outlines of masks, boxes, points, and letters at its edges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from curate.volumes.display import to_grey
from curate.volumes.upright import Plane, Upright

MARGIN = 24  # pixels around each plane, for its letters
COLOURS = (  # of labels 1, 2, ...: neighbours differ, none is grey, none is that of boxes or points
    *((230, 80, 70), (70, 200, 90), (90, 140, 255), (240, 150, 40), (190, 100, 240)),
    *((60, 200, 200), (255, 120, 190), (170, 210, 60), (200, 140, 100), (140, 160, 250)),
)
BOX_COLOUR = 255, 235, 0
POINT_COLOUR = 0, 255, 255
TEXT_COLOUR = 210, 210, 210
_CROSS_COLOUR = 120, 120, 120
_SHADOW = 0, 0, 0
_GAP = 12  # pixels around the crossing that the cross leaves free
_RING = 5  # pixels

RGB = tuple[int, int, int]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def colour_of(label: int) -> RGB:
    """The colour of a label of a mask, 1 or more."""
    return COLOURS[(label - 1) % len(COLOURS)]


@cache
def font() -> Font:
    """The font of all text."""
    return ImageFont.load_default(13)


class Panel:
    """A plane of ``array`` (k, j, i, the volume's own order) in grey, with lines where the other planes meet it.

    ``window``: (centre, width). What is drawn later lies above what was drawn before.
    """

    def __init__(self, upright: Upright, plane: Plane, array: NDArray[Any], window: tuple[float, float]) -> None:
        self._upright, self._plane = upright, plane
        grey = Image.fromarray(to_grey(upright.cut(array, plane), window))
        self._image = grey.resize(upright.size(plane), Image.Resampling.BILINEAR).convert("RGB")
        self._draw_cross()

    def draw_outlines(self, masks: Iterable[NDArray[np.uint8]]) -> None:
        """Masks of the shape of the volume, every label in its colour."""
        for mask in masks:
            flat = Image.fromarray(self._upright.cut(mask, self._plane))
            labels = np.asarray(flat.resize(self._image.size, Image.Resampling.NEAREST))
            pixels = np.array(self._image)
            edge = _edges(labels)
            pixels[edge] = np.array([colour_of(n) for n in range(256)], np.uint8)[labels[edge]]
            self._image = Image.fromarray(pixels)

    def draw_boxes(self, boxes: Sequence[NDArray[np.float64]]) -> None:
        """Those that lie in this plane; (4, 3) corners in order, continuous (k, j, i) of the volume."""
        pen = ImageDraw.Draw(self._image)
        for box in boxes:
            corners = self._upright.indices(box)
            if self._upright.lies_in(corners, self._plane):
                outline = [self._upright.pixel(corner, self._plane) for corner in corners]
                pen.line([*outline, outline[0]], fill=BOX_COLOUR, width=2)

    def draw_points(self, points: Sequence[NDArray[np.float64]], names: Sequence[str]) -> None:
        """A ring around those that are near this plane, (3,) of the volume, and the name of each beside it."""
        pen = ImageDraw.Draw(self._image)
        for point, name in zip(points, names, strict=True):
            index = self._upright.indices(point)
            if not self._upright.is_near(index, self._plane):
                continue
            x, y = self._upright.pixel(index, self._plane)
            pen.ellipse((x - _RING, y - _RING, x + _RING, y + _RING), outline=POINT_COLOUR, width=2)
            is_right = x + 2 * _RING + font().getlength(name) <= self._image.width
            beside = x + 2 * _RING if is_right else x - 2 * _RING
            pen.text(
                (beside, y - 2 * _RING - 2),  # above the lines of the cross
                name,
                fill=POINT_COLOUR,
                font=font(),
                anchor="lm" if is_right else "rm",
                stroke_width=2,
                stroke_fill=_SHADOW,
            )

    def with_letters(self) -> Image.Image:
        """The plane in its margin, which says towards which side of the patient each edge lies."""
        width, height = self._image.size
        panel = Image.new("RGB", (max(width, MARGIN) + 2 * MARGIN, height + 2 * MARGIN))
        left = (panel.width - width) // 2
        panel.paste(self._image, (left, MARGIN))
        pen = ImageDraw.Draw(panel)
        x, y, half = panel.width // 2, panel.height // 2, MARGIN // 2
        places = (left - half, y), (left + width + half, y), (x, half), (x, panel.height - half)
        for letter, where in zip(self._upright.letters(self._plane), places, strict=True):
            pen.text(where, letter, fill=TEXT_COLOUR, font=font(), anchor="mm")
        return panel

    def _draw_cross(self) -> None:
        x, y = (int(v) for v in self._upright.pixel(np.array(self._upright.place, np.float64), self._plane))
        width, height = self._image.size
        pen = ImageDraw.Draw(self._image)
        for line in ((0, y, x - _GAP, y), (x + _GAP, y, width, y), (x, 0, x, y - _GAP), (x, y + _GAP, x, height)):
            if line[0] <= line[2] and line[1] <= line[3]:
                pen.line(line, fill=_CROSS_COLOUR)


def _edges(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a label has another one, or the border, beside it."""
    padded = np.pad(labels, 1)
    inside = np.ones(labels.shape, np.bool_)
    for beside in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
        inside &= beside == labels
    edge: NDArray[np.bool_] = (labels > 0) & ~inside
    return edge
