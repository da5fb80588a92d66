"""Resampling against ramps and waves whose values are known everywhere, and against scipy and SimpleITK."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from curate.errors import Misconfigured
from curate.geometry import Grid, orient, resample, resample_onto
from curate.geometry.resample import resampled_grid

OBLIQUE = np.array([[0.1, 0.05, 0.98], [-0.2, 0.97, -0.03], [0.97, 0.2, -0.12]])


def make_grid(shape: tuple[int, int, int], spacing: tuple[float, float, float], origin: tuple[float, ...]) -> Grid:
    """An oblique right-angled grid."""
    directions, _ = np.linalg.qr(OBLIQUE)
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = origin
    return Grid(shape, affine)


GRID = make_grid((14, 33, 29), (2.5, 0.43, 0.61), (-12.0, 33.0, 510.0))


def centres(grid: Grid) -> NDArray[np.float64]:
    """(k, j, i, 3) LPS millimetres of every voxel centre."""
    return grid.to_patient(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))


def is_interior(grid: Grid, target: Grid, margin: float) -> NDArray[np.bool_]:
    """Voxels of ``target`` that lie ``margin`` voxels or more inside the outermost centres of ``grid``."""
    index = grid.to_index(centres(target))
    return np.asarray(((index >= margin) & (index <= np.array(grid.shape) - 1 - margin)).all(axis=-1))


def noise(grid: Grid, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 100, grid.shape).astype(np.float32)


def to_sitk(array: NDArray[np.generic], grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetDirection(grid.directions[:, ::-1].ravel())
    image.SetOrigin(grid.affine[:3, 3])
    return image


def sitk_resample(
    array: NDArray[np.generic], grid: Grid, target: Grid, how: int, outside: float
) -> NDArray[np.generic]:
    image = sitk.Resample(
        to_sitk(array, grid),
        target.shape[::-1],
        sitk.Transform(),
        how,
        target.affine[:3, 3],
        target.spacing_mm[::-1],
        target.directions[:, ::-1].ravel().tolist(),
        outside,
    )
    return np.asarray(sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("spacing", [(1, 1, 1), (3.0, 0.2, 1.7), (0.3, 2.0, 0.61)])
def test_the_new_grid_has_exactly_the_spacing_asked_for_and_the_old_centre(spacing: tuple[float, ...]) -> None:
    target = resample(noise(GRID), GRID, spacing)[1]
    np.testing.assert_allclose(target.spacing_mm, spacing, rtol=1e-14)
    middle = [grid.to_patient((np.array(grid.shape) - 1) / 2) for grid in (GRID, target)]
    np.testing.assert_allclose(middle[0], middle[1], atol=1e-9)
    np.testing.assert_allclose(target.directions, GRID.directions, atol=1e-14)


def test_the_extent_differs_by_less_than_one_new_voxel() -> None:
    target = resampled_grid(GRID, (1.7, 1.7, 1.7))
    before = np.multiply(GRID.shape, GRID.spacing_mm)
    after = np.multiply(target.shape, target.spacing_mm)
    assert (np.abs(before - after) <= 1.7 / 2 + 1e-9).all()


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (2.5, 1.2, 0.3)])
def test_a_ramp_through_the_patient_reads_the_same_at_the_new_voxel_centres(
    order: int, antialias: bool, spacing: tuple[float, ...]
) -> None:
    slope = np.array([3.0, -2.0, 1.5])
    array, target = resample(centres(GRID) @ slope, GRID, spacing, order=order, antialias=antialias)
    # splines and smoothing bend a ramp over a few samples at the border; linear is exact from the outermost centre on
    inside = is_interior(GRID, target, 0 if order == 1 and not antialias else 5)
    assert inside.any()
    np.testing.assert_allclose(array[inside], (centres(target) @ slope)[inside], atol=0.02)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (4.0, 0.3, 0.9), (None, 1.0, None)])
def test_linear_values_are_those_of_scipy_to_the_stated_accuracy(spacing: tuple[float | None, ...]) -> None:
    array = noise(GRID)
    found, target = resample(array, GRID, spacing, antialias=False)
    index = GRID.to_index(centres(target))
    expected = ndimage.map_coordinates(array.astype(np.float64), np.moveaxis(index, -1, 0), order=1, mode="nearest")
    np.testing.assert_allclose(found, expected, atol=3e-4)


def test_cubic_values_are_those_of_scipy_to_the_stated_accuracy() -> None:
    array = noise(GRID)
    found, target = resample(array, GRID, (1.0, 0.3, 0.9), order=3, antialias=False)
    index = np.clip(GRID.to_index(centres(target)), 0, np.array(GRID.shape) - 1)
    expected = ndimage.map_coordinates(array.astype(np.float64), np.moveaxis(index, -1, 0), order=3, mode="mirror")
    np.testing.assert_allclose(found, expected, atol=3e-4)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (4.0, 0.3, 0.9)])
def test_simpleitk_agrees_on_linear_values_where_it_has_any(spacing: tuple[float, ...]) -> None:
    array = noise(GRID)
    found, target = resample(array, GRID, spacing, antialias=False)
    expected = sitk_resample(array, GRID, target, sitk.sitkLinear, 1e9)
    known = expected < 1e8
    assert known.mean() > 0.9
    np.testing.assert_allclose(found[known], expected[known], atol=2e-3)  # ITK sums in single precision


def test_simpleitk_agrees_on_cubic_values_away_from_the_border() -> None:
    array = noise(GRID)
    found, target = resample(array, GRID, (1.0, 0.3, 0.9), order=3, antialias=False)
    expected = sitk_resample(array, GRID, target, sitk.sitkBSpline, 0)
    inside = is_interior(GRID, target, 1)
    np.testing.assert_allclose(found[inside], expected[inside], atol=5e-3)


def test_simpleitk_agrees_on_nearest_values() -> None:
    array = np.random.default_rng(0).integers(0, 20, GRID.shape).astype(np.uint8)
    found, target = resample(array, GRID, (1.0, 0.3, 0.9), order=0)
    expected = sitk_resample(array, GRID, target, sitk.sitkNearestNeighbor, 255)
    halfway = (np.abs(np.abs(GRID.to_index(centres(target)) % 1) - 0.5) < 1e-4).any(axis=-1)
    known = (expected != 255) & ~halfway
    np.testing.assert_array_equal(found[known], expected[known])
    assert known.mean() > 0.75


def test_integers_are_rounded_not_cut_off() -> None:
    floats = noise(GRID) * 5
    integers = np.rint(floats).astype(np.int16)
    found, _ = resample(integers, GRID, (1, 1, 1))
    exact, _ = resample(integers.astype(np.float64), GRID, (1, 1, 1))
    assert found.dtype == np.int16
    assert np.abs(found - exact).max() <= 0.5 + 1e-3
    assert abs((found - exact).mean()) < 0.02


@pytest.mark.parametrize(
    ("dtype", "low", "high"), [(np.uint8, 0, 255), (np.int16, -32768, 32767), (np.uint16, 0, 65535)]
)
def test_spline_overshoot_saturates_instead_of_wrapping(dtype: type, low: int, high: int) -> None:
    array = np.full((8, 8, 16), low, dtype=dtype)
    array[:, :, 8:] = high
    found, _ = resample(array, Grid(array.shape, np.eye(4)), (None, None, 0.25), order=3)
    assert found.dtype == dtype
    assert found[0, 0, :20].max() < (high + low) / 2 + 1
    assert found[0, 0, -20:].min() > (high + low) / 2 - 1
    assert (found.min(), found.max()) == (low, high)


def test_large_integers_keep_all_their_digits() -> None:
    array = np.full((3, 3, 3), 2**30 + 1, dtype=np.int32)
    assert (resample(array, Grid((3, 3, 3), np.eye(4)), (0.7, 0.7, 0.7))[0] == 2**30 + 1).all()


def test_a_constant_stays_that_constant_everywhere() -> None:
    for order in (0, 1, 3):
        found, _ = resample(np.full(GRID.shape, -1000, np.int16), GRID, (0.9, 1.1, 1.3), order=order)
        assert (found == -1000).all()


def test_a_wave_that_the_new_grid_cannot_hold_vanishes_with_antialiasing_and_only_then() -> None:
    grid = Grid((1, 1, 256), np.eye(4))
    wave = 1000 * np.cos(np.arange(256) * np.pi * 0.9)[None, None].astype(np.float32)
    smooth, target = resample(wave, grid, (None, None, 4.0))
    aliased, _ = resample(wave, grid, (None, None, 4.0), antialias=False)
    assert target.shape == (1, 1, 64)
    assert np.abs(smooth[0, 0, 3:-3]).max() < 5  # the border sample goes on outside, which is no wave
    assert np.abs(aliased[0, 0, 3:-3]).max() > 100


def test_a_slow_wave_survives_antialiasing() -> None:
    grid = Grid((1, 1, 256), np.eye(4))
    wave = 1000 * np.cos(np.arange(256) * 2 * np.pi / 64)[None, None]
    found, target = resample(wave, grid, (None, None, 2.0))
    position = grid.to_index(centres(target))[..., 2]
    expected = 1000 * np.cos(position * 2 * np.pi / 64)
    np.testing.assert_allclose(found[0, 0, 8:-8], expected[0, 0, 8:-8], atol=15)


def test_axes_that_are_kept_keep_their_samples_and_affine_columns() -> None:
    array = noise(GRID)
    found, target = resample(array, GRID, (None, 0.43, None))
    np.testing.assert_array_equal(found, array)
    assert not np.shares_memory(found, array)
    np.testing.assert_allclose(target.affine, GRID.affine, atol=1e-12)


def test_a_flipped_view_gives_the_flipped_result() -> None:
    array = noise(GRID)
    straight, straight_grid = resample(array, GRID, (1, 1, 1))
    turned = orient(array, GRID, "IAR")
    found, grid = orient(*resample(*turned, (1, 1, 1)), GRID.axis_codes)
    assert found.shape == straight.shape
    np.testing.assert_allclose(found, straight, atol=1e-3)
    np.testing.assert_allclose(grid.affine, straight_grid.affine, atol=1e-9)


def test_two_calls_give_the_same_bytes() -> None:
    array = noise(GRID)
    assert resample(array, GRID, (1, 1, 1))[0].tobytes() == resample(array, GRID, (1, 1, 1))[0].tobytes()


def test_a_single_slice_can_be_resampled() -> None:
    grid = Grid((1, 5, 5), np.diag([4.0, 1, 1, 1]))
    array = np.arange(25, dtype=np.float32).reshape(1, 5, 5)
    for order in (0, 1, 3):
        found, target = resample(array, grid, (1.0, None, None), order=order)
        assert target.shape == (4, 5, 5)
        np.testing.assert_array_equal(found, np.repeat(array, 4, axis=0))


@pytest.mark.parametrize("spacing", [(1, 1), (1, 1, 0), (1, 1, -2), (1, float("nan"), 1), (float("inf"), 1, 1)])
def test_an_impossible_spacing_is_refused(spacing: tuple[float, ...]) -> None:
    with pytest.raises(Misconfigured, match="spacing"):
        resample(noise(GRID), GRID, spacing)


def test_an_unknown_order_is_refused_even_when_nothing_changes() -> None:
    with pytest.raises(Misconfigured, match="order"):
        resample(noise(GRID), GRID, (None, None, None), order=2)


def test_an_array_that_is_not_of_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        resample(np.zeros((2, 2, 2)), GRID, (1, 1, 1))
    with pytest.raises(ValueError, match="shape"):
        resample_onto(np.zeros((2, 2, 2)), GRID, GRID)


def test_a_mask_drawn_in_another_frame_lands_where_simpleitk_puts_it() -> None:
    mask = np.random.default_rng(0).integers(0, 8, (20, 30, 25)).astype(np.uint8)
    mask_grid = Grid(mask.shape, np.array([[1.2, 0, 0, -20], [0, 0, 0.9, 20], [0, -0.8, 0, 530], [0, 0, 0, 1]]))
    found = resample_onto(mask, mask_grid, GRID, fill=99)
    expected = sitk_resample(mask, mask_grid, GRID, sitk.sitkNearestNeighbor, 99)
    assert 0.05 < (found != 99).mean() < 0.95
    assert (found == expected).mean() > 0.9999


def test_a_sphere_has_the_same_centre_and_volume_on_any_grid() -> None:
    middle = GRID.to_patient((6.5, 16, 14))
    source = make_grid((60, 60, 60), (0.5, 0.5, 0.5), (0, 0, 0))
    source = Grid(source.shape, np.column_stack([source.affine[:, :3], [*(middle - 15 * source.directions.sum(1)), 1]]))
    ball = (np.linalg.norm(centres(source) - middle, axis=-1) < 5).astype(np.uint8)
    target = Grid((40, 40, 40), np.array([[0, 0, 0.4, 0], [0, 0.4, 0, 0], [0.4, 0, 0, 0], [0, 0, 0, 1.0]]))
    target = Grid(target.shape, target.affine + np.column_stack([np.zeros((4, 3)), [*(middle - 7.8), 0]]))
    found = resample_onto(ball, source, target)
    assert abs(found.sum() * 0.4**3 / (4 / 3 * np.pi * 5**3) - 1) < 0.02
    np.testing.assert_allclose(centres(target)[found > 0].mean(axis=0), middle, atol=0.1)


def test_onto_its_own_grid_a_mask_is_itself() -> None:
    mask = np.random.default_rng(0).integers(0, 20, GRID.shape).astype(np.uint8)
    np.testing.assert_array_equal(resample_onto(mask, GRID, GRID), mask)


def test_the_nearest_of_resample_and_of_resample_onto_are_the_same() -> None:
    mask = np.random.default_rng(0).integers(0, 20, (12, 20, 16)).astype(np.uint8)
    grid = Grid(mask.shape, np.diag([2.0, 1.0, 1.0, 1.0]))
    found, target = resample(mask, grid, (1.0, 2.0, 0.5), order=0)
    np.testing.assert_array_equal(resample_onto(mask, grid, target), found)


def test_a_mask_elsewhere_in_the_patient_gives_only_the_fill_value() -> None:
    away = Grid((5, 5, 5), np.diag([1.0, 1, 1, 1]) + np.array([[0, 0, 0, 5000]] + [[0] * 4] * 3))
    assert (resample_onto(np.ones((5, 5, 5), np.uint8), away, GRID, fill=7) == 7).all()


def test_a_mask_goes_onto_a_large_grid_in_little_memory() -> None:
    mask = np.ones((10, 10, 10), np.uint8)
    target = Grid((200, 200, 200), np.diag([0.05, 0.05, 0.05, 1]))
    tracemalloc.start()
    resample_onto(mask, Grid(mask.shape, np.eye(4)), target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000 + 12_000_000  # the result, and planes of working memory
