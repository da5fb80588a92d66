"""Planes against the definitions of PS3.3 C.7.6.2."""

from __future__ import annotations

import numpy as np
import pytest

from curate.phantoms.planes import axial_ct, disc_mr, orientation_of_planes, plane_grid, position_of_slice, sagittal_mr


def test_the_centre_of_the_stack_is_where_it_was_asked_for() -> None:
    grid = plane_grid((3, -7, 11), (1, 0, 0), (0, 1, 0), (7, 20, 30), (2.0, 1.0, 0.5))
    np.testing.assert_allclose(grid.to_patient([3, 9.5, 14.5]), [3, -7, 11], atol=1e-6)
    assert grid.spacing_mm == pytest.approx((2.0, 1.0, 0.5))


@pytest.mark.parametrize(
    ("grid", "codes"),
    [
        (axial_ct((0, 0, 0), (16, 16), 160.0, 2.0, 20.0), "SPL"),
        (sagittal_mr((0, 0, 0), (16, 16), 1.0, 5, 4.0), "RIP"),
        (disc_mr((0, 0, 0), np.eye(3), (16, 16), 1.0, 5, 4.0), "SPL"),
    ],
)
def test_slices_run_along_the_normal_of_row_and_column(grid, codes) -> None:  # type: ignore[no-untyped-def]
    assert grid.axis_codes == codes
    assert np.linalg.det(grid.directions[:, ::-1]) == pytest.approx(1)  # (row, column, normal) is right handed


def test_positions_and_orientation_rebuild_the_affine() -> None:
    frame = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    frame *= np.sign(np.linalg.det(frame))
    grid = disc_mr((5, 6, 7), frame, (12, 14), 1.25, 4, 3.5)
    planes = np.array(orientation_of_planes(grid))
    np.testing.assert_allclose(planes[:3] * 1.25, grid.affine[:3, 2], atol=1e-6)
    np.testing.assert_allclose(planes[3:] * 1.25, grid.affine[:3, 1], atol=1e-6)
    first, last = np.array(position_of_slice(grid, 0)), np.array(position_of_slice(grid, 3))
    np.testing.assert_allclose((last - first) / 3, grid.affine[:3, 0], atol=1e-6)


def test_a_tilted_gantry_shears_the_stack() -> None:
    grid = axial_ct((0, 0, 0), (16, 16), 160.0, 2.0, 40.0, 14.0)
    normal = np.cross(grid.directions[:, 2], grid.directions[:, 1])
    step = grid.affine[:3, 0]
    assert np.degrees(np.arccos(step @ normal / np.linalg.norm(step))) == pytest.approx(14, abs=1e-6)
    np.testing.assert_allclose(grid.to_patient((np.array(grid.shape) - 1) / 2), [0, 0, 0], atol=1e-6)
