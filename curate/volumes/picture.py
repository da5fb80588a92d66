"""Three planes of a volume as one picture, hung as a radiologist expects, with labels drawn.

From left to right an axial, a sagittal and a coronal plane through one voxel. The patient's right is on the viewer's
left (axial, coronal), the front is up (axial) or left (sagittal), the head is up (sagittal, coronal). One scale for
all planes: a millimetre has the same length everywhere. Planes are cut along the volume's own axes; an oblique volume
is lettered by the nearest patient axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from curate.errors import Misconfigured
from curate.geometry.grid import Grid
from curate.geometry.orientation import axis_order, orient
from curate.volumes.display import default_place, default_window, to_grey

LONGEST = 512  # pixels of the longest side of the planes
MARGIN = 24  # pixels around each plane, for its letters
COLOURS = (  # of labels 1, 2, ...: neighbours differ, none is grey, none is that of boxes or points
    *((230, 80, 70), (70, 200, 90), (90, 140, 255), (240, 150, 40), (190, 100, 240)),
    *((60, 200, 200), (255, 120, 190), (170, 210, 60), (200, 140, 100), (140, 160, 250)),
)
BOX_COLOUR = 255, 235, 0
POINT_COLOUR = 0, 255, 255
_CROSS_COLOUR = 120, 120, 120
_TEXT_COLOUR = 210, 210, 210
_LINE = 18  # pixels of a line of text
_GAP = 12  # pixels around the crossing that the cross leaves free
_RING = 5  # pixels
_BAR_MM = 50
_ORDER = "SPL"  # array order in which every plane is a slice: head, back and left at the high ends
_HALF = 0.5 + 1e-6

RGB = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class _Plane:
    """Which axes of the ``SPL`` array a plane has: its normal, its rows, its columns; head up turns the rows over."""

    normal: int
    rows: int
    columns: int

    @property
    def is_turned(self) -> bool:
        return self.rows == 0


_AXIAL, _SAGITTAL, _CORONAL = _Plane(0, 1, 2), _Plane(2, 0, 1), _Plane(1, 0, 2)
_OPPOSITE = dict(pairwise("LRL")) | dict(pairwise("APA")) | dict(pairwise("SIS"))


def three_planes(
    array: NDArray[Any],
    grid: Grid,
    *,
    units: str | None = None,
    masks: Mapping[str, NDArray[np.uint8]] | None = None,
    boxes: Sequence[ArrayLike] = (),
    points: Sequence[ArrayLike] = (),
    at: Sequence[int] | None = None,
    window: tuple[float, float] | None = None,
    flags: Sequence[str] = (),
    names: Mapping[str, Mapping[int, str]] | None = None,
) -> Image.Image:
    """Draw ``array`` (k, j, i) through voxel ``at``; 8-bit RGB.

    ``masks``: label maps on the same grid, drawn as outlines; ``names``: by mask, what its labels are called in the
    legend. ``boxes``: (4, 3) corners in order, ``points``: (3,), both continuous (k, j, i); a box is drawn on the plane
    that it lies in, a point on every plane, each within half a slice. Without ``at``: the first box or point, the
    middle of what is labelled, or of the body. ``window``: (centre, width) in the volume's units, by default bone for
    ``HU`` and the 1st to the 99th percentile otherwise. ``flags`` go into the line below.

    Raises ``Misconfigured`` when ``at`` lies outside or the width is not positive, ``ValueError`` when an array does
    not fit the grid.
    """
    labels = dict(masks or {})
    if any(each.shape != grid.shape for each in (array, *labels.values())):
        raise ValueError("array, masks: another shape than the grid")
    corners = [np.asarray(box, np.float64).reshape(4, 3) for box in boxes]
    dots = [np.asarray(point, np.float64).reshape(3) for point in points]
    place = _checked(at, grid) if at is not None else _somewhere(array, grid, units, labels, corners, dots)
    shown = window or default_window(array, units)
    if not shown[1] >= 0 or (window is not None and not shown[1] > 0):
        raise Misconfigured("window: the width must be more than 0")
    scene = _Scene.build(array, grid, labels, place, shown)
    panels = [scene.draw(plane, corners, dots) for plane in (_AXIAL, _SAGITTAL, _CORONAL)]
    legend = scene.legend(names or {})
    return _compose(panels, legend, _caption(grid, units, shown, place, flags), scene.scale)


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """Everything in ``SPL`` order."""

    array: NDArray[Any]
    grid: Grid
    masks: Mapping[str, NDArray[np.uint8]]
    place: tuple[int, int, int]
    window: tuple[float, float]
    order: tuple[int, int, int]  # axes of the volume that became (k, j, i) here
    turned: tuple[int, int, int]  # -1: that axis was turned over, else 1
    scale: float  # pixels a millimetre

    @classmethod
    def build(
        cls,
        array: NDArray[Any],
        grid: Grid,
        masks: Mapping[str, NDArray[np.uint8]],
        place: tuple[int, int, int],
        window: tuple[float, float],
    ) -> _Scene:
        view, upright = orient(array, grid, _ORDER)
        turned_masks = {name: orient(mask, grid, _ORDER)[0] for name, mask in masks.items()}
        order = axis_order(grid, _ORDER)
        a, b, c = (1 if grid.axis_codes[source] == letter else -1 for source, letter in zip(order, _ORDER, strict=True))
        longest = max(n * mm for n, mm in zip(upright.shape, upright.spacing_mm, strict=True))
        scene = cls(view, upright, turned_masks, (0, 0, 0), window, order, (a, b, c), LONGEST / longest)
        k, j, i = (int(n) for n in scene.upright(np.array(place, np.float64)))
        return cls(view, upright, turned_masks, (k, j, i), window, order, (a, b, c), LONGEST / longest)

    def upright(self, indices: NDArray[np.float64]) -> NDArray[np.float64]:
        """(..., 3) continuous (k, j, i) of the volume -> of this scene."""
        moved = indices[..., self.order] * self.turned
        last = np.array(self.grid.shape) - 1
        turned: NDArray[np.float64] = np.where(np.array(self.turned) < 0, moved + last, moved)
        return turned

    def size(self, plane: _Plane) -> tuple[int, int]:
        """(width, height) in pixels."""
        width, height = (
            max(1, round(self.grid.shape[axis] * self.grid.spacing_mm[axis] * self.scale))
            for axis in (plane.columns, plane.rows)
        )
        return width, height

    def cut(self, array: NDArray[Any], plane: _Plane) -> NDArray[Any]:
        """The plane of an array as (rows, columns), upper row first."""
        flat = np.take(array, self.place[plane.normal], axis=plane.normal)
        upper_first: NDArray[Any] = flat[::-1] if plane.is_turned else flat
        return upper_first

    def pixel(self, index: NDArray[np.float64], plane: _Plane) -> tuple[float, float]:
        """(x, y) of an index of this scene: a voxel's centre is at the middle of its pixels."""
        width, height = self.size(plane)
        row = index[plane.rows]
        if plane.is_turned:
            row = self.grid.shape[plane.rows] - 1 - row
        x = (index[plane.columns] + 0.5) * width / self.grid.shape[plane.columns]
        y = (row + 0.5) * height / self.grid.shape[plane.rows]
        return float(x), float(y)

    def draw(
        self, plane: _Plane, boxes: Sequence[NDArray[np.float64]], points: Sequence[NDArray[np.float64]]
    ) -> Image.Image:
        """One plane with its labels and its letters in the margin."""
        size = self.size(plane)
        grey = to_grey(self.cut(self.array, plane), self.window)
        picture = Image.fromarray(np.ascontiguousarray(grey)).resize(size, Image.Resampling.BILINEAR).convert("RGB")
        self._draw_cross(picture, plane)
        for mask in self.masks.values():
            self._draw_outlines(picture, mask, plane)
        pen = ImageDraw.Draw(picture)
        for box in boxes:
            corners = self.upright(box)
            if self._lies_in(corners, plane):
                outline = [self.pixel(corner, plane) for corner in corners]
                pen.line([*outline, outline[0]], fill=BOX_COLOUR, width=2)
        for point in points:
            index = self.upright(point)
            if abs(index[plane.normal] - self.place[plane.normal]) <= _HALF:
                x, y = self.pixel(index, plane)
                pen.ellipse((x - _RING, y - _RING, x + _RING, y + _RING), outline=POINT_COLOUR, width=2)
        return self._with_letters(picture, plane)

    def _lies_in(self, corners: NDArray[np.float64], plane: _Plane) -> bool:
        """Whether the plane is the one nearest to the box, and within half a slice of its middle."""
        extent = (corners.max(axis=0) - corners.min(axis=0)) * self.grid.spacing_mm
        away = corners[:, plane.normal].mean() - self.place[plane.normal]
        return int(np.argmin(extent)) == plane.normal and bool(abs(away) <= _HALF)

    def _draw_cross(self, picture: Image.Image, plane: _Plane) -> None:
        x, y = (int(v) for v in self.pixel(np.array(self.place, np.float64), plane))
        width, height = picture.size
        pen = ImageDraw.Draw(picture)
        for line in ((0, y, x - _GAP, y), (x + _GAP, y, width, y), (x, 0, x, y - _GAP), (x, y + _GAP, x, height)):
            if line[0] <= line[2] and line[1] <= line[3]:
                pen.line(line, fill=_CROSS_COLOUR)

    def _draw_outlines(self, picture: Image.Image, mask: NDArray[np.uint8], plane: _Plane) -> None:
        flat = Image.fromarray(np.ascontiguousarray(self.cut(mask, plane)))
        labels = np.asarray(flat.resize(picture.size, Image.Resampling.NEAREST))
        padded = np.pad(labels, 1)
        inside = np.ones(labels.shape, np.bool_)
        for beside in (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]):
            inside &= beside == labels
        edge = (labels > 0) & ~inside
        pixels = np.array(picture)
        pixels[edge] = np.array([colour_of(n) for n in range(256)], np.uint8)[labels[edge]]
        picture.paste(Image.fromarray(pixels))

    def _with_letters(self, picture: Image.Image, plane: _Plane) -> Image.Image:
        width, height = picture.size
        # rows that are turned over have the high end of their axis at the top
        codes = self.grid.axis_codes
        right, down = codes[plane.columns], codes[plane.rows]
        down = _OPPOSITE[down] if plane.is_turned else down
        panel = Image.new("RGB", (max(width, MARGIN) + 2 * MARGIN, height + 2 * MARGIN))
        left = (panel.width - width) // 2
        panel.paste(picture, (left, MARGIN))
        pen = ImageDraw.Draw(panel)
        x, y, half = panel.width // 2, panel.height // 2, MARGIN // 2
        for letter, where in (
            (_OPPOSITE[right], (left - half, y)),
            (right, (left + width + half, y)),
            (_OPPOSITE[down], (x, half)),
            (down, (x, panel.height - half)),
        ):
            pen.text(where, letter, fill=_TEXT_COLOUR, font=_font(), anchor="mm")
        return panel

    def legend(self, names: Mapping[str, Mapping[int, str]]) -> list[tuple[str, RGB]]:
        """Every label that a plane shows, and its colour."""
        found: list[tuple[str, RGB]] = []
        for name, mask in self.masks.items():
            planes = [np.unique(self.cut(mask, plane)) for plane in (_AXIAL, _SAGITTAL, _CORONAL)]
            for value in sorted({int(v) for values in planes for v in values} - {0}):
                found.append((names.get(name, {}).get(value, f"{name} {value}"), colour_of(value)))
        return found


