from __future__ import annotations

import numpy as np
import pytest

from curate.phantoms.neck_study import broken_levels, make_neck_study
from curate.phantoms.sites import list_sites
from curate.phantoms.studies import Study


@pytest.fixture(scope="module")
def broken() -> Study:
    number = next(n for n in range(20) if broken_levels(1, n))
    return make_neck_study(1, list_sites(1)[0], number, matrix=96)


def test_about_six_in_ten_are_broken_and_every_level_occurs() -> None:
    drawn = [broken_levels(5, number) for number in range(100)]
    assert 50 <= sum(bool(levels) for levels in drawn) <= 70
    assert {level for levels in drawn for level in levels} == set(range(7))
    assert drawn[:10] == [broken_levels(5, number) for number in range(10)]


def test_the_label_row_says_which_vertebrae_are_broken(broken: Study) -> None:
    row = next(values for table, values in broken.label_rows if table == "train")
    fractured = {name for kind, name, _ in broken.anatomy if kind == "fracture"}
    assert row[1] == 1
    assert {f"C{n + 1}" for n in range(7) if row[2 + n]} == fractured


def test_boxes_hold_the_fracture_and_lie_inside_the_frame(broken: Study) -> None:
    stack = broken.series[0].stacks[0]
    boxes = [values for table, values in broken.label_rows if table == "train_bounding_boxes"]
    assert len(boxes) >= 2
    for _, x, y, width, height, number in boxes:
        assert 0 <= x < x + width < stack.pixels.shape[2]
        assert 0 <= y < y + height < stack.pixels.shape[1]
        assert number in stack.numbers


def test_box_corners_in_millimetres_are_those_of_the_pixels(broken: Study) -> None:
    stack = broken.series[0].stacks[0]
    by_number = {int(number): k for k, number in enumerate(stack.numbers)}
    for mark in broken.marks:
        position = stack.grid.affine[:3, 3] + stack.grid.affine[:3, 0] * by_number[mark.instance_number]
        point = position + mark.column * stack.grid.affine[:3, 2] + mark.row * stack.grid.affine[:3, 1]
        np.testing.assert_allclose(mark.point_mm, point, atol=1e-6)
        assert np.linalg.norm(np.subtract(mark.point_mm, mark.anatomy_mm)) < 40


def test_signed_and_unsigned_sites_store_the_same_range_of_hounsfield_units() -> None:
    for site in list_sites(5):
        series = make_neck_study(2, site, 0, matrix=48).series[0]
        pixels = series.stacks[0].pixels
        assert pixels.dtype == (np.int16 if site.signed else np.uint16)
        units = pixels.astype(int) + series.facts.intercept
        assert -1024 <= units.min() < -950
        assert 700 < units.max() < 1300


def test_numbers_run_up_or_down_with_the_site() -> None:
    up, down = (make_neck_study(2, site, 0, matrix=32).series[0].stacks[0].numbers for site in list_sites(2))
    assert up[0] == 1
    assert down[-1] == 1
