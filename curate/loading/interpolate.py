"""Values between voxels: a slanted lattice read out of a block, linearly or nearest, in one pass and without the GIL.

What ``scipy.ndimage.affine_transform`` gives for orders 1 and 0 inside the block, and some ten times as fast: eight
neighbours are weighed in float32, and the grey scale is applied on the way.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.compiled import compiled, warms_up

Array = NDArray[Any]

_TYPES = np.int16, np.uint16, np.float32  # that volumes have


def sample_linear(
    block: NDArray[Any],
    matrix: NDArray[np.float64],
    first: NDArray[np.float64],
    output: NDArray[np.float32],
    *,
    slope: float,
    shift: float,
) -> None:
    """Fill ``output``, of four axes, with value x slope + shift, held between -1 and 1.

    ``block`` (k, j, i), whole numbers or floats. ``matrix`` (3, 4), ``first`` (3,): voxel (a, b, c, d) of the output
    lies at index ``first`` + ``matrix`` @ (a, b, c, d) of the block. ``output``: C order. Raises ``ValueError`` when
    that, or a neighbour of it, lies outside the block.
    """
    _check(block, matrix, first, output)
    _linear(_plain(block), matrix, first, output, np.float32(slope), np.float32(shift))


def sample_nearest(
    block: NDArray[np.uint8], matrix: NDArray[np.float64], first: NDArray[np.float64], output: NDArray[np.uint8]
) -> None:
    """Fill ``output`` with the nearest voxels' labels; halves go up. Raises as ``sample_linear`` does."""
    _check(block, matrix, first, output)
    _nearest(np.ascontiguousarray(block), matrix, first, output)


def _check(block: NDArray[Any], matrix: NDArray[np.float64], first: NDArray[np.float64], output: NDArray[Any]) -> None:
    """The lattice is a parallelepiped: when its corners have all neighbours in the block, so has every voxel of it."""
    if output.ndim != 4 or not output.flags.c_contiguous:
        raise ValueError("output: expected four axes in C order")
    across = matrix * (np.array(output.shape) - 1)
    low, high = first + np.minimum(across, 0).sum(axis=1), first + np.maximum(across, 0).sum(axis=1)
    if not ((low >= 1e-6).all() and (high <= np.array(block.shape) - 1 - 1e-6).all()):
        raise ValueError("a place of the lattice lies outside the block")


def _plain(block: NDArray[Any]) -> NDArray[Any]:
    """One of the few types that kernels are compiled for; the others are rare."""
    is_common = block.dtype in _TYPES and block.dtype.isnative
    return np.ascontiguousarray(block if is_common else block.astype(np.float32))


@compiled
def _linear(block: Array, matrix: Array, first: Array, output: Array, slope: Any, shift: Any) -> None:
    one, low, high, after = np.float32(1), np.float32(-1), np.float32(1), np.uint64(1)
    step_k, step_j, step_i = matrix[0, 3], matrix[1, 3], matrix[2, 3]
    for a in range(output.shape[0]):
        for b in range(output.shape[1]):
            for c in range(output.shape[2]):
                from_k = first[0] + matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c
                from_j = first[1] + matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c
                from_i = first[2] + matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c
                for d in range(output.shape[3]):
                    at_k, at_j, at_i = from_k + step_k * d, from_j + step_j * d, from_i + step_i * d
                    k, j, i = np.int32(at_k), np.int32(at_j), np.int32(at_i)
                    z, y, x = np.float32(at_k - k), np.float32(at_j - j), np.float32(at_i - i)
                    k0, j0, i0 = np.uint64(k), np.uint64(j), np.uint64(i)  # an index without a sign needs no test
                    k1, j1, i1 = k0 + after, j0 + after, i0 + after
                    u, v, w = one - z, one - y, one - x
                    near = v * (w * block[k0, j0, i0] + x * block[k0, j0, i1])
                    near += y * (w * block[k0, j1, i0] + x * block[k0, j1, i1])
                    far = v * (w * block[k1, j0, i0] + x * block[k1, j0, i1])
                    far += y * (w * block[k1, j1, i0] + x * block[k1, j1, i1])
                    output[a, b, c, d] = min(max((u * near + z * far) * slope + shift, low), high)


@compiled
def _nearest(block: Array, matrix: Array, first: Array, output: Array) -> None:
    for a in range(output.shape[0]):
        for b in range(output.shape[1]):
            for c in range(output.shape[2]):
                from_k = first[0] + matrix[0, 0] * a + matrix[0, 1] * b + matrix[0, 2] * c + 0.5
                from_j = first[1] + matrix[1, 0] * a + matrix[1, 1] * b + matrix[1, 2] * c + 0.5
                from_i = first[2] + matrix[2, 0] * a + matrix[2, 1] * b + matrix[2, 2] * c + 0.5
                for d in range(output.shape[3]):
                    k, j, i = from_k + matrix[0, 3] * d, from_j + matrix[1, 3] * d, from_i + matrix[2, 3] * d
                    output[a, b, c, d] = block[int(k), int(j), int(i)]


@warms_up
def _warm_up() -> None:
    matrix, first = np.zeros((3, 4)), np.full(3, 0.5)
    for dtype in _TYPES:
        block = np.zeros((2, 2, 2), dtype)
        sample_linear(block, matrix, first, np.empty((1, 1, 1, 1), np.float32), slope=1, shift=0)
    sample_nearest(np.zeros((2, 2, 2), np.uint8), matrix, first, np.empty((1, 1, 1, 1), np.uint8))