def colour_of(label: int) -> RGB:
    """The colour of a label of a mask, 1 or more."""
    return COLOURS[(label - 1) % len(COLOURS)]


def _checked(at: Sequence[int], grid: Grid) -> tuple[int, int, int]:
    if len(at) != 3 or not all(0 <= n < size for n, size in zip(at, grid.shape, strict=False)):
        ranges = ", ".join(f"0..{size - 1}" for size in grid.shape)
        raise Misconfigured(f"place: expected three voxel indices in {ranges}")
    k, j, i = (int(n) for n in at)
    return k, j, i


def _somewhere(
    array: NDArray[Any],
    grid: Grid,
    units: str | None,
    masks: Mapping[str, NDArray[np.uint8]],
    boxes: Sequence[NDArray[np.float64]],
    points: Sequence[NDArray[np.float64]],
) -> tuple[int, int, int]:
    return default_place(array, grid, units, masks=masks.values(), drawings=[*boxes, *points])


def _caption(
    grid: Grid, units: str | None, window: tuple[float, float], place: tuple[int, int, int], flags: Sequence[str]
) -> str:
    parts = [
        " x ".join(str(n) for n in grid.shape) + " voxels",
        " x ".join(f"{mm:.2f}" for mm in grid.spacing_mm) + " mm",
        f"centre {window[0]:.5g} width {window[1]:.5g}" + (" HU" if units == "HU" else ""),
        "at " + ",".join(str(n) for n in place),
        *((", ".join(flags),) if flags else ()),
    ]
    return "   ".join(parts)


