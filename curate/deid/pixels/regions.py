"""Rectangles of pixels, and ultrasound regions (PS3.3 C.8.5.5), outside of which stand banners with names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from curate.deid.elements import Element, Item
    from curate.deid.header import Header

_REGIONS = 0x00186011
_CORNERS = (0x0018601A, 0x00186018, 0x0018601E, 0x0018601C)  # Min Y0, Min X0, Max Y1, Max X1


class Box(NamedTuple):
    """Rows ``top`` to ``bottom`` and columns ``left`` to ``right``, the ends not included."""

    top: int
    left: int
    bottom: int
    right: int


def ultrasound_regions(header: Header) -> list[Box]:
    """Regions that hold echoes; empty when there are none, or one of them does not lie in the image.

    A header that is wrong about one region is not believed about any.
    """
    element = header.by_tag.get(_REGIONS)
    layout = header.pixels
    boxes = [_box(header, item) for item in (element.items or () if element is not None else ())]
    for box in boxes:
        inside = 0 <= box.top < box.bottom <= layout.rows and 0 <= box.left < box.right <= layout.columns
        if not inside:
            return []
    return boxes


def outside(boxes: Sequence[Box], rows: int, columns: int) -> list[Box]:
    """Rectangles that cover, without overlap, what none of the boxes covers."""
    cuts = sorted({0, rows, *(box.top for box in boxes), *(box.bottom for box in boxes)})
    rest = []
    for top, bottom in pairwise(cuts):
        left = 0
        for box in sorted((box for box in boxes if box.top <= top and bottom <= box.bottom), key=lambda box: box.left):
            if box.left > left:
                rest.append(Box(top, left, bottom, box.left))
            left = max(left, box.right)
        if left < columns:
            rest.append(Box(top, left, bottom, columns))
    return rest


def drop_covered(boxes: Iterable[Box]) -> list[Box]:
    """Distinct boxes, sorted, without those that lie inside another."""
    distinct = sorted(set(boxes))
    return [box for box in distinct if not any(other != box and _covers(other, box) for other in distinct)]


def _covers(outer: Box, inner: Box) -> bool:
    is_outside = inner.top < outer.top or inner.left < outer.left
    return not (is_outside or inner.bottom > outer.bottom or inner.right > outer.right)


def _box(header: Header, item: Item) -> Box:
    """Corners in the header are pixels of the region (inclusive); a missing one makes a box that lies nowhere."""
    little = "little" if item.syntax.little else "big"
    by_tag = {element.tag: element for element in item.elements}
    numbers = [_number(header, by_tag.get(tag), little) for tag in _CORNERS]
    return Box(numbers[0], numbers[1], numbers[2] + 1, numbers[3] + 1)


def _number(header: Header, element: Element | None, order: str) -> int:
    if element is None or element.end - element.start != 4:
        return -1
    return int.from_bytes(header.file.content[element.start : element.end], "little" if order == "little" else "big")
