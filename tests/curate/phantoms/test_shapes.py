"""Distances against the closed forms of geometry: on the axes of an ellipse, on spheres, between planes."""

from __future__ import annotations

import numpy as np
import pytest

from curate.phantoms.shapes import both, coverage, either, ellipse, ellipsoid, paint, shell, slab


def field(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


def test_a_circle_is_measured_exactly() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 50)).astype(np.float32) * 9
    np.testing.assert_allclose(ellipse(a, b, 4.0, 4.0), np.hypot(a, b) - 4, atol=1e-5)


def test_a_sphere_is_measured_exactly() -> None:
    a, b, c = np.random.default_rng(1).normal(size=(3, 50)).astype(np.float32) * 9
    np.testing.assert_allclose(ellipsoid(a, b, c, (5.0, 5.0, 5.0)), np.sqrt(a * a + b * b + c * c) - 5, atol=1e-5)


@pytest.mark.parametrize(("a", "b"), [(6.0, 0.0), (0.0, 2.0), (-6.0, 0.0), (6 * np.cos(1), 2 * np.sin(1))])
def test_the_edge_of_an_ellipse_has_distance_zero(a: float, b: float) -> None:
    assert ellipse(field(a), field(b), 6.0, 2.0)[0] == pytest.approx(0, abs=1e-5)


def test_inside_is_negative_and_outside_positive() -> None:
    distance = ellipse(field(0, 5.9, 6.1), field(0, 0, 0), 6.0, 2.0)
    assert (np.sign(distance) == [-1, -1, 1]).all()


def test_a_slab_lies_between_its_planes() -> None:
    np.testing.assert_allclose(slab(field(-3, 0, 1, 4), -1.0, 2.0), [2, -1, -1, 2])


def test_a_shell_is_a_wall_outside_the_surface() -> None:
    wall = shell(field(-1, 0, 1, 2, 3), 2.0)
    np.testing.assert_allclose(wall, [1, 0, -1, 0, 1])


def test_intersection_and_union_follow_set_logic() -> None:
    a, b = field(-1, -1, 1, 1), field(-1, 1, -1, 1)
    assert ((both(a, b) < 0) == [True, False, False, False]).all()
    assert ((either(a, b) < 0) == [True, True, True, False]).all()


def test_coverage_is_one_half_on_the_surface_and_saturates() -> None:
    np.testing.assert_allclose(coverage(field(-5, -0.25, 0, 0.25, 5), 1.0), [1, 0.75, 0.5, 0.25, 0])


def test_paint_replaces_inside_and_keeps_outside_in_place() -> None:
    canvas = field(10, 10, 10)
    paint(canvas, field(-9, 0, 9), 30.0)
    np.testing.assert_allclose(canvas, [30, 20, 10])
    assert canvas.dtype == np.float32
