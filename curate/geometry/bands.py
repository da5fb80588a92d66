"""The weights of an axis as the tables that kernels read: rows of taps down a column, blocks of lanes along a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from curate.geometry.lanes import LANES

_DROPPED = 1e-7  # of single precision sums; what is left of a row is brought back to a sum of 1


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """output[n] = sum over t of weights[s, n, t] * input[starts[s, n] + t]; s is the slice, or 0 if all are alike.

    ``starts`` (tables, outputs) int64, ``weights`` (tables, outputs, taps) float64; ``length``: inputs. Raises
    ``ValueError`` for starts that leave the input.
    """

    starts: NDArray[np.int64]
    weights: NDArray[np.float64]
    length: int

    def __post_init__(self) -> None:
        taps = self.weights.shape[2]
        if self.weights.shape[:2] != self.starts.shape or taps < 1 or not self.starts.size:
            raise ValueError("bands: starts and weights do not fit each other")
        if self.starts.min() < 0 or self.starts.max() + taps > self.length:
            raise ValueError("bands: taps outside the input")

    @property
    def is_ascending(self) -> bool:
        """Whether no output starts before the one that it follows."""
        return bool((np.diff(self.starts, axis=1) >= 0).all())

    @property
    def outputs(self) -> int:
        return int(self.starts.shape[1])

    @property
    def is_identity(self) -> bool:
        """Whether every table hands the input on as it is."""
        alike = self.weights.shape[2] == 1 and self.outputs == self.length
        return bool(alike and (self.weights == 1).all() and (self.starts == np.arange(self.length)).all())

    def from_the_end(self, *, outputs: bool) -> Bands:
        """For an input stored from its last sample to its first; with ``outputs`` the results are reversed too."""
        starts = self.length - self.starts - self.weights.shape[2]
        weights = self.weights[:, :, ::-1]
        return Bands(starts[:, ::-1], weights[:, ::-1], self.length) if outputs else Bands(starts, weights, self.length)


@dataclass(frozen=True, slots=True, eq=False)
class Blocks:
    """Bands turned over: LANES outputs side by side share one run of ``width`` inputs.

    ``starts`` (tables, blocks) int64, ``table`` (tables, blocks, width, LANES); a width of 0 stands for the identity.
    """

    starts: NDArray[np.int64]
    table: NDArray[Any]


def identity(length: int) -> Bands:
    """An axis that is kept."""
    return Bands(np.arange(length, dtype=np.int64)[None], np.ones((1, length, 1)), length)


def bands(matrix: csr_array, tables: int = 1, *, is_single: bool = True) -> Bands:
    """Rows of a sparse matrix (tables * outputs, length), each of which sums to 1, as bands.

    ``is_single``: the sums will be float32, so that weights below 1e-7 at the ends of a row may go.
    """
    rows = csr_array(matrix)
    rows.sum_duplicates()
    if is_single:
        rows.data[np.abs(rows.data) < _DROPPED] = 0
    rows.eliminate_zeros()
    length = rows.shape[1]
    low, high = rows.indices[rows.indptr[:-1]], rows.indices[rows.indptr[1:] - 1] + 1
    # ascending, because a row that is read once is not read again: a narrow row takes the start of the next one
    starts = np.minimum.accumulate(low.reshape(tables, -1)[:, ::-1], axis=1)[:, ::-1].ravel()
    taps = int((high - starts).max())
    starts = np.minimum(starts, length - taps).astype(np.int64)
    counts = np.diff(rows.indptr)
    weights = np.zeros((rows.shape[0], taps))
    weights[np.repeat(np.arange(rows.shape[0]), counts), rows.indices - np.repeat(starts, counts)] = rows.data
    weights /= weights.sum(axis=1, keepdims=True)
    return Bands(starts.reshape(tables, -1), weights.reshape(tables, -1, taps), length)


def blocks(axis: Bands, dtype: np.dtype[Any]) -> Blocks:
    """The same weights for LANES outputs at a time; lanes beyond the last output weigh nothing."""
    tables, outputs, taps = axis.weights.shape
    if axis.is_identity:
        return Blocks(np.zeros((1, 1), np.int64), np.zeros((1, 1, 0, LANES), dtype))
    count = -(-outputs // LANES)
    lanes = np.pad(axis.starts, ((0, 0), (0, count * LANES - outputs)), mode="edge").reshape(tables, count, LANES)
    width = min(axis.length, int(np.ptp(lanes, axis=2).max()) + taps)
    starts = np.minimum(lanes.min(axis=2), axis.length - width)
    table = np.zeros((tables, count, width, LANES), dtype)
    s, n, t = np.ogrid[:tables, :outputs, :taps]
    block, lane = n // LANES, n % LANES
    table[s, block, axis.starts[:, :, None] - starts[s, block] + t, lane] = axis.weights
    return Blocks(starts, table)
