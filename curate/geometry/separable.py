"""Axis operators applied to an array however it lies in memory: permuted and flipped views are read as they are."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curate.geometry import kernels
from curate.geometry.bands import Bands, blocks, identity


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """How stored values become output values, slice by slice of axis 0: value * slope + intercept.

    ``slopes``, ``intercepts``: (slices,) or (1,) float64. ``fill``: output value where ``Window`` leaves a voxel out.
    """

    slopes: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    fill: float = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether values stay as they are."""
        return bool((self.slopes == 1).all() and (self.intercepts == 0).all())


PLAIN = Levels(np.ones(1), np.zeros(1))


@dataclass(frozen=True, slots=True, eq=False)
class Stored:
    """The memory of an array in C order: axis n of it is axis ``axes[n]`` of the array, flipped or not."""

    array: NDArray[Any]
    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]


def as_stored(array: NDArray[Any], *, keep_slices: bool = False) -> Stored:
    """The array as its memory lies; a copy if that has gaps, another byte order, or (``keep_slices``) slices inside."""
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    order = sorted(range(3), key=lambda a: (native.shape[a] == 1, -abs(native.strides[a])))
    axes = (order[0], order[1], order[2])
    flips = tuple(bool(native.strides[a] < 0 and native.shape[a] > 1) for a in axes)
    if not keep_slices or axes[0] == 0:
        view = native.transpose(axes)[tuple(slice(None, None, -1 if flip else 1) for flip in flips)]
        if view.flags.c_contiguous:
            return Stored(view, axes, (flips[0], flips[1], flips[2]))
    return Stored(np.ascontiguousarray(native), (0, 1, 2), (False, False, False))


