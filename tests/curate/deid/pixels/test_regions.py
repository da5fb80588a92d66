"""Rectangles: what ultrasound regions leave uncovered, and which boxes say nothing new."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from curate.deid.pixels.regions import Box, drop_covered, outside, ultrasound_regions
from tests.support.deid_files import encode, item
from tests.support.pixel_files import header_of, make_image

BOXES = st.lists(
    st.tuples(st.integers(0, 8), st.integers(0, 8), st.integers(1, 4), st.integers(1, 4)).map(
        lambda corner: Box(corner[0], corner[1], corner[0] + corner[2], corner[1] + corner[3])
    ),
    max_size=5,
)


def region(left: int, top: int, right: int, bottom: int) -> Dataset:
    return item(
        RegionLocationMinX0=left, RegionLocationMinY0=top, RegionLocationMaxX1=right, RegionLocationMaxY1=bottom
    )


def regions_of(*regions: Dataset, syntax: str = "1.2.840.10008.1.2.1") -> list[Box]:
    dataset = make_image(np.zeros((30, 40), np.uint8), Modality="US")
    dataset.SequenceOfUltrasoundRegions = Sequence(regions)
    return ultrasound_regions(header_of(encode(dataset, syntax)))


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"])
def test_corners_in_the_header_belong_to_the_region(syntax: str) -> None:
    assert regions_of(region(4, 5, 19, 9), syntax=syntax) == [Box(5, 4, 10, 20)]


def test_all_regions_are_taken() -> None:
    assert regions_of(region(0, 0, 9, 9), region(20, 0, 39, 29)) == [Box(0, 0, 10, 10), Box(0, 20, 30, 40)]


@pytest.mark.parametrize("wrong", [(0, 0, 40, 10), (0, 0, 10, 30), (9, 9, 2, 12), (0xFFFFFFFF, 0, 10, 10)])
def test_a_header_that_is_wrong_about_one_region_is_not_believed_about_any(wrong: tuple[int, int, int, int]) -> None:
    assert regions_of(region(0, 0, 9, 9), region(*wrong)) == []


def test_a_region_without_corners_is_none() -> None:
    assert regions_of(item(RegionLocationMinX0=1)) == []


def test_an_image_without_regions_has_none() -> None:
    assert ultrasound_regions(header_of(encode(make_image(np.zeros((4, 4), np.uint8))))) == []


@given(BOXES)
@settings(deadline=None)
def test_the_rest_is_covered_once_and_nothing_else_is(boxes: list[Box]) -> None:
    inside = [Box(box.top, box.left, min(box.bottom, 10), min(box.right, 10)) for box in boxes]
    kept, rest = np.zeros((10, 10), int), np.zeros((10, 10), int)
    for top, left, bottom, right in inside:
        kept[top:bottom, left:right] = 1
    for top, left, bottom, right in outside(inside, 10, 10):
        rest[top:bottom, left:right] += 1
    assert np.array_equal(rest, 1 - kept)


def test_without_boxes_everything_is_outside() -> None:
    assert outside([], 3, 4) == [Box(0, 0, 3, 4)]


def test_boxes_inside_others_and_doubles_are_dropped() -> None:
    large, small, other = Box(0, 0, 10, 10), Box(2, 2, 4, 4), Box(8, 8, 12, 12)
    assert drop_covered([other, small, large, large]) == [large, other]


@given(BOXES)
@settings(deadline=None)
def test_dropping_leaves_the_same_area(boxes: list[Box]) -> None:
    before, after = np.zeros((16, 16), bool), np.zeros((16, 16), bool)
    for area, some in ((before, boxes), (after, drop_covered(boxes))):
        for top, left, bottom, right in some:
            area[top:bottom, left:right] = True
    assert np.array_equal(before, after)
