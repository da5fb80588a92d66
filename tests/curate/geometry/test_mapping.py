"""Pixels and patients, against the equation of PS3.3 C.7.6.2.1-1 worked out term by term."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.geometry import Grid, box_corners, orient, patient_to_pixel, pixel_to_patient, resample
from curate.geometry.mapping import index_to_pixel, pixel_to_index

# ImageOrientationPatient of a lumbar axial slice angled along a disc; PixelSpacing (between rows, between columns)
ROW_DIRECTION = np.array([0.9986, 0.0523, 0.0])
ROW_DIRECTION = ROW_DIRECTION / np.linalg.norm(ROW_DIRECTION)
COLUMN_DIRECTION = np.cross([0.02, -0.42, 0.9], ROW_DIRECTION)
COLUMN_DIRECTION = COLUMN_DIRECTION / np.linalg.norm(COLUMN_DIRECTION)
NORMAL = np.cross(ROW_DIRECTION, COLUMN_DIRECTION)
BETWEEN_ROWS, BETWEEN_COLUMNS, BETWEEN_SLICES = 0.52, 0.47, 4.4
FIRST = np.array([-81.0, -64.5, 233.0])


def source_grid(slices: int = 9, drift: NDArray[np.float64] | None = None, sign: float = 1.0) -> Grid:
    affine = np.eye(4)
    affine[:3, 0] = sign * BETWEEN_SLICES * NORMAL + (0 if drift is None else drift)
    affine[:3, 1] = BETWEEN_ROWS * COLUMN_DIRECTION
    affine[:3, 2] = BETWEEN_COLUMNS * ROW_DIRECTION
    affine[:3, 3] = FIRST
    return Grid((slices, 200, 180), affine)


def standard(position: NDArray[np.float64], column: float, row: float) -> NDArray[np.float64]:
    """PS3.3 equation C.7.6.2.1-1 for one pixel of one image."""
    return position + ROW_DIRECTION * BETWEEN_COLUMNS * column + COLUMN_DIRECTION * BETWEEN_ROWS * row


PIXELS = [(0, 0.0, 0.0), (4, 17.25, 130.5), (8, 179.0, 199.0), (3, -0.5, 60.0)]


@pytest.mark.parametrize(("k", "column", "row"), PIXELS)
def test_a_pixel_lies_where_the_standard_puts_it(k: int, column: float, row: float) -> None:
    expected = standard(FIRST + k * BETWEEN_SLICES * NORMAL, column, row)
    np.testing.assert_allclose(pixel_to_patient(source_grid(), k, column, row), expected, atol=1e-9)


def test_many_pixels_go_at_once_and_slices_broadcast() -> None:
    columns = np.arange(12.0).reshape(3, 4)
    points = pixel_to_patient(source_grid(), 2, columns, 5.0)
    assert points.shape == (3, 4, 3)
    np.testing.assert_allclose(points[1, 2], pixel_to_patient(source_grid(), 2, 6.0, 5.0))


@settings(deadline=None)
@given(k=st.integers(0, 8), column=st.floats(-10, 200), row=st.floats(-10, 220))
def test_a_point_on_a_slice_comes_back_to_its_pixel(k: int, column: float, row: float) -> None:
    found = patient_to_pixel(source_grid(), pixel_to_patient(source_grid(), k, column, row))
    assert int(found.slice_index) == k
    assert float(found.column) == pytest.approx(column, abs=1e-8)
    assert float(found.row) == pytest.approx(row, abs=1e-8)
    assert float(found.distance_mm) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_point_beside_a_slice_goes_to_the_nearest_slice_with_its_distance(sign: float) -> None:
    grid = source_grid(sign=sign)
    on_slice = standard(FIRST + 3 * sign * BETWEEN_SLICES * NORMAL, 40, 50)
    found = patient_to_pixel(grid, on_slice + 1.5 * NORMAL)
    assert (int(found.slice_index), float(found.column), float(found.row)) == pytest.approx((3, 40, 50))
    assert float(found.distance_mm) == pytest.approx(1.5)


def test_a_point_beyond_the_stack_goes_to_the_last_slice_and_the_distance_tells() -> None:
    found = patient_to_pixel(source_grid(), standard(FIRST + 11 * BETWEEN_SLICES * NORMAL, 4, 5))
    assert int(found.slice_index) == 8
    assert float(found.distance_mm) == pytest.approx(3 * BETWEEN_SLICES)


def test_halfway_between_two_slices_the_lower_index_is_taken() -> None:
    found = patient_to_pixel(source_grid(), FIRST + 2.5 * BETWEEN_SLICES * NORMAL)
    assert int(found.slice_index) == 2


def test_on_a_sheared_stack_a_point_drops_straight_onto_the_slice() -> None:
    drift = 1.3 * COLUMN_DIRECTION  # each slice lies 2.5 rows further down
    grid = source_grid(drift=drift)
    on_slice = standard(FIRST + 4 * (BETWEEN_SLICES * NORMAL + drift), 40, 50)
    found = patient_to_pixel(grid, on_slice - 2.0 * NORMAL)
    assert (int(found.slice_index), float(found.column), float(found.row)) == pytest.approx((4, 40, 50))
    assert float(found.distance_mm) == pytest.approx(-2.0)


def test_a_single_slice_takes_every_point() -> None:
    found = patient_to_pixel(source_grid(slices=1), FIRST + 7 * NORMAL)
    assert int(found.slice_index) == 0
    assert float(found.distance_mm) == pytest.approx(7)


def test_box_corners_stand_in_the_stated_order() -> None:
    corners = box_corners(source_grid(), 5, 20, 30, 8, 6)
    position = FIRST + 5 * BETWEEN_SLICES * NORMAL
    expected = [standard(position, c, r) for r, c in ((30, 20), (30, 28), (36, 28), (36, 20))]
    np.testing.assert_allclose(corners, expected, atol=1e-9)


def test_a_table_of_boxes_goes_at_once() -> None:
    corners = box_corners(source_grid(), [1, 2], [20, 21], [30, 31], [8, 9], [6, 7])
    assert corners.shape == (2, 4, 3)
    np.testing.assert_allclose(corners[1], box_corners(source_grid(), 2, 21, 31, 9, 7))


@pytest.mark.parametrize("target", ["radiological", "SPL", "LIP", "IAR"])
@pytest.mark.parametrize("spacing", [(None, None, None), (1.0, 1.0, 1.0), (5.0, 0.3, 0.9)])
def test_a_bright_pixel_is_found_in_the_volume_where_its_label_says(
    target: str, spacing: tuple[float | None, ...]
) -> None:
    grid = source_grid(slices=12)
    array = np.zeros(grid.shape, dtype=np.float32)
    k, row, column = 6, 77, 101
    array[k - 1 : k + 2, row - 4 : row + 5, column - 4 : column + 5] = 100  # symmetric about the labelled pixel
    turned, turned_grid = orient(array, grid, target)
    volume, volume_grid = resample(turned, turned_grid, spacing)
    index = pixel_to_index(grid, volume_grid, k, column, row)
    weights = volume.astype(np.float64)
    centroid = [float((weights.sum(axis=others) @ np.arange(n)) / weights.sum()) for n, others in _axes(volume.shape)]
    np.testing.assert_allclose(centroid, index, atol=0.05)
    back = index_to_pixel(grid, volume_grid, index)
    assert (int(back.slice_index), float(back.column), float(back.row)) == pytest.approx((k, column, row))


def _axes(shape: tuple[int, ...]) -> list[tuple[int, tuple[int, int]]]:
    return [(shape[0], (1, 2)), (shape[1], (0, 2)), (shape[2], (0, 1))]