def sums_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 for integers up to 16 bits, float64 for wider ones and for floats, which no rounding forgives."""
    return np.dtype(np.float32 if dtype.kind in "biu" and dtype.itemsize <= 2 else np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Weighing:
    """Operators made ready for volumes of one shape and memory order, and the array that the result goes to.

    ``outputs``: slices of the result in the order in which they are made, along axis 0 of the source's memory. Those
    up to k need source slices up to ``needs[k]``, ``taps`` at a time.
    """

    how: kernels.InPlane
    along: kernels.Along
    placing: kernels.Placing
    result: NDArray[Any]

    @property
    def outputs(self) -> int:
        return int(self.along.start.size)

    @property
    def taps(self) -> int:
        return int(self.along.weights.shape[1])

    @property
    def needs(self) -> NDArray[np.int64]:
        needed: NDArray[np.int64] = self.along.start + self.taps - 1
        return needed

    def planes(self, width: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """What ``run`` keeps between calls, for source slices of ``width`` columns."""
        return kernels.new_planes(self.how, self.along, width)

    def run(self, source: NDArray[Any], first: int, last: int, planes: tuple[NDArray[Any], NDArray[np.int64]]) -> None:
        """Make outputs first <= k < last of ``source``: its slices in memory order, or a ring over them."""
        kernels.weigh(source, self.how, self.along, self.placing, first, last, *planes, self.result.reshape(-1))


def apply(
    array: NDArray[Any],
    operators: Sequence[Bands | None],
    dtype: np.dtype[Any],
    *,
    levels: Levels = PLAIN,
    inside: NDArray[np.int64] | None = None,
    threads: int = 1,
) -> NDArray[Any]:
    """``operators`` of the axes (k, j, i) of ``array``, ``None`` for an axis that is kept, to a C-ordered new array.

    Operators of j and i with one table a slice, and slopes a slice, belong to slices of axis 0. ``inside`` (tables, 4)
    int64: first and one past the last output row and column that slice s has values for, before ``fill`` begins. The
    result is the same for any number of ``threads``.
    """
    has_slices = inside is not None or any(o is not None and len(o.starts) > 1 for o in operators)
    has_slices = has_slices or not levels.is_plain
    stored = as_stored(array, keep_slices=has_slices)
    weighing = make_weighing(stored, operators, dtype, levels=levels, inside=inside)

    def run(part: int) -> None:
        first, last = weighing.outputs * part // parts, weighing.outputs * (part + 1) // parts
        weighing.run(stored.array, first, last, weighing.planes(stored.array.shape[2]))

    parts = max(1, min(threads, weighing.outputs))
    if parts == 1:
        run(0)
    else:
        with ThreadPoolExecutor(parts) as pool:
            list(pool.map(run, range(parts)))
    return weighing.result


def make_weighing(
    stored: Stored,
    operators: Sequence[Bands | None],
    dtype: np.dtype[Any],
    *,
    levels: Levels = PLAIN,
    inside: NDArray[np.int64] | None = None,
) -> Weighing:
    """The tables of ``apply`` for the array that lies like this; its values are not looked at."""
    work = sums_dtype(stored.array.dtype)
    along, down, across = (
        _turned(operators[axis] or identity(stored.array.shape[n]), flip, outputs=n < 2)
        for n, (axis, flip) in enumerate(zip(stored.axes, stored.flips, strict=True))
    )
    slices = stored.array.shape[0]
    slopes, intercepts = (_of_slices(each, slices, stored.flips[0]) for each in (levels.slopes, levels.intercepts))
    if stored.flips[0]:
        down, across = (Bands(o.starts[::-1], o.weights[::-1], o.length) for o in (down, across))
    if not (along.is_ascending and down.is_ascending):
        raise ValueError("operators: the outputs of an axis go from its first sample to its last")
    taps = along.starts[0][:, None] + np.arange(along.weights.shape[2])
    columns = blocks(across, work)
    shape = [o.outputs for o in (along, down, across)]
    how = kernels.InPlane(
        np.ascontiguousarray(down.starts),
        np.ascontiguousarray(down.weights, work),
        np.ascontiguousarray(columns.starts),
        np.ascontiguousarray(columns.table),
        _limits(inside, shape, stored.flips),
        ((levels.fill - intercepts) / slopes).astype(work),
        down.weights.shape[2] * shape[1] <= 8 * down.length,
    )
    weights = along.weights[0]
    table = kernels.Along(
        np.ascontiguousarray(along.starts[0]),
        np.ascontiguousarray(weights * slopes[taps], work),
        np.ascontiguousarray((weights * intercepts[taps]).sum(axis=1), work),
    )
    result = np.empty([shape[stored.axes.index(axis)] for axis in range(3)], dtype)
    return Weighing(how, table, _placing(result, stored, shape, work), result)


def pick(array: NDArray[Any], indices: Sequence[NDArray[np.int64]], fill: Any = 0) -> NDArray[Any]:
    """Nearest voxels, C order: ``indices`` (k outputs,), (tables, j outputs), (tables, i outputs); -1 is ``fill``."""
    stored = as_stored(array, keep_slices=any(len(each) > 1 for each in indices[1:]))
    tables = [indices[0][None], *indices[1:]]
    turned = []
    for axis, flip in zip(stored.axes, stored.flips, strict=True):
        table = tables[axis]
        turned.append(np.where(table >= 0, array.shape[axis] - 1 - table, -1) if flip else table)
    if stored.flips[0]:
        turned[1:] = [table[::-1] for table in turned[1:]]
    shape = [table.shape[1] for table in turned]
    result = np.empty([shape[stored.axes.index(axis)] for axis in range(3)], stored.array.dtype)
    unflipped = Stored(stored.array, stored.axes, (False, False, False))
    placing = _placing(result, unflipped, shape, np.dtype(np.float32))
    k_at, j_at, i_at = (np.ascontiguousarray(table, np.int64) for table in turned)
    kernels.pick(stored.array, k_at[0], j_at, i_at, result.dtype.type(fill), placing, result.reshape(-1))
    return result


def _turned(operator: Bands, flip: bool, *, outputs: bool) -> Bands:
    # k and j keep their runs in ascending order, for the rings, and write backwards; i writes forwards
    return operator.from_the_end(outputs=outputs) if flip else operator


def _of_slices(values: NDArray[np.float64], slices: int, flip: bool) -> NDArray[np.float64]:
    spread = np.broadcast_to(np.asarray(values, np.float64), (slices,))
    return spread[::-1] if flip else spread


def _limits(
    inside: NDArray[np.int64] | None, shape: Sequence[int], flips: tuple[bool, bool, bool]
) -> NDArray[np.int64]:
    if inside is None:
        return np.array([[0, shape[1], 0, shape[2]]], np.int64)
    limits = inside[::-1].copy() if flips[0] else inside.copy()
    if flips[1]:
        limits[:, :2] = shape[1] - limits[:, 1::-1]
    return np.ascontiguousarray(limits)


def _placing(result: NDArray[Any], stored: Stored, shape: Sequence[int], work: np.dtype[Any]) -> kernels.Placing:
    steps = [result.strides[axis] // result.itemsize for axis in stored.axes]
    origin = 0
    for n in range(2):
        if stored.flips[n]:
            origin += (shape[n] - 1) * steps[n]
            steps[n] = -steps[n]
    is_whole = result.dtype.kind in "iu"
    low, high = _range(result.dtype, work) if is_whole else (work.type(0), work.type(0))
    return kernels.Placing(origin, steps[0], steps[1], steps[2], shape[2], is_whole, low, high)


def _range(dtype: np.dtype[Any], work: np.dtype[Any]) -> tuple[Any, Any]:
    """The lowest and highest whole numbers of ``dtype`` that the sums' dtype can hold."""
    limits = np.iinfo(dtype)
    low, high = work.type(limits.min), work.type(limits.max)
    return low, high if int(high) <= limits.max else np.nextafter(high, work.type(0))