def _compose(
    panels: Sequence[Image.Image], legend: Sequence[tuple[str, RGB]], caption: str, scale: float
) -> Image.Image:
    width = sum(panel.width for panel in panels)
    lines = _wrapped(caption, width - 2 * MARGIN)
    rows = _legend_rows(legend, width - 2 * MARGIN)
    height = max(panel.height for panel in panels)
    picture = Image.new("RGB", (width, height + _LINE * (len(lines) + len(rows) + 1)))
    x = 0
    for panel in panels:
        picture.paste(panel, (x, 0))
        x += panel.width
    pen = ImageDraw.Draw(picture)
    y = height
    for row in rows:
        for x, name, colour in row:
            pen.rectangle((MARGIN + x, y + 3, MARGIN + x + 10, y + 13), outline=colour, width=2)
            pen.text((MARGIN + x + 16, y), name, fill=colour, font=_font())
        y += _LINE
    for line in lines:
        pen.text((MARGIN, y), line, fill=_TEXT_COLOUR, font=_font())
        y += _LINE
    length = min(round(_BAR_MM * scale), width - 2 * MARGIN - 60)
    pen.line((MARGIN, y + 8, MARGIN + length - 1, y + 8), fill=_TEXT_COLOUR, width=3)
    pen.text((MARGIN + length + 8, y), f"{length / scale:.0f} mm", fill=_TEXT_COLOUR, font=_font())
    return picture


def _legend_rows(legend: Sequence[tuple[str, RGB]], width: int) -> list[list[tuple[int, str, RGB]]]:
    rows: list[list[tuple[int, str, RGB]]] = []
    x = width
    for name, colour in legend:
        wide = 16 + int(_font().getlength(name)) + 18
        if not rows or x + wide > width:
            rows.append([])
            x = 0
        rows[-1].append((x, name, colour))
        x += wide
    return rows


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and _font().getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(13)
