"""The compiled interpolation agrees with SciPy and never looks outside its block."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates
from scipy.spatial.transform import Rotation

from curate.loading.interpolate import sample_linear, sample_nearest

SHAPE = (5, 3, 7, 9)


def slanted(seed: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """A lattice of four axes within a block of (24, 25, 26), and where its voxels lie, (3, ...)."""
    draw = np.random.default_rng(seed)
    turn = Rotation.random(rng=draw).as_matrix() * draw.uniform(0.4, 1.2, 3)
    matrix = np.insert(turn, 1, turn[:, 0] * 0.3, axis=1)
    first = np.array([12.0, 12.0, 12.5]) - matrix @ ((np.array(SHAPE) - 1) / 2)
    places = first[:, None] + matrix @ np.indices(SHAPE).reshape(4, -1)
    return matrix, first, places.reshape(3, *SHAPE)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, np.uint8, np.int32, np.dtype(">i2")])
def test_values_are_those_of_scipy(dtype: np.dtype[np.generic]) -> None:
    block = np.random.default_rng(1).integers(0, 200, (24, 25, 26)).astype(dtype)
    for seed in range(8):
        matrix, first, places = slanted(seed)
        output = np.empty(SHAPE, np.float32)
        sample_linear(block, matrix, first, output, slope=0.01, shift=-0.9)
        wanted = map_coordinates(block.astype(np.float64), places, order=1) * 0.01 - 0.9
        assert np.abs(output - np.clip(wanted, -1, 1)).max() < 1e-5


def test_labels_are_those_of_the_nearest_voxel() -> None:
    block = np.random.default_rng(2).integers(0, 8, (24, 25, 26)).astype(np.uint8)
    for seed in range(8):
        matrix, first, places = slanted(seed)
        output = np.empty(SHAPE, np.uint8)
        sample_nearest(block, matrix, first, output)
        k, j, i = np.floor(places + 0.5).astype(int)
        assert np.array_equal(output, block[k, j, i])


def test_values_are_held_between_minus_one_and_one() -> None:
    block = np.array([-30000, 30000], np.int16).reshape(2, 1, 1).repeat(2, axis=1).repeat(2, axis=2)
    output = np.empty((2, 1, 1, 1), np.float32)
    matrix = np.zeros((3, 4))
    matrix[0, 0] = 0.9
    sample_linear(block, matrix, np.array([0.05, 0.5, 0.5]), output, slope=1, shift=0)
    assert output.ravel().tolist() == [-1, 1]


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("far", [-0.5, 1.0])
def test_a_place_outside_the_block_is_refused(axis: int, far: float) -> None:
    first = np.full(3, 0.5)
    first[axis] = far
    block, matrix = np.zeros((2, 2, 2), np.uint8), np.zeros((3, 4))
    with pytest.raises(ValueError, match="outside the block"):
        sample_linear(block, matrix, first, np.empty((1, 1, 1, 1), np.float32), slope=1, shift=0)
    with pytest.raises(ValueError, match="outside the block"):
        sample_nearest(block, matrix, first, np.empty((1, 1, 1, 1), np.uint8))


def test_memory_of_another_order_is_refused() -> None:
    output = np.empty((1, 2, 3, 4), np.float32).transpose(0, 1, 3, 2)
    with pytest.raises(ValueError, match="C order"):
        sample_linear(np.zeros((9, 9, 9), np.int16), np.zeros((3, 4)), np.ones(3), output, slope=1, shift=0)
