"""The banded kernels against dense float64 products, however the array lies in memory."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.geometry import Grid, orient, resample
from curate.geometry.bands import Bands, bands, blocks, identity
from curate.geometry.lanes import LANES
from curate.geometry.resample import axis_steps, resampled_grid
from curate.geometry.separable import Levels, apply, as_stored
from curate.geometry.weights import axis_matrix

SHAPE = (5, 23, 19)
SPACING = (2.0, 0.6, 0.7)
GRID = Grid(SHAPE, np.diag([*SPACING, 1.0]))


def dense(array: NDArray[Any], grid: Grid, spacing: tuple[float, ...], order: int, antialias: bool) -> NDArray[Any]:
    """The definition: one float64 matrix an axis, nothing rounded."""
    target = resampled_grid(grid, spacing)
    result = array.astype(np.float64)
    for axis, step in enumerate(axis_steps(grid, target)):
        if step is not None:
            n, m = grid.shape[axis], target.shape[axis]
            matrix = axis_matrix(n, m, step, order=order, antialias=antialias).toarray()
            result = np.moveaxis(np.tensordot(matrix, result, (1, axis)), 0, axis)
    return result


def hounsfield(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-1024, 3072, shape).astype(np.int16)


@settings(deadline=None, max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 12), st.integers(1, 40), st.integers(1, 40)),
    spacing=st.tuples(*[st.floats(0.3, 4.0)] * 3),
    order=st.sampled_from([1, 3]),
    antialias=st.booleans(),
    dtype=st.sampled_from([np.uint8, np.int16, np.uint16, np.float32, np.float64, np.int32]),
)
def test_every_dtype_agrees_with_dense_float64_products(
    shape: tuple[int, int, int], spacing: tuple[float, ...], order: int, antialias: bool, dtype: type
) -> None:
    grid = Grid(shape, np.eye(4))
    array = np.random.default_rng(1).integers(0, 200, shape).astype(dtype)
    found, target = resample(array, grid, spacing, order=order, antialias=antialias)
    expected = dense(array, grid, spacing, order, antialias)
    assert found.shape == target.shape
    assert found.dtype == dtype
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        assert np.abs(found - np.clip(expected, limits.min, limits.max)).max() <= 0.5 + 1e-3
    else:
        np.testing.assert_allclose(found, expected, atol=3e-4)


@pytest.mark.parametrize("order", [0, 1, 3])
def test_any_order_and_direction_of_axes_in_memory_gives_the_values_of_the_copy(order: int) -> None:
    array = hounsfield(SHAPE)
    for axes, flips in product(permutations(range(3)), product((1, -1), repeat=3)):
        stored = np.ascontiguousarray(array.transpose(axes)[tuple(slice(None, None, flip) for flip in flips)])
        view = stored[tuple(slice(None, None, flip) for flip in flips)].transpose(np.argsort(axes))
        np.testing.assert_array_equal(view, array)
        found, _ = resample(view, GRID, (1.0, 1.0, 0.9), order=order)
        expected, _ = resample(array, GRID, (1.0, 1.0, 0.9), order=order)
        assert found.flags.c_contiguous
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert (found != expected).mean() < 1e-3  # sums run in another order: a half may round the other way
        if order == 0:
            np.testing.assert_array_equal(found, expected)


def test_a_turned_view_is_read_without_a_copy_and_one_with_gaps_is_copied() -> None:
    array = hounsfield(SHAPE)
    turned, _ = orient(array, GRID, "IAR")
    assert np.shares_memory(as_stored(turned).array, array)
    assert not np.shares_memory(as_stored(array[:, ::2]).array, array)
    np.testing.assert_array_equal(as_stored(array[:, ::2]).array, array[:, ::2])


def test_other_byte_orders_read_only_arrays_and_crops_give_the_same_values() -> None:
    array = hounsfield((6, 30, 30))
    grid = Grid((6, 20, 20), np.diag([2.0, 0.6, 0.7, 1.0]))
    crop = array[:, 5:25, 5:25]
    expected, _ = resample(crop.copy(), grid, (1, 1, 1))
    locked = crop.copy()
    locked.flags.writeable = False
    for view in (crop, crop.astype(">i2"), locked):
        np.testing.assert_array_equal(resample(view, grid, (1, 1, 1))[0], expected)


@pytest.mark.parametrize("order", [1, 3])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.5, 1.0, 1.0), (None, 0.9, None)])
def test_one_and_many_threads_give_the_same_bits(order: int, spacing: tuple[float | None, ...]) -> None:
    array = np.random.default_rng(0).normal(0, 500, (17, 40, 33)).astype(np.float32)
    grid = Grid(array.shape, np.diag([*SPACING, 1.0]))
    one = resample(array, grid, spacing, order=order)[0]
    for threads in (2, 3, 64):
        assert resample(array, grid, spacing, order=order, threads=threads)[0].tobytes() == one.tobytes()


def test_slopes_and_intercepts_of_every_slice_are_those_of_scaling_first() -> None:
    stored = np.random.default_rng(0).integers(0, 4096, SHAPE).astype(np.uint16)
    slopes, intercepts = np.linspace(0.5, 2.0, 5), np.linspace(-1024, -900, 5)
    scaled = stored * slopes[:, None, None] + intercepts[:, None, None]
    expected, _ = resample(scaled, GRID, (1, 1, 1))
    found, _ = resample(stored, GRID, (1, 1, 1), slopes=slopes, intercepts=intercepts, dtype=np.float32)
    np.testing.assert_allclose(found, expected, atol=5e-3)
    whole, _ = resample(stored, GRID, (1, 1, 1), slopes=slopes, intercepts=intercepts, dtype=np.int16)
    assert whole.dtype == np.int16
    assert np.abs(whole - expected).max() <= 0.5 + 5e-3


def test_slopes_belong_to_axis_0_in_a_view_whose_slices_lie_elsewhere_in_memory() -> None:
    array = hounsfield((19, 23, 5)).transpose(2, 1, 0)
    slopes = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    for view in (array, array[::-1]):
        scaled = view * slopes[:, None, None]
        found, _ = resample(view, GRID, (None, 1.0, 1.0), slopes=slopes, dtype=np.float32)
        np.testing.assert_allclose(found, resample(scaled, GRID, (None, 1.0, 1.0))[0], atol=5e-3)


def test_a_scale_alone_is_applied_even_when_no_axis_changes() -> None:
    array = hounsfield(SHAPE)
    found, target = resample(array, GRID, (None, None, None), slopes=2.0, intercepts=1.0, dtype=np.int32)
    np.testing.assert_array_equal(found, array.astype(np.int32) * 2 + 1)
    assert target == GRID


@pytest.mark.parametrize("slopes", [0.0, [1.0, 2.0], [np.nan], [[1.0] * 5]])
def test_slopes_that_are_none_are_refused(slopes: Any) -> None:
    with pytest.raises(ValueError, match="slopes"):
        resample(hounsfield(SHAPE), GRID, (1, 1, 1), slopes=slopes)


def test_nearest_neighbour_refuses_to_scale() -> None:
    with pytest.raises(ValueError, match="nearest"):
        resample(hounsfield(SHAPE), GRID, (1, 1, 1), order=0, slopes=2.0)


def test_halves_go_to_even_and_booleans_to_the_larger_part() -> None:
    array = np.array([[[0, 1, 2, 3, 4, 5, 6, 7]]], np.int16)
    found, _ = resample(array, Grid((1, 1, 8), np.eye(4)), (None, None, 2.0), antialias=False)
    np.testing.assert_array_equal(found, [[[0, 2, 4, 6]]])  # 0.5, 2.5, 4.5, 6.5
    mask = array > 2
    shrunk, _ = resample(mask, Grid((1, 1, 8), np.eye(4)), (None, None, 2.0), antialias=False)
    np.testing.assert_array_equal(shrunk, [[[False, False, True, True]]])  # 1 of 2 is a half, to even


def test_64_bit_integers_saturate_at_their_last_representable_number() -> None:
    array = np.full((1, 1, 16), np.iinfo(np.int64).max)
    array[..., :8] = np.iinfo(np.int64).min
    found, _ = resample(array, Grid((1, 1, 16), np.eye(4)), (None, None, 0.25), order=3)
    assert found.max() > 9e18
    assert found.min() < -9e18


def test_complex_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="integers or floats"):
        resample(np.zeros(SHAPE, np.complex64), GRID, (1, 1, 1))


@settings(deadline=None)
@given(length=st.integers(1, 60), step=st.floats(0.1, 6.0), order=st.sampled_from([0, 1, 3]))
def test_bands_and_blocks_hold_the_matrix(length: int, step: float, order: int) -> None:
    matrix = axis_matrix(length, max(1, round(length / step)), step, order=order, antialias=True)
    axis = bands(matrix)
    assert axis.is_ascending
    full = np.zeros(matrix.shape)
    for n, start in enumerate(axis.starts[0]):
        full[n, start : start + axis.weights.shape[2]] += axis.weights[0, n]
    np.testing.assert_allclose(full, matrix.toarray(), atol=3e-7)
    np.testing.assert_allclose(axis.weights.sum(axis=2), 1, atol=1e-12)
    lanes = blocks(axis, np.dtype(np.float64))
    if not axis.is_identity:
        assert (lanes.starts >= 0).all()
        assert (lanes.starts + lanes.table.shape[2] <= length).all()
        read = np.zeros(matrix.shape)
        for n in range(axis.outputs):
            start = lanes.starts[0, n // LANES]
            read[n, start : start + lanes.table.shape[2]] += lanes.table[0, n // LANES, :, n % LANES]
        np.testing.assert_allclose(read, full, atol=1e-12)


@pytest.mark.parametrize(("starts", "taps"), [([[-1]], 2), ([[9]], 2), ([[0, 10]], 1), ([[0]], 11)])
def test_tables_that_leave_the_input_are_refused(starts: list[list[int]], taps: int) -> None:
    table = np.array(starts, np.int64)
    with pytest.raises(ValueError, match="outside the input"):
        Bands(table, np.ones((*table.shape, taps)), 10)


def test_outputs_out_of_order_are_refused_before_a_kernel_runs() -> None:
    backwards = Bands(np.arange(22, -1, -1)[None], np.ones((1, 23, 1)), 23)
    with pytest.raises(ValueError, match="first sample"):
        apply(hounsfield(SHAPE), [None, backwards, None], np.dtype(np.int16))


def test_voxels_outside_a_window_get_the_fill_value_in_output_units() -> None:
    array = hounsfield(SHAPE)
    inside = np.array([[2, 20, 3, 17]] * 5, np.int64)
    inside[4] = [23, 23, 0, 0]  # a slice with no field at all
    levels = Levels(np.full(5, 2.0), np.full(5, 10.0), fill=-1024)
    operators = [None, identity(23), identity(19)]
    found = apply(array, operators, np.dtype(np.float32), levels=levels, inside=inside)
    expected = np.full(SHAPE, -1024.0)
    expected[:4, 2:20, 3:17] = array[:4, 2:20, 3:17] * 2.0 + 10.0
    np.testing.assert_allclose(found, expected, atol=1e-3)
    turned = apply(array[::-1, ::-1], operators, np.dtype(np.float32), levels=levels, inside=inside)
    np.testing.assert_allclose(turned[:4, 2:20, 3:17], array[::-1, ::-1][:4, 2:20, 3:17] * 2.0 + 10.0, atol=1e-3)
    assert (turned[4] == -1024).all()


def test_kernels_stay_inside_their_arrays(tmp_path: Path) -> None:
    """With numba's own bounds checks on, an index outside raises IndexError."""
    script = """
import numpy as np
from curate.geometry import Grid, Placement, normalise, resample, resample_onto
rng = np.random.default_rng(0)
for shape in ((1, 1, 1), (2, 3, 1), (1, 9, 17), (4, 8, 8), (3, 25, 7)):
    array, grid = rng.integers(0, 200, shape).astype(np.int16), Grid(shape, np.eye(4))
    for order in (0, 1, 3):
        for spacing in ((0.4, 0.4, 0.4), (2.5, 2.5, 2.5), (None, 0.7, 3.0)):
            resample(array[::-1, :, ::-1], grid, spacing, order=order)
            origins = np.cumsum(rng.uniform(0.5, 2, (shape[0], 3)), axis=0)
            normalise(array, Placement(shape, origins, (0, 0.8, 0), (0.7, 0, 0)), spacing, order=order)
    for rule in ("nearest", "majority"):
        affine = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        target = Grid((5, 6, 7), np.vstack([np.column_stack([affine * 1.7, -affine @ [3, 3, 3]]), [0, 0, 0, 1]]))
        resample_onto(array.astype(np.uint8), grid, target, rule=rule)
print("inside")
"""
    # a cache of its own: what is compiled with checks is not told apart from what is not
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_OPT": "0", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.strip() == "inside", done.stderr[-2000:]
