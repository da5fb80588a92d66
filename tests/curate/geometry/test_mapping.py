"""Pixels and patients, against the equation of PS3.3 C.7.6.2.1-1 worked out term by term."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.geometry import Grid, Placement, box_corners, orient, patient_to_pixel, pixel_to_patient, resample
from curate.geometry.mapping import (
    box_to_index,
    index_to_box,
    index_to_pixel,
    mask_to_source,
    mask_to_volume,
    pixel_to_index,
)
from curate.geometry.placement import straighten

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


def random_placement(seed: int) -> Placement:
    """An oblique stack with its own tilt, gaps, pixel sizes and sense."""
    rng = np.random.default_rng(seed)
    row, column, normal = np.linalg.qr(rng.normal(size=(3, 3)))[0].T
    slices = int(rng.integers(1, 12))
    heights = np.cumsum(rng.uniform(0.5, 6.0, slices))[:, None]
    lean = rng.uniform(-0.5, 0.5, 2)
    origins = rng.normal(0, 200, 3) + heights * (rng.choice([-1, 1]) * normal + lean[0] * row + lean[1] * column)
    between_rows, between_columns = rng.uniform(0.3, 1.5, 2)
    shape = (slices, int(rng.integers(2, 40)), int(rng.integers(2, 40)))
    return Placement(shape, origins, column * between_rows, row * between_columns, float(rng.uniform(0.5, 5)))


def random_volume(placement: Placement, seed: int) -> Grid:
    """A grid that the stack is brought to: straightened, then turned."""
    rng = np.random.default_rng(seed + 1)
    grid = straighten(placement, rng.uniform(0.5, 4.0, 3).tolist()).grid
    target = str(rng.choice(["radiological", "SPL", "IAR", "LIP", "PSR"]))
    return orient(np.broadcast_to(np.uint8(0), grid.shape), grid, target)[1]


@settings(deadline=None)
@given(seed=st.integers(0, 100_000))
def test_through_tilt_gaps_turns_and_resampling_a_pixel_comes_back_to_itself(seed: int) -> None:
    placement = random_placement(seed)
    volume, rng = random_volume(placement, seed), np.random.default_rng(seed + 2)
    k = rng.integers(0, placement.shape[0], 20)
    column, row = rng.uniform(-2, 42, (2, 20))
    index = pixel_to_index(placement, volume, k, column, row)
    expected = placement.origins_mm[k] + column[:, None] * placement.across_mm + row[:, None] * placement.down_mm
    np.testing.assert_allclose(volume.to_patient(index), expected, atol=1e-6)
    back = index_to_pixel(placement, volume, index)
    np.testing.assert_array_equal(back.slice_index, k)
    np.testing.assert_allclose(np.stack([back.column, back.row]), np.stack([column, row]), atol=1e-6)
    np.testing.assert_allclose(back.distance_mm, 0, atol=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 100_000))
def test_a_voxel_comes_back_to_itself_through_its_slice_and_distance(seed: int) -> None:
    placement = random_placement(seed)
    volume = random_volume(placement, seed)
    index = np.random.default_rng(seed).uniform(-3, 30, (4, 5, 3))
    found = index_to_pixel(placement, volume, index)
    assert found.slice_index.shape == (4, 5)
    again = pixel_to_index(placement, volume, found.slice_index, found.column, found.row, found.distance_mm)
    np.testing.assert_allclose(again, index, atol=1e-6)
    heights = (volume.to_patient(index) - placement.origins_mm[0]) @ placement.normal
    nearest = np.abs(heights[..., None] - placement.heights_mm).min(axis=-1)
    np.testing.assert_allclose(np.abs(found.distance_mm), nearest, atol=1e-6)


@settings(deadline=None)
@given(seed=st.integers(0, 100_000))
def test_a_grid_and_the_placement_of_its_slices_map_alike(seed: int) -> None:
    grid = source_grid(drift=np.random.default_rng(seed).normal(0, 1, 3), sign=float(seed % 2 * 2 - 1))
    points = np.random.default_rng(seed).normal(0, 80, (30, 3)) + grid.to_patient((4, 100, 90))
    one, other = patient_to_pixel(grid, points), patient_to_pixel(Placement.of(grid), points)
    np.testing.assert_array_equal(one.slice_index, other.slice_index)
    np.testing.assert_allclose(one.column, other.column, atol=1e-9)
    np.testing.assert_allclose(one.distance_mm, other.distance_mm, atol=1e-9)


@settings(deadline=None)
@given(seed=st.integers(0, 100_000))
def test_a_box_and_a_polygon_on_a_slice_come_back(seed: int) -> None:
    placement = random_placement(seed)
    grid = straighten(placement, (1.3, 0.9, 1.1)).grid
    volume = orient(np.broadcast_to(np.uint8(0), grid.shape), grid, "PSR")[1]
    rng = np.random.default_rng(seed)
    k = rng.integers(0, placement.shape[0], 6)
    column, row, width, height = rng.uniform(1, 20, (4, 6))
    low, high = box_to_index(placement, volume, k, column, row, width, height)
    assert (low <= high).all()
    back = index_to_box(placement, volume, low, high)
    np.testing.assert_array_equal(back.first_slice, k)
    np.testing.assert_array_equal(back.last_slice, k)
    found = np.stack([back.column, back.row, back.width, back.height])
    np.testing.assert_allclose(found, np.stack([column, row, width, height]), atol=1e-6)
    angle = np.linspace(0, 2 * np.pi, 9)
    polygon = pixel_to_index(placement, volume, int(k[0]), 10 + 5 * np.cos(angle), 12 + 3 * np.sin(angle))
    again = index_to_pixel(placement, volume, polygon)
    np.testing.assert_allclose(again.column, 10 + 5 * np.cos(angle), atol=1e-6)
    np.testing.assert_allclose(again.row, 12 + 3 * np.sin(angle), atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_a_mask_drawn_on_the_slices_lies_in_the_volume_and_comes_back(seed: int) -> None:
    rng = np.random.default_rng(seed)
    placement = random_placement(seed)
    placement = Placement(
        (placement.shape[0], 30, 26), placement.origins_mm, placement.down_mm, placement.across_mm, 3.0
    )
    coarse = rng.integers(1, 6, (placement.shape[0], 5, 4)).astype(np.uint8)
    mask = coarse.repeat(6, axis=1).repeat(7, axis=2)[:, :, :26]
    fine = min(0.25, float(placement.gaps_mm.min()) / 4)
    volume = straighten(placement, (fine, 0.3, 0.3)).grid
    there = mask_to_volume(mask, placement, volume)
    index = np.round(pixel_to_index(placement, volume, np.arange(placement.shape[0]), 3.0, 3.0)).astype(int)
    np.testing.assert_array_equal(there[tuple(index.T)], mask[:, 3, 3])
    back = mask_to_source(there, volume, placement)
    assert back.shape == mask.shape
    assert (back == mask).mean() > 0.85  # pixels at the edges of a region may take their neighbour's label
    core = np.zeros(mask.shape, bool)
    core[:, 2::6, 3::7] = True
    assert (back[core] == mask[core]).all()


def test_masks_between_grids_go_through_their_affines() -> None:
    grid = source_grid(slices=4)
    mask = np.random.default_rng(0).integers(0, 9, grid.shape).astype(np.uint8)
    turned, volume = orient(mask, grid, "SPL")
    np.testing.assert_array_equal(mask_to_volume(mask, grid, volume), turned)
    np.testing.assert_array_equal(mask_to_source(turned, volume, grid), mask)


def test_slices_that_are_not_there_and_masks_that_do_not_fit_are_refused() -> None:
    placement = random_placement(3)
    for k in (-1, placement.shape[0], 0.5):
        with pytest.raises(ValueError, match="slice"):
            pixel_to_patient(placement, k, 0, 0)
    with pytest.raises(ValueError, match="shape"):
        mask_to_volume(np.zeros((1, 2, 3), np.uint8), placement, source_grid())
