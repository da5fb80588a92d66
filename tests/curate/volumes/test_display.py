"""Grey values and places that show something."""

from __future__ import annotations

import numpy as np
import pytest

from curate.geometry import Grid
from curate.volumes.display import default_place, default_window, to_grey

GRID = Grid((30, 40, 50), np.diag([2.0, 1.0, 1.0, 1.0]))


def test_ct_is_shown_with_a_bone_window() -> None:
    assert default_window(np.zeros((2, 2, 2), np.int16), "HU") == (350, 2000)
    neck = np.full((30, 40, 50), -1000, np.int16)
    neck[10:15, 20:31, 10:40] = 40  # a body of 3% in air
    assert default_window(neck, "HU") == (350, 2000)


def test_what_the_bone_window_would_show_as_black_is_shown_by_its_own_values() -> None:
    lung = np.random.default_rng(0).integers(-1024, -770, (3, 50, 50)).astype(np.int16)
    centre, width = default_window(lung, "HU")
    assert centre == pytest.approx(-897, abs=5)
    assert 240 < width < 256


def test_mr_is_shown_from_the_1st_to_the_99th_percentile() -> None:
    array = np.arange(10_001, dtype=np.uint16).reshape(1, 1, -1)
    array = np.broadcast_to(array.reshape(73, 137), (1, 73, 137))
    centre, width = default_window(array, "stored")
    assert centre == pytest.approx(5000, abs=150)
    assert width == pytest.approx(9800, abs=150)


def test_a_few_bright_voxels_do_not_darken_the_rest() -> None:
    array = np.random.default_rng(0).integers(0, 100, (20, 20, 20)).astype(np.uint16)
    array[0, 0, :10] = 60_000
    centre, width = default_window(array, None)
    assert centre + width / 2 < 101


def test_the_window_goes_from_black_to_white_and_stops_there() -> None:
    grey = to_grey(np.array([[-5000, -650, 350, 1350, 5000]], np.int16), (350.0, 2000.0))
    assert grey.tolist() == [[0, 0, 128, 255, 255]]


def test_one_value_everywhere_is_no_error() -> None:
    array = np.full((3, 3, 3), 7, np.uint8)
    assert to_grey(array[0], default_window(array, None)).shape == (3, 3)


def test_the_body_of_a_ct_is_what_is_denser_than_air() -> None:
    array = np.full(GRID.shape, -1000, np.int16)
    array[10:15, 20:31, 5:10] = 40
    assert default_place(array, GRID, "HU") == (12, 25, 7)


def test_the_body_of_an_mr_is_what_is_brighter_than_the_mean() -> None:
    array = np.zeros(GRID.shape, np.uint16)
    array[20:25, 20:31, 30:41] = 900
    assert default_place(array, GRID, "stored") == (22, 25, 35)


def test_nothing_at_all_is_cut_in_the_middle() -> None:
    assert default_place(np.full(GRID.shape, -1024, np.int16), GRID, "HU") == (14, 20, 24)


def test_what_is_labelled_comes_before_the_body_and_a_hole_is_not_its_middle() -> None:
    array = np.zeros(GRID.shape, np.int16)
    ring = np.zeros(GRID.shape, np.uint8)
    ring[5, 10:21, 10:21] = 1
    ring[5, 12:19, 12:19] = 0
    place = default_place(array, GRID, "HU", masks=[np.zeros(GRID.shape, np.uint8), ring])
    assert ring[place] == 1


def test_a_drawing_comes_before_what_is_labelled_unless_it_lies_outside() -> None:
    mask = np.zeros(GRID.shape, np.uint8)
    mask[3, 3, 3] = 1
    box = [(7, 8, 9), (7, 8, 19), (7, 18, 19), (7, 18, 9)]
    outside = (-4.0, 2.0, 2.0)
    array = np.zeros(GRID.shape, np.int16)
    assert default_place(array, GRID, "HU", masks=[mask], drawings=[outside, box]) == (7, 13, 14)
    assert default_place(array, GRID, "HU", masks=[mask], drawings=[(8.4, 9.6, 1.0)]) == (8, 10, 1)
    assert default_place(array, GRID, "HU", masks=[mask], drawings=[outside]) == (3, 3, 3)
