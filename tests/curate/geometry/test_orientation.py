"""Reorienting moves no voxel in the patient and changes no value."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from curate.errors import Misconfigured
from curate.geometry import Grid, orient, radiological_code
from curate.geometry.orientation import orientation_of

CODES = sorted(
    "".join(letters) for pairs in itertools.permutations(("LR", "PA", "SI")) for letters in itertools.product(*pairs)
)
VECTOR = {"L": (1, 0, 0), "R": (-1, 0, 0), "P": (0, 1, 0), "A": (0, -1, 0), "S": (0, 0, 1), "I": (0, 0, -1)}


def grid_of(code: str, shape: tuple[int, int, int] = (3, 4, 5), angle: float = 0.0) -> Grid:
    """A grid whose indices grow towards the sides of ``code``, the patient turned by ``angle`` about an odd axis."""
    axis = np.array([1.0, 2.0, 3.0]) / np.sqrt(14)
    cross = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    affine = np.eye(4)
    affine[:3, :3] = rotation @ np.array([VECTOR[letter] for letter in code]).T * (3.0, 0.5, 0.7)
    affine[:3, 3] = -31, 17, 400
    return Grid(shape, affine)


def places(array: np.ndarray, grid: Grid) -> dict[float, tuple[float, ...]]:
    """Value -> where it lies in the patient, for an array of distinct values."""
    return {
        float(array[index]): tuple(np.round(grid.to_patient(index), 9))
        for index in itertools.product(*map(range, array.shape))
    }


@pytest.mark.parametrize("code", CODES)
def test_every_voxel_keeps_its_value_and_its_place_from_any_orientation(code: str) -> None:
    grid = grid_of(code, angle=0.2)
    array = np.arange(60, dtype=np.int16).reshape(grid.shape)
    turned, turned_grid = orient(array, grid, "SPL")
    assert turned_grid.axis_codes == "SPL"
    assert turned.shape == turned_grid.shape
    assert places(turned, turned_grid) == places(array, grid)


@pytest.mark.parametrize("target", CODES)
def test_every_target_is_reached(target: str) -> None:
    array = np.arange(60).reshape(3, 4, 5)
    assert orient(array, grid_of("LIP"), target)[1].axis_codes == target


@pytest.mark.parametrize("target", ["SPL", "LIP", "PIL", "IAR"])
def test_simpleitk_orients_the_same_way(target: str) -> None:
    grid = grid_of("AIR", angle=0.3)
    array = np.random.default_rng(0).integers(0, 1000, grid.shape).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(grid.spacing_mm[::-1])
    image.SetDirection(grid.directions[:, ::-1].ravel())
    image.SetOrigin(grid.affine[:3, 3])
    # ITK names the axes of the image (x first) by the side they grow towards when given as "LPS" means our "SPL"
    expected = sitk.DICOMOrient(image, target[::-1])
    turned, turned_grid = orient(array, grid, target)
    np.testing.assert_array_equal(turned, sitk.GetArrayFromImage(expected))
    np.testing.assert_allclose(turned_grid.affine[:3, 3], expected.GetOrigin(), atol=1e-9)
    np.testing.assert_allclose(turned_grid.spacing_mm[::-1], expected.GetSpacing(), atol=1e-12)


@pytest.mark.parametrize(
    ("acquired", "plane", "display"),
    [
        ("SPL", "axial", "SPL"),
        ("IPL", "axial", "SPL"),
        ("IAR", "axial", "SPL"),
        ("LIP", "sagittal", "LIP"),
        ("RIP", "sagittal", "LIP"),
        ("LSA", "sagittal", "LIP"),
        ("PIL", "coronal", "PIL"),
        ("AIL", "coronal", "PIL"),
    ],
)
def test_the_radiological_order_keeps_the_slice_axis_first(acquired: str, plane: str, display: str) -> None:
    grid = grid_of(acquired)
    array = np.zeros(grid.shape)
    assert orientation_of(grid) == plane
    assert radiological_code(grid) == display
    turned, turned_grid = orient(array, grid, "radiological")
    assert turned_grid.axis_codes == display
    assert turned.shape[0] == array.shape[0]


def test_an_oblique_lumbar_disc_stack_counts_as_axial() -> None:
    assert orientation_of(grid_of("SPL", angle=np.deg2rad(30))) == "axial"


def test_orienting_twice_changes_nothing_more() -> None:
    array = np.arange(60).reshape(3, 4, 5)
    once = orient(array, grid_of("RAI", angle=0.1))
    twice = orient(*once)
    np.testing.assert_array_equal(once[0], twice[0])
    assert once[1] == twice[1]


def test_the_result_shares_the_memory_of_the_input() -> None:
    array = np.arange(60).reshape(3, 4, 5)
    assert np.shares_memory(orient(array, grid_of("IAR"))[0], array)


def test_there_and_back_is_the_same_grid_to_rounding() -> None:
    grid = grid_of("ARS", angle=0.25)
    array = np.arange(60).reshape(3, 4, 5)
    back, back_grid = orient(*orient(array, grid, "LIP"), "ARS")
    np.testing.assert_array_equal(back, array)
    np.testing.assert_allclose(back_grid.affine, grid.affine, atol=1e-12)


@pytest.mark.parametrize("target", ["", "SP", "SPS", "SPX", "spl", "radiologic", "SPLA"])
def test_an_impossible_target_is_refused_and_the_message_says_what_is_possible(target: str) -> None:
    with pytest.raises(Misconfigured, match="such as 'SPL'"):
        orient(np.zeros((3, 4, 5)), grid_of("SPL"), target)


def test_an_array_that_is_not_of_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        orient(np.zeros((5, 4, 3)), grid_of("SPL"))
