"""Three planes of a volume as one picture, hung as a radiologist expects, with labels drawn.

From left to right an axial, a sagittal and a coronal plane through one voxel, as ``curate.volumes.upright`` turns them.
One scale for all planes: a millimetre has the same length everywhere. Planes are cut along the volume's own axes; an
oblique volume is lettered by the nearest patient axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw

from curate.errors import Misconfigured
from curate.geometry.grid import Grid
from curate.volumes.display import default_place, default_window
from curate.volumes.panel import MARGIN, RGB, TEXT_COLOUR, Panel, colour_of, font
from curate.volumes.upright import PLANES, Upright

LONGEST = 512  # pixels of the longest side of the planes
_LINE = 18  # pixels of a line of text
_BAR_MM = 50


def three_planes(
    array: NDArray[Any],
    grid: Grid,
    *,
    units: str | None = None,
    masks: Mapping[str, NDArray[np.uint8]] | None = None,
    boxes: Sequence[ArrayLike] = (),
    points: Sequence[ArrayLike] = (),
    point_names: Sequence[str] | None = None,
    at: Sequence[int] | None = None,
    window: tuple[float, float] | None = None,
    flags: Sequence[str] = (),
    names: Mapping[str, Mapping[int, str]] | None = None,
) -> Image.Image:
    """Draw ``array`` (k, j, i) through voxel ``at``; 8-bit RGB.

    ``masks``: label maps on the same grid, drawn as outlines; ``names``: by mask, what its labels are called in the
    legend. ``boxes``: (4, 3) corners in order, ``points``: (3,), both continuous (k, j, i); a box is drawn on the plane
    that it lies in, a point on every plane with its name of ``point_names`` beside it, each within half a slice.
    Without ``at``: the first box or point, the middle of what is labelled, or of the body. ``window``: (centre, width)
    in the volume's units, by default as ``curate.volumes.display`` finds it. ``flags`` go into the line below.

    Raises ``Misconfigured`` when ``at`` lies outside or the width is not positive, ``ValueError`` when an array does
    not fit the grid or the names do not fit the points.
    """
    labels = dict(masks or {})
    if any(each.shape != grid.shape for each in (array, *labels.values())):
        raise ValueError("array, masks: another shape than the grid")
    corners = [np.asarray(box, np.float64).reshape(4, 3) for box in boxes]
    dots = [np.asarray(point, np.float64).reshape(3) for point in points]
    place = default_place(array, grid, units, masks=labels.values(), drawings=[*corners, *dots]) if at is None else at
    shown = default_window(array, units) if window is None else window
    if window is not None and not window[1] > 0:
        raise Misconfigured("window: the width must be more than 0")
    upright = Upright.of(grid, _checked(place, grid), LONGEST)
    pictures = []
    for plane in PLANES:
        panel = Panel(upright, plane, array, shown)
        panel.draw_outlines(labels.values())
        panel.draw_boxes(corners)
        panel.draw_points(dots, point_names if point_names is not None else [""] * len(dots))
        pictures.append(panel.with_letters())
    legend = _legend(upright, labels, names or {})
    return _compose(pictures, legend, _caption(grid, units, shown, place, flags), upright.scale)


def _checked(at: Sequence[int], grid: Grid) -> tuple[int, int, int]:
    if len(at) != 3 or not all(0 <= n < size for n, size in zip(at, grid.shape, strict=True)):
        ranges = ", ".join(f"0..{size - 1}" for size in grid.shape)
        raise Misconfigured(f"place: expected three voxel indices in {ranges}")
    k, j, i = (int(n) for n in at)
    return k, j, i


def _legend(
    upright: Upright, masks: Mapping[str, NDArray[np.uint8]], names: Mapping[str, Mapping[int, str]]
) -> list[tuple[str, RGB]]:
    """Every label that a plane shows, and its colour."""
    found: list[tuple[str, RGB]] = []
    for name, mask in masks.items():
        planes = [np.unique(upright.cut(mask, plane)) for plane in PLANES]
        for value in sorted({int(v) for values in planes for v in values} - {0}):
            found.append((names.get(name, {}).get(value, f"{name} {value}"), colour_of(value)))
    return found


def _caption(
    grid: Grid, units: str | None, window: tuple[float, float], place: Sequence[int], flags: Sequence[str]
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
    """Planes beside each other; below them legend, caption and a bar of known length."""
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
            pen.text((MARGIN + x + 16, y), name, fill=colour, font=font())
        y += _LINE
    for line in lines:
        pen.text((MARGIN, y), line, fill=TEXT_COLOUR, font=font())
        y += _LINE
    length = min(round(_BAR_MM * scale), width - 2 * MARGIN - 60)
    pen.line((MARGIN, y + 8, MARGIN + length - 1, y + 8), fill=TEXT_COLOUR, width=3)
    pen.text((MARGIN + length + 8, y), f"{length / scale:.0f} mm", fill=TEXT_COLOUR, font=font())
    return picture


def _legend_rows(legend: Sequence[tuple[str, RGB]], width: int) -> list[list[tuple[int, str, RGB]]]:
    rows: list[list[tuple[int, str, RGB]]] = []
    x = width
    for name, colour in legend:
        wide = 16 + int(font().getlength(name)) + 18
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
        if lines[-1] and font().getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
