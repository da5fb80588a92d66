"""Labels onto other grids: the kernel against plain numpy, and majorities that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from curate.errors import Misconfigured
from curate.geometry import Grid, orient, resample, resample_onto
from curate.geometry.resample import resampled_grid


def labels(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 9, shape).astype(np.uint8)


def plain(array: NDArray[np.uint8], grid: Grid, target: Grid, fill: int) -> NDArray[np.uint8]:
    """The definition, one index at a time for all voxels."""
    index = grid.to_index(
        target.to_patient(np.stack(np.meshgrid(*map(np.arange, target.shape), indexing="ij"), axis=-1))
    )
    inside = ((index > -0.5 - 1e-6) & (index < np.array(grid.shape) - 0.5 + 1e-6)).all(axis=-1)
    nearest = np.clip(np.floor(index + 0.5 + 1e-6), 0, np.array(grid.shape) - 1).astype(int)
    return np.where(inside, array[tuple(np.moveaxis(nearest, -1, 0))], fill).astype(np.uint8)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), turned=st.sampled_from(["as it is", "SPL", "LIP", "IAR"]))
def test_any_two_affines_give_what_plain_numpy_gives(seed: int, turned: str) -> None:
    rng = np.random.default_rng(seed)
    grids = []
    for _ in range(2):
        shape = tuple(int(n) for n in rng.integers(1, 12, 3))
        affine = np.eye(4)
        affine[:3, :3] = np.linalg.qr(rng.normal(size=(3, 3)))[0] * rng.uniform(0.4, 2.0, 3)
        affine[:3, 3] = rng.normal(0, 3, 3) - affine[:3, :3] @ (np.array(shape) / 2)
        grids.append(Grid((shape[0], shape[1], shape[2]), affine))
    array, grid = labels(grids[0].shape, seed), grids[0]
    if turned != "as it is":
        array, grid = orient(array, grid, turned)
    np.testing.assert_array_equal(resample_onto(array, grid, grids[1], fill=99), plain(array, grid, grids[1], 99))


@settings(deadline=None, max_examples=60)
@given(
    spacing=st.tuples(*[st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0])] * 3),
    shift=st.tuples(*[st.sampled_from([-3.0, -0.5, 0.0, 0.25, 0.5, 2.0])] * 3),
    turned=st.sampled_from(["SPL", "IAR", "LIP", "PSR"]),
)
def test_grids_whose_axes_run_alike_break_ties_as_all_others_do(
    spacing: tuple[float, ...], shift: tuple[float, ...], turned: str
) -> None:
    grid = Grid((4, 6, 5), np.eye(4))
    array = labels(grid.shape)
    view, view_grid = orient(array, grid, turned)
    target = Grid((6, 7, 8), np.vstack([np.column_stack([np.diag(spacing), shift]), [0, 0, 0, 1]]))
    np.testing.assert_array_equal(resample_onto(view, view_grid, target), plain(view, view_grid, target, 0))


def test_the_majority_is_the_label_with_most_voxels() -> None:
    array = np.array([[[1, 1, 2, 2, 2, 3, 3, 3, 3]]], np.uint8)
    grid = Grid((1, 1, 9), np.eye(4))
    found = resample_onto(array, grid, resampled_grid(grid, (None, None, 3.0)), rule="majority")
    np.testing.assert_array_equal(found, [[[1, 2, 3]]])


def test_of_equal_labels_the_one_at_the_centre_wins_and_else_the_lowest() -> None:
    grid = Grid((1, 1, 4), np.eye(4))
    target = Grid((1, 1, 1), np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 4, 1.5], [0, 0, 0, 1]]))
    for row, expected in (([5, 5, 4, 4], 4), ([4, 4, 5, 5], 5), ([2, 2, 7, 1], 2), ([9, 3, 7, 5], 7)):
        array = np.array([[row]], np.uint8)
        assert resample_onto(array, grid, target, rule="majority").item() == expected
    wide = Grid((1, 1, 1), np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 5, 2.0], [0, 0, 0, 1]]))
    array = np.array([[[8, 8, 1, 6, 6]]], np.uint8)  # 1 is at the centre, 6 and 8 have two each
    assert resample_onto(array, Grid((1, 1, 5), np.eye(4)), wide, rule="majority").item() == 6


def test_a_majority_counts_whole_blocks_of_voxels() -> None:
    array = labels((6, 8, 10))
    grid = Grid(array.shape, np.diag([0.5, 0.5, 0.5, 1]))
    found = resample_onto(array, grid, resampled_grid(grid, (1.0, 1.0, 1.0)), rule="majority")
    blocks = array.reshape(3, 2, 4, 2, 5, 2).transpose(0, 2, 4, 1, 3, 5).reshape(3, 4, 5, 8)
    counts = np.stack([(blocks == label).sum(axis=-1) for label in range(9)], axis=-1)
    top = counts.max(axis=-1)
    np.testing.assert_array_equal(np.take_along_axis(counts, found[..., None].astype(int), -1)[..., 0], top)
    is_clear = (counts == top[..., None]).sum(axis=-1) == 1
    assert is_clear.any()
    np.testing.assert_array_equal(found[is_clear], counts.argmax(axis=-1)[is_clear])


def test_a_thin_plate_is_kept_by_majority_no_more_than_its_share() -> None:
    array = np.zeros((1, 1, 90), np.uint8)
    array[..., ::3] = 1  # a third of every voxel
    grid = Grid(array.shape, np.eye(4))
    nearest = resample(array, grid, (None, None, 3.0), order=0)[0]
    majority = resample_onto(array, grid, resampled_grid(grid, (None, None, 3.0)), rule="majority")
    assert nearest.mean() in (0.0, 1.0)
    assert majority.max() == 0


def test_a_growing_majority_is_the_nearest_voxel() -> None:
    array, grid = labels((4, 5, 6)), Grid((4, 5, 6), np.eye(4))
    target = resampled_grid(grid, (0.4, 0.7, 0.9))
    np.testing.assert_array_equal(
        resample_onto(array, grid, target, rule="majority"), resample_onto(array, grid, target)
    )


def test_both_rules_leave_out_the_same_voxels() -> None:
    grid, array = Grid((4, 5, 6), np.eye(4)), labels((4, 5, 6))
    affine = np.array([[1.6, 0.5, 0, -3], [-0.5, 1.6, 0, -2], [0, 0, 2.0, -3], [0, 0, 0, 1]])
    target = Grid((6, 6, 6), affine)
    nearest = resample_onto(array, grid, target, fill=0)
    np.testing.assert_array_equal(resample_onto(array, grid, target, fill=0, rule="majority") == 0, nearest == 0)


def test_another_rule_is_refused() -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    with pytest.raises(Misconfigured, match="rule"):
        resample_onto(labels((2, 2, 2)), grid, grid, rule="mean")  # type: ignore[arg-type]
