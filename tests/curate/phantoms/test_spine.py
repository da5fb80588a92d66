"""The curved axis: there and back again, and directions against finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from curate.geometry.grid import Grid
from curate.phantoms.spine import Axis, Levels, pose


@pytest.fixture
def axis() -> Axis:
    return Axis(slope=0.05, bend=0.0035, twist=-2e-5, bow=3e-4, pose=pose((6.0, -3.0, 7.0), (4.0, -9.0, 12.0)))


def test_a_pose_is_a_rotation_and_a_shift() -> None:
    matrix = pose((10.0, 20.0, 30.0), (1, 2, 3))
    np.testing.assert_allclose(matrix[:3, :3] @ matrix[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(matrix[:, 3], [1, 2, 3, 1])


def test_a_turn_about_the_head_foot_axis_takes_left_to_posterior() -> None:
    np.testing.assert_allclose(pose((0, 0, 90), (0, 0, 0))[:3, :3] @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_points_come_back_from_the_patient_within_a_fiftieth_of_a_millimetre(axis: Axis) -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform([-30, -35, -90], [30, 45, 80], size=(500, 3))
    patient = axis.to_patient(points)
    scene = (patient - axis.pose[:3, 3]) @ axis.pose[:3, :3]
    u, v, s = axis.from_scene(*(scene[:, n].astype(np.float32) for n in range(3)))
    assert np.abs(np.stack([u, v, s], axis=-1) - points).max() < 0.02


def test_the_frame_is_orthonormal_and_follows_the_axis(axis: Axis) -> None:
    frame = axis.frame(-40.0)
    np.testing.assert_allclose(frame.T @ frame, np.eye(3), atol=1e-12)
    ahead = axis.to_patient([0, 0, -39.99]) - axis.to_patient([0, 0, -40.01])
    along = ahead / np.linalg.norm(ahead)
    assert along @ frame[:, 2] > 0.999  # the sideways bow is left out of the frame on purpose
    np.testing.assert_allclose(
        axis.to_patient([3, 5, -40]) - axis.to_patient([0, 0, -40]), frame @ [3, 5, 0], atol=1e-9
    )


def test_scene_points_are_the_grid_seen_from_the_scene(axis: Axis) -> None:
    affine = np.array([[0.1, 0, 1.2, -50], [0, 1.2, 0, -40], [3.0, 0, 0, -30], [0, 0, 0, 1]])
    grid = Grid((4, 5, 6), affine)
    x, y, z = axis.scene_points(grid, 2, 4)
    assert x.shape == (2, 5, 6)
    expected = np.linalg.inv(axis.pose) @ np.append(grid.to_patient([3, 1, 5]), 1)
    np.testing.assert_allclose([x[1, 1, 5], y[1, 1, 5], z[1, 1, 5]], expected[:3], atol=1e-4)


def test_levels_are_counted_from_the_top() -> None:
    levels = Levels(("A", "B", "C"), (20.0, 0.0, -20.0), (10.0, -10.0))
    heights = np.array([50, 11, 9, -9, -11, -80], dtype=np.float32)
    assert levels.index(heights).tolist() == [0, 0, 1, 1, 2, 2]
    assert levels.nearest_disc(heights).tolist() == [0, 0, 0, 1, 1, 1]
