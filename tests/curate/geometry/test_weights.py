"""The weights of one axis, against scipy and against what sums of weights must do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from curate.errors import Misconfigured
from curate.geometry.weights import axis_matrix, nearest_indices, output_length, sample_positions

LENGTHS = st.integers(1, 60)
STEPS = st.floats(0.1, 6.0)


@pytest.mark.parametrize(
    ("length", "spacing", "target", "expected"),
    [
        (512, 0.43, 1.0, 220),
        (300, 0.8, 1.0, 240),
        (5, 0.5, 1.0, 3),  # 2.5 goes up
        (7, 0.5, 1.0, 4),  # 3.5 goes up too: halves do not go to even
        (25, 0.1, 1.0, 3),  # 2.5 up to rounding noise
        (1, 0.4, 5.0, 1),
        (3, 1.0, 1.0, 3),
    ],
)
def test_the_length_covers_the_same_extent(length: int, spacing: float, target: float, expected: int) -> None:
    assert output_length(length, spacing, target) == expected


@settings(deadline=None)
@given(length=LENGTHS, output=LENGTHS, step=STEPS)
def test_both_grids_share_their_centre(length: int, output: int, step: float) -> None:
    positions = sample_positions(length, output, step)
    assert positions.shape == (output,)
    assert abs(positions.mean() - (length - 1) / 2) < 1e-9
    np.testing.assert_allclose(np.diff(positions), step)


def test_ties_go_to_the_higher_index_and_positions_outside_to_the_border() -> None:
    positions = np.array([-3.0, -0.5, 0.49, 0.5, 0.5 - 1e-9, 1.5, 2.5, 9.0])
    np.testing.assert_array_equal(nearest_indices(positions, 3), [0, 0, 0, 1, 1, 2, 2, 2])


@settings(deadline=None)
@given(length=LENGTHS, step=STEPS, order=st.sampled_from([0, 1, 3]), antialias=st.booleans())
def test_weights_of_a_row_sum_to_one(length: int, step: float, order: int, antialias: bool) -> None:
    output = output_length(length, 1.0, step)
    matrix = axis_matrix(length, output, step, order=order, antialias=antialias)
    assert matrix.shape == (output, length)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)


@settings(deadline=None)
@given(length=LENGTHS, step=STEPS, order=st.sampled_from([1, 3]), antialias=st.booleans())
def test_weights_are_the_same_read_from_the_other_end(length: int, step: float, order: int, antialias: bool) -> None:
    matrix = axis_matrix(length, output_length(length, 1.0, step), step, order=order, antialias=antialias).toarray()
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-9)


@settings(deadline=None)
@given(length=st.integers(2, 60), step=STEPS)
def test_linear_weights_are_those_of_scipy(length: int, step: float) -> None:
    positions = sample_positions(length, output_length(length, 1.0, step), step)
    samples = np.random.default_rng(length).normal(size=length)
    expected = ndimage.map_coordinates(samples, [positions], order=1, mode="nearest")
    found = axis_matrix(length, len(positions), step, order=1, antialias=False) @ samples
    np.testing.assert_allclose(found, expected, atol=1e-9)


@settings(deadline=None)
@given(length=st.integers(2, 60), step=STEPS)
def test_cubic_weights_are_those_of_scipy(length: int, step: float) -> None:
    positions = sample_positions(length, output_length(length, 1.0, step), step)
    samples = np.random.default_rng(length).normal(size=length)
    held = np.clip(positions, 0, length - 1)
    expected = ndimage.map_coordinates(samples, [held], order=3, mode="mirror")
    found = axis_matrix(length, len(positions), step, order=3, antialias=False) @ samples
    np.testing.assert_allclose(found, expected, atol=2e-6)


@settings(deadline=None)
@given(length=st.integers(2, 60), step=st.floats(1.05, 6.0))
def test_antialiasing_is_the_gaussian_of_scipy_before_interpolation(length: int, step: float) -> None:
    positions = sample_positions(length, output_length(length, 1.0, step), step)
    samples = np.random.default_rng(length).normal(size=length)
    sigma = np.sqrt(step**2 - 1) / 2.3548200450309493  # full width at half maximum over standard deviation
    smooth = ndimage.gaussian_filter1d(samples, sigma, mode="nearest", truncate=4.0)
    expected = ndimage.map_coordinates(smooth, [positions], order=1, mode="nearest")
    found = axis_matrix(length, len(positions), step, order=1, antialias=True) @ samples
    np.testing.assert_allclose(
        found, expected, atol=3e-4 * np.ptp(samples)
    )  # each tail leaves out 1e-4 and what follows


@pytest.mark.parametrize("step", [1.05, 1.4286, 2.0, 5.5])
def test_antialiasing_weighs_no_sample_that_is_hardly_felt(step: float) -> None:
    middle = axis_matrix(101, 101, step, order=1, antialias=True).toarray()[50]
    sigma = np.sqrt(step**2 - 1) / 2.3548200450309493
    kernel = np.exp(-0.5 * (np.arange(-50, 51) / sigma) ** 2)
    assert np.flatnonzero(middle).tolist() == np.flatnonzero(kernel >= 1e-4 * kernel.sum()).tolist()


@pytest.mark.parametrize("order", [0, 1, 3])
def test_growing_an_axis_is_not_smoothed(order: int) -> None:
    plain = axis_matrix(20, 40, 0.5, order=order, antialias=False).toarray()
    np.testing.assert_array_equal(axis_matrix(20, 40, 0.5, order=order, antialias=True).toarray(), plain)


def test_nearest_is_never_smoothed() -> None:
    matrix = axis_matrix(20, 5, 4.0, order=0, antialias=True).toarray()
    np.testing.assert_array_equal(np.sort(np.unique(matrix)), [0, 1])


def test_the_band_stays_narrow_on_a_long_axis() -> None:
    matrix = axis_matrix(512, 220, 512 / 220, order=3, antialias=False)
    assert np.diff(matrix.indptr).max() < 40


@pytest.mark.parametrize("order", [2, 4, -1])
def test_other_orders_are_refused(order: int) -> None:
    with pytest.raises(Misconfigured, match="order"):
        axis_matrix(10, 5, 2.0, order=order, antialias=True)
