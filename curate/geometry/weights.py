"""How each output sample of one axis is a weighted sum of input samples, as one banded matrix.

Interpolation, the B-spline prefilter and the antialiasing filter are composed here, in float64, on small matrices, so
that applying them costs one pass over the voxels. Edge rule: outside the first and last sample centre the border sample
goes on (order 3: the position is held at the border, and the spline is mirrored about the border sample's centre).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_banded
from scipy.sparse import csr_array

from curate.errors import Misconfigured

ORDERS = (0, 1, 3)
_HALF = 0.5 + 1e-6  # ties go to the higher index, also when rounding noise puts them just below
_GAUSSIAN_RADIUS = 4.0  # sigmas; the mass beyond is 6e-5 and the rest is normalised to 1
_GAUSSIAN_LEAST = 1e-4  # of the sum: a sample that weighs less is left out
_SPREAD = 1 / (8 * math.log(2))  # variance of a Gaussian over its squared full width at half maximum
_NEGLIGIBLE = 1e-8  # prefilter weights decay by 0.268 a sample; what is smaller than this is dropped


def output_length(length: int, spacing_mm: float, target_mm: float) -> int:
    """Samples that cover the same extent at the target spacing: round(n s / t), halves up, at least 1."""
    return max(1, math.floor(length * spacing_mm / target_mm + _HALF))


def sample_positions(length: int, output: int, step: float) -> NDArray[np.float64]:
    """(output,) continuous input indices of the output samples: ``step`` apart, both grids sharing their centre."""
    centred = np.arange(output, dtype=np.float64) - (output - 1) / 2
    positions: NDArray[np.float64] = centred * step + (length - 1) / 2
    return positions


def nearest_indices(positions: NDArray[np.float64], length: int) -> NDArray[np.intp]:
    """Index of the nearest sample for each position, held at the borders; ties go to the higher index."""
    return np.clip(np.floor(positions + _HALF), 0, length - 1).astype(np.intp)


def axis_matrix(length: int, output: int, step: float, *, order: int, antialias: bool) -> csr_array:
    """(output, length) float64 weights; every row sums to 1.

    ``step``: output spacing over input spacing. ``order``: 0 nearest, 1 linear, 3 cubic B-spline. With ``antialias``,
    and only when ``step`` > 1 and ``order`` >= 1, the input is first smoothed by a Gaussian that widens a point spread
    of one input sample (full width at half maximum) to one of ``step``: sigma = sqrt((step^2 - 1) / (8 ln 2)) input
    samples (Cardoso et al., MICCAI 2015), without tails below 1e-4 a sample. Raises ``Misconfigured`` for other orders.
    """
    if order not in ORDERS:
        raise Misconfigured("resampling order: expected 0 (nearest), 1 (linear) or 3 (cubic B-spline)")
    return matrix_at(sample_positions(length, output, step), length, step, order=order, antialias=antialias)


def matrix_at(positions: NDArray[np.float64], length: int, step: float, *, order: int, antialias: bool) -> csr_array:
    """(positions, length) float64 weights of ``axis_matrix`` for samples at any continuous indices, in any order."""
    if order not in ORDERS:
        raise Misconfigured("resampling order: expected 0 (nearest), 1 (linear) or 3 (cubic B-spline)")
    output = len(positions)
    if order == 0:
        return _sparse(nearest_indices(positions, length)[:, None], np.ones((output, 1)), length)
    if length == 1:
        return _sparse(np.zeros((output, 1), dtype=np.intp), np.ones((output, 1)), length)
    held = np.clip(positions, 0, length - 1)
    matrix = _linear(held, length) if order == 1 else _cubic(held, length)
    if antialias and step > 1:
        matrix = matrix @ _gaussian(length, math.sqrt((step**2 - 1) * _SPREAD))
    return csr_array(matrix)


def uneven_matrix(
    knots_mm: NDArray[np.float64], positions_mm: NDArray[np.float64], step_mm: float, *, order: int, antialias: bool
) -> csr_array:
    """(positions, knots) float64 weights between samples at any increasing places; every row sums to 1.

    Order 1 is linear between neighbours, order 3 the cubic spline with no slope at the ends, which on even knots is the
    mirrored B-spline; outside the knots the border sample goes on. With ``antialias`` the interpolated curve, not the
    samples, is smoothed: sigma as in ``axis_matrix`` for the median gap, ``step_mm`` being the output spacing.
    """
    if order not in ORDERS:
        raise Misconfigured("resampling order: expected 0 (nearest), 1 (linear) or 3 (cubic B-spline)")
    if len(knots_mm) == 1:
        return _sparse(np.zeros((len(positions_mm), 1), dtype=np.intp), np.ones((len(positions_mm), 1)), 1)
    if order == 0:
        middles = (knots_mm[1:] + knots_mm[:-1]) / 2
        nearest = np.searchsorted(middles, positions_mm + 1e-6 * np.diff(knots_mm).min(), side="right")
        return _sparse(nearest[:, None], np.ones((len(positions_mm), 1)), len(knots_mm))
    gap = float(np.median(np.diff(knots_mm)))
    variance = (step_mm**2 - gap**2) * _SPREAD
    if not antialias or variance <= 0:
        return csr_array(_curve(knots_mm, positions_mm, order))
    sigma = math.sqrt(variance)
    offsets = np.linspace(-_GAUSSIAN_RADIUS, _GAUSSIAN_RADIUS, 33)
    kernel = np.exp(-0.5 * offsets**2)
    spread = (positions_mm[:, None] + sigma * offsets).ravel()
    rows = _curve(knots_mm, spread, order).reshape(len(positions_mm), len(offsets), len(knots_mm))
    return csr_array(np.einsum("o,pok->pk", kernel / kernel.sum(), rows))


def _curve(knots: NDArray[np.float64], positions: NDArray[np.float64], order: int) -> NDArray[np.float64]:
    """(positions, knots): what each knot adds to the curve through all of them."""
    held = np.clip(positions, knots[0], knots[-1])
    if order == 3:
        from scipy.interpolate import CubicSpline  # a fifth of the start of every process, and seldom needed

        weights: NDArray[np.float64] = CubicSpline(knots, np.eye(len(knots)), bc_type="clamped")(held)
        return weights
    low = np.clip(np.searchsorted(knots, held, side="right") - 1, 0, len(knots) - 2)
    part = (held - knots[low]) / (knots[low + 1] - knots[low])
    weights = np.zeros((len(positions), len(knots)))
    row = np.arange(len(positions))
    weights[row, low] = 1 - part
    weights[row, low + 1] = part
    return weights


def _linear(positions: NDArray[np.float64], length: int) -> csr_array:
    low = np.minimum(np.floor(positions), length - 2)
    part = positions - low
    index = low.astype(np.intp)
    return _sparse(np.stack([index, index + 1], axis=1), np.stack([1 - part, part], axis=1), length)


def _cubic(positions: NDArray[np.float64], length: int) -> csr_array:
    low = np.minimum(np.floor(positions), length - 2)
    t = positions - low
    basis = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, 3 * (1 - t) ** 3 - 6 * (1 - t) ** 2 + 4, t**3], axis=1) / 6
    index = low.astype(np.intp)[:, None] + np.arange(-1, 3)
    period = 2 * (length - 1)
    index = np.abs(index) % period
    index = np.where(index >= length, period - index, index)
    composed = csr_array(_sparse(index, basis, length) @ _prefilter(length))
    composed.data[np.abs(composed.data) < _NEGLIGIBLE] = 0
    composed.eliminate_zeros()
    composed.data /= np.repeat(composed.sum(axis=1), np.diff(composed.indptr))
    return composed


def _prefilter(length: int) -> csr_array:
    """(length, length): samples -> cubic B-spline coefficients, mirrored about the border samples (Unser 1999)."""
    bands = np.full((3, length), 1 / 6)
    bands[1] = 4 / 6
    bands[0, 1] = bands[2, -2] = 2 / 6
    inverse: NDArray[np.float64] = solve_banded((1, 1), bands, np.eye(length))
    inverse[np.abs(inverse) < _NEGLIGIBLE / 10] = 0
    return csr_array(inverse)


def _gaussian(length: int, sigma: float) -> csr_array:
    radius = int(_GAUSSIAN_RADIUS * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    is_felt = kernel >= _GAUSSIAN_LEAST * kernel.sum()
    offsets, kernel = offsets[is_felt], kernel[is_felt]
    index = np.clip(np.arange(length)[:, None] + offsets, 0, length - 1)
    return _sparse(index, np.broadcast_to(kernel / kernel.sum(), index.shape), length)


def _sparse(index: NDArray[np.intp], weights: NDArray[np.float64], length: int) -> csr_array:
    rows = np.repeat(np.arange(index.shape[0]), index.shape[1])
    return csr_array((weights.ravel(), (rows, index.ravel())), shape=(index.shape[0], length))
