"""Signed distances to simple solids, and paint: how much of a voxel a solid fills.

All functions take and give arrays of one shape, float32 where speed matters; distances are millimetres, negative
inside. Distances to ellipses are the usual first-order ones (exact on the surface), enough for edges one voxel wide.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Field: TypeAlias = NDArray[np.floating[Any]]
Scalar: TypeAlias = "float | Field"


def ellipse(a: Field, b: Field, radius_a: Scalar, radius_b: Scalar) -> Field:
    """Distance to the ellipse ``(a / radius_a)^2 + (b / radius_b)^2 = 1`` (a tube along the third axis)."""
    p, q = a / radius_a, b / radius_b
    radial = np.sqrt(p * p + q * q)
    result: Field = (radial - np.float32(1)) * np.minimum(radius_a, radius_b)
    return result


def ellipsoid(a: Field, b: Field, c: Field, radii: tuple[Scalar, Scalar, Scalar]) -> Field:
    """Distance to the ellipsoid with the three radii."""
    p, q, r = a / radii[0], b / radii[1], c / radii[2]
    radial = np.sqrt(p * p + q * q + r * r)
    result: Field = (radial - np.float32(1)) * np.minimum(np.minimum(radii[0], radii[1]), radii[2])
    return result


def slab(a: Field, low: Scalar, high: Scalar) -> Field:
    """Distance to the layer between two planes across one axis."""
    result: Field = np.maximum(low - a, a - high)
    return result


def shell(distance: Field, thickness: float) -> Field:
    """The wall of a solid, measured outwards from its surface."""
    half = np.float32(thickness / 2)
    result: Field = np.abs(distance - half) - half
    return result


def both(*distances: Field) -> Field:
    """Intersection."""
    result = distances[0]
    for distance in distances[1:]:
        result = np.maximum(result, distance)
    return result


def either(*distances: Field) -> Field:
    """Union."""
    result = distances[0]
    for distance in distances[1:]:
        result = np.minimum(result, distance)
    return result


def coverage(distance: Field, softness_mm: float) -> Field:
    """Share of a voxel inside the solid, 0..1: a ramp ``softness_mm`` wide, centred on the surface."""
    result: Field = np.clip(np.float32(0.5) - distance * np.float32(1 / softness_mm), 0, 1)
    return result


def paint(canvas: Field, distance: Field, value: Scalar, softness_mm: float = 1.2) -> None:
    """Lay a solid of one intensity over what is on the canvas, in place."""
    canvas += coverage(distance, softness_mm) * (value - canvas)
