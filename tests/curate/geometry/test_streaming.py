from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.errors import Misconfigured
from curate.geometry import Grid, orient, resample
from curate.geometry.streaming import SliceResampler

SIZES = st.integers(2, 40)
SPACINGS = st.one_of(st.none(), st.floats(0.3, 5.0))


def make_grid(shape: tuple[int, int, int], spacing: Sequence[float], turn: int = 0) -> Grid:
    affine = np.eye(4)
    affine[:3, :3] = np.roll(np.diag(spacing), turn, axis=0) * np.array([1, -1, 1])[:, None]
    affine[:3, 3] = (-11.0, 7.0, 3.5)
    return Grid(shape, affine)


def stream(
    array: np.ndarray, grid: Grid, spacing: Sequence[float | None], orientation: str | None, antialias: bool
) -> tuple[np.ndarray, Grid]:
    resampler = SliceResampler(array.dtype, grid, spacing, orientation=orientation, antialias=antialias)
    for k, plane in enumerate(array):
        resampler.slice(k)[:] = plane
    return resampler.finish(), resampler.grid


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(SIZES, SIZES, SIZES),
    spacing=st.tuples(*[st.floats(0.4, 4.0)] * 3),
    wanted=st.tuples(SPACINGS, SPACINGS, SPACINGS),
    turn=st.integers(0, 2),
    orientation=st.sampled_from([None, "radiological", "RAS", "LPS", "SPL", "IAR", "PIR"]),
    antialias=st.booleans(),
    dtype=st.sampled_from([np.int16, np.uint16, np.uint8]),
)
def test_slices_one_after_another_give_the_bits_of_the_whole_array(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float],
    wanted: tuple[float | None, ...],
    turn: int,
    orientation: str | None,
    antialias: bool,
    dtype: type,
) -> None:
    limits = np.iinfo(dtype)
    array = np.random.default_rng(sum(shape)).integers(limits.min, limits.max, shape).astype(dtype)
    grid = make_grid(shape, spacing, turn)
    found, on = stream(array, grid, wanted, orientation, antialias)
    view, turned = (array, grid) if orientation is None else orient(array, grid, orientation)
    expected, target = resample(view, turned, wanted, antialias=antialias)
    np.testing.assert_array_equal(found, expected)
    assert found.flags.c_contiguous
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(on.affine, target.affine)


def test_a_few_slices_are_held_however_many_there_are() -> None:
    grid = make_grid((500, 6, 5), (0.5, 1.0, 1.0))
    resampler = SliceResampler(np.int16, grid, (1.0, None, None))
    places = {resampler.slice(k).__array_interface__["data"][0] for k in range(500)}
    assert len(places) < 30


@pytest.mark.parametrize(
    ("shape", "wanted", "is_streamed"),
    [
        ((5, 6, 7), (1.0, 1.0, 1.0), True),
        ((5, 6, 7), (None, None, 0.5), True),
        ((5, 6, 7), (None, None, None), False),  # nothing changes
        ((5, 6, 7), (2.0, 0.7, 0.7), False),  # the spacing that it has
        ((1, 6, 7), (1.0, 1.0, 1.0), False),
        ((5, 1, 7), (1.0, 1.0, 1.0), False),
    ],
)
def test_what_is_streamed(shape: tuple[int, int, int], wanted: tuple[float | None, ...], is_streamed: bool) -> None:
    assert SliceResampler.is_for(make_grid(shape, (2.0, 0.7, 0.7)), wanted) is is_streamed


def test_a_spacing_or_an_orientation_that_is_none_is_refused_before_a_slice_is_read() -> None:
    grid = make_grid((5, 6, 7), (2.0, 0.7, 0.7))
    with pytest.raises(Misconfigured, match="spacing"):
        SliceResampler(np.int16, grid, (0.0, 1.0, 1.0))
    with pytest.raises(Misconfigured, match="orientation"):
        SliceResampler(np.int16, grid, (1.0, 1.0, 1.0), orientation="XYZ")
