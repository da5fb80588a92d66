"""The lattice itself: where indices lie, and what is no lattice."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from curate.geometry import Grid

# an axial stack, feet to head: slices 2.5 mm apart, rows 0.5 mm towards the back, columns 0.4 mm towards the left
AXIAL = [[0, 0, 0.4, -100], [0, 0.5, 0, -120], [2.5, 0, 0, 30], [0, 0, 0, 1]]


def test_the_first_voxel_centre_is_the_translation_of_the_affine() -> None:
    grid = Grid(shape=(4, 5, 6), affine=np.array(AXIAL))
    np.testing.assert_array_equal(grid.to_patient((0, 0, 0)), [-100, -120, 30])
    np.testing.assert_array_equal(grid.to_patient((3, 4, 5)), [-98, -118, 37.5])


def test_spacing_is_in_array_order() -> None:
    assert Grid((4, 5, 6), np.array(AXIAL)).spacing_mm == (2.5, 0.5, 0.4)


def test_codes_say_towards_which_side_each_index_grows() -> None:
    assert Grid((4, 5, 6), np.array(AXIAL)).axis_codes == "SPL"


def test_every_right_angled_orientation_has_its_own_code() -> None:
    codes = set()
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            affine = np.eye(4)
            affine[:3, :3] = np.eye(3)[:, order] * signs
            codes.add(Grid((2, 2, 2), affine).axis_codes)
    assert len(codes) == 48


def test_an_oblique_axis_takes_the_nearest_code_and_no_side_is_named_twice() -> None:
    tilt = np.deg2rad(44)
    affine = np.eye(4)
    affine[:3, 0] = [0, -np.sin(tilt), np.cos(tilt)]
    affine[:3, 1] = [0, np.cos(tilt), np.sin(tilt)]
    affine[:3, 2] = [1, 0, 0]
    assert Grid((2, 2, 2), affine).axis_codes == "SPL"


def test_index_and_patient_are_inverse_of_each_other_for_an_oblique_sheared_grid() -> None:
    affine = np.array([[0.1, 0.3, 0.7, -5], [0.2, 0.8, -0.2, 9], [2.9, -0.1, 0.1, 40], [0, 0, 0, 1]])
    grid = Grid((7, 8, 9), affine)
    indices = np.random.default_rng(1).uniform(-5, 15, (4, 3, 3))
    np.testing.assert_allclose(grid.to_index(grid.to_patient(indices)), indices, atol=1e-12)


def test_a_point_is_inside_up_to_half_a_voxel_beyond_the_last_centre() -> None:
    grid = Grid((2, 2, 2), np.eye(4))
    assert grid.contains((1.5, -0.5, 0.0))
    assert not grid.contains((1.6, 0, 0))
    np.testing.assert_array_equal(grid.contains([[0, 0, 0], [0, 0, -0.6]]), [True, False])


def test_grids_are_equal_by_value_and_can_be_keys() -> None:
    first, second = Grid((4, 5, 6), np.array(AXIAL)), Grid((4, 5, 6), np.array(AXIAL, dtype=np.float32))
    assert first == Grid((4, 5, 6), np.array(AXIAL))
    assert first != second  # 0.4 in single precision is another number
    assert len({first, Grid((4, 5, 6), np.array(AXIAL))}) == 1


def test_the_affine_of_a_grid_cannot_be_changed_from_outside() -> None:
    affine = np.eye(4)
    grid = Grid((2, 2, 2), affine)
    affine[0, 3] = 7
    assert grid.affine[0, 3] == 0
    with pytest.raises(ValueError, match="read-only"):
        grid.affine[0, 3] = 7


@pytest.mark.parametrize(
    ("shape", "affine"),
    [
        ((0, 2, 2), np.eye(4)),
        ((2, 2), np.eye(4)),
        ((2, 2, 2), np.eye(3)),
        ((2, 2, 2), np.diag([1, 1, np.nan, 1])),
        ((2, 2, 2), np.diag([1.0, 1, 0, 1])),
    ],
)
def test_what_is_no_lattice_is_refused(shape: tuple[int, int, int], affine: np.ndarray) -> None:
    with pytest.raises(ValueError):
        Grid(shape, affine)
