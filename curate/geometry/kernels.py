"""The loops over voxels: banded operators applied slice by slice, in one pass over the source.

Every slice is weighed within its plane first, down the rows and then across the columns; the planes that an output
slice needs wait in a ring and are weighed along k. Sums run in the order of the source in IEEE arithmetic, never fused
and never reassociated, so that all machines and all numbers of threads give the same bits.

Nothing here tests an index: ``curate.geometry.bands`` refuses tables that leave the input, and ``Placing`` comes from
the output's own strides.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.compiled import compiled, warms_up
from curate.geometry.lanes import LANES, add_lanes

_AHEAD = 4  # rows that are summed in one go
_STRIP = 16  # rows

Array = NDArray[Any]


class InPlane(NamedTuple):
    """What is done to slice s within its plane; tables with one entry serve all slices.

    ``j_start`` (tables, rows), ``j_weights`` (tables, rows, taps); ``i_start`` (tables, blocks), ``i_table`` (tables,
    blocks, width, LANES), width 0 for columns that are kept. ``inside`` (tables, 4): first and one past the last row
    and column with a value; the others get ``fills`` (slices,). ``is_direct``: rows are turned into floats at every use
    and not once, which is cheaper for few taps.
    """

    j_start: Array
    j_weights: Array
    i_start: Array
    i_table: Array
    inside: Array
    fills: Array
    is_direct: bool


class Along(NamedTuple):
    """``start`` (outputs,), ``weights`` (outputs, taps) with the slices' slopes in them, ``shift`` (outputs,) added."""

    start: Array
    weights: Array
    shift: Array


class Placing(NamedTuple):
    """Where voxel (k, j, i) goes in the flat output: origin + k step_k + j step_j + i step_i, for i < columns.

    Whole numbers are rounded half to even and held between ``low`` and ``high``, which have the dtype of the sums.
    """

    origin: int
    step_k: int
    step_j: int
    step_i: int
    columns: int
    is_whole: bool
    low: Any
    high: Any


@compiled
def _mix(rows: Array, at: Array, weights: Array, count: int, line: Array) -> None:
    """line = sum over n < count of weights[n] * rows[at[n]]; the dtype of ``line`` is that of the sums."""
    real = line.dtype.type
    done = 0
    while done < count:
        left = count - done
        a, u = rows[at[done]], weights[done]
        if left >= _AHEAD:
            b, c, d = rows[at[done + 1]], rows[at[done + 2]], rows[at[done + 3]]
            v, w, x = weights[done + 1], weights[done + 2], weights[done + 3]
            if done == 0:
                for i in range(line.size):
                    line[i] = u * real(a[i]) + v * real(b[i]) + w * real(c[i]) + x * real(d[i])
            else:
                for i in range(line.size):
                    line[i] = line[i] + u * real(a[i]) + v * real(b[i]) + w * real(c[i]) + x * real(d[i])
            done += _AHEAD
        elif left >= 2:
            b, v = rows[at[done + 1]], weights[done + 1]
            if done == 0:
                for i in range(line.size):
                    line[i] = u * real(a[i]) + v * real(b[i])
            else:
                for i in range(line.size):
                    line[i] = line[i] + u * real(a[i]) + v * real(b[i])
            done += 2
        else:
            if done == 0:
                for i in range(line.size):
                    line[i] = u * real(a[i])
            else:
                for i in range(line.size):
                    line[i] = line[i] + u * real(a[i])
            done += 1


@compiled
def _turn(row: Array, line: Array) -> None:
    """A row as numbers of the dtype of ``line``."""
    real = line.dtype.type
    for i in range(line.size):
        line[i] = real(row[i])


@compiled
def _across(line: Array, starts: Array, table: Array, found: Array) -> None:
    """Weigh along a row: LANES outputs share one run of inputs, so that nothing is gathered."""
    for block in range(starts.size):
        add_lanes(line, starts[block], table, block, found)


@compiled
def _store(values: Array, shift: Any, placing: Placing, start: int, output: Array) -> None:
    """One row into the output."""
    low, high = placing.low, placing.high
    if placing.step_i != 1:
        for i in range(values.size):
            value = values[i] + shift
            if placing.is_whole:
                value = np.rint(value)
                value = low if value < low else value
                value = high if value > high else value
            output[start + i * placing.step_i] = value
        return
    row = output[start : start + values.size]
    if placing.is_whole:
        for i in range(row.size):
            value = np.rint(values[i] + shift)
            value = low if value < low else value
            value = high if value > high else value
            row[i] = value
    else:
        for i in range(row.size):
            row[i] = values[i] + shift


@compiled
def _output(
    planes: Array,
    height: int,
    start: int,
    weights: Array,
    shift: Any,
    placing: Placing,
    origin: int,
    mixed: Array,
    output: Array,
) -> None:
    """``height`` rows of an output slice out of the planes that it is made of: slice s is in ``planes[s % taps]``."""
    taps, strip, columns = planes.shape
    flat = planes.reshape(taps * strip, columns)
    at = np.empty(taps, np.int64)
    count, is_kept = placing.columns, taps == 1 and weights[0] == 1
    for j in range(height):
        values = flat[j]
        if not is_kept:
            for n in range(taps):
                at[n] = (start + n) % taps * strip + j
            _mix(flat, at, weights, taps, mixed)
            values = mixed
        _store(values[:count], shift, placing, origin + j * placing.step_j, output)


@compiled
def _plane(
    rows: Array,
    base: int,
    s: int,
    how: InPlane,
    top: int,
    ready: int,
    at: Array,
    ring: Array,
    line: Array,
    plane: Array,
) -> int:
    """Weigh rows ``top`` and on of slice ``s``, which begins at ``rows[base]``, within it: as many as ``plane`` has.

    Rows before ``ready`` are in the ring; returns the new count.
    """
    inside = how.inside[s if how.inside.shape[0] > 1 else 0]
    of_j = s if how.j_start.shape[0] > 1 else 0
    of_i = s if how.i_start.shape[0] > 1 else 0
    j_start, j_weights, taps = how.j_start[of_j], how.j_weights[of_j], how.j_weights.shape[2]
    i_start, i_table, fill = how.i_start[of_i], how.i_table[of_i], how.fills[s]
    is_kept, is_direct = how.i_table.shape[2] == 0, how.is_direct
    low, high, left, right = inside[0], inside[1], inside[2], inside[3]
    for n in range(plane.shape[0]):
        j, found = top + n, plane[n]
        if j < low or j >= high:
            found[:] = fill
            continue
        start = j_start[j]
        target = found if is_kept else line
        if is_direct:
            for t in range(taps):
                at[t] = base + start + t
            _mix(rows, at, j_weights[j], taps, target)
        else:
            ready = max(ready, start)
            while ready < start + taps:
                _turn(rows[base + ready], ring[ready % taps])
                ready += 1
            for t in range(taps):
                at[t] = (start + t) % taps
            _mix(ring, at, j_weights[j], taps, target)
        if not is_kept:
            _across(line, i_start, i_table, found)
        if left > 0 or right < found.size:
            found[:left] = fill
            found[right:] = fill
    return ready


def new_planes(how: InPlane, along: Along, width: int) -> tuple[Array, Array]:
    """Memory that ``weigh`` keeps between calls for slices of ``width`` columns: planes, and the slice in each."""
    taps = along.weights.shape[1]
    columns = width if how.i_table.shape[2] == 0 else how.i_start.shape[1] * LANES
    # made of one slice: a few rows at a time, since a plane leaves the nearest caches
    strip = _STRIP if taps == 1 else how.j_start.shape[1]
    return np.empty((taps, strip, columns), along.weights.dtype), np.full(taps, -1, np.int64)


@compiled
def weigh(
    source: Array,
    how: InPlane,
    along: Along,
    placing: Placing,
    first: int,
    last: int,
    planes: Array,
    held: Array,
    output: Array,
) -> None:
    """Output slices first <= k < last into the flat ``output``.

    ``source`` (slices, rows, columns), C order, is the volume or a ring over it: slice s is ``source[s % slices]``.
    ``planes`` and ``held`` are of ``new_planes``; calls that share them give their ranges of k in ascending order.
    """
    depth, height, width = source.shape
    rows = source.reshape(depth * height, width)
    j_taps, taps, j_count = how.j_weights.shape[2], along.weights.shape[1], how.j_start.shape[1]
    strip, columns = planes.shape[1], planes.shape[2]
    dtype = along.weights.dtype
    ring = np.empty((j_taps, width), dtype)
    line = np.empty(width, dtype)
    mixed = np.empty(columns, dtype)
    at = np.zeros(j_taps, np.int64)
    for k in range(first, last):
        start = along.start[k]
        origin = placing.origin + k * placing.step_k
        ready: Any = np.int64(0)  # a plain 0 has a type of its own, and everything below would be compiled twice
        for top in range(0, j_count, strip):
            rows_here = min(strip, j_count - top)
            for s in range(start, start + taps):
                if taps > 1:
                    if held[s % taps] == s:
                        continue
                    held[s % taps] = s
                    ready = np.int64(0)
                base = s % depth * height
                ready = _plane(rows, base, s, how, top, ready, at, ring, line, planes[s % taps, :rows_here])
            place = origin + top * placing.step_j
            _output(planes, rows_here, start, along.weights[k], along.shift[k], placing, place, mixed, output)


@compiled
def pick(source: Array, k_at: Array, j_at: Array, i_at: Array, fill: Any, placing: Placing, output: Array) -> None:
    """Nearest voxels: source[k_at[k], j_at[s, j], i_at[s, i]] into the flat ``output``; -1 stands for ``fill``.

    s is the source slice k_at[k], or 0 where a table has one entry for all.
    """
    for k in range(k_at.size):
        s = max(k_at[k], 0)
        is_outside = k_at[k] < 0
        rows = j_at[s if j_at.shape[0] > 1 else 0]
        columns = i_at[s if i_at.shape[0] > 1 else 0]
        for j in range(rows.size):
            start = placing.origin + k * placing.step_k + j * placing.step_j
            if is_outside or rows[j] < 0:
                for i in range(columns.size):
                    output[start + i * placing.step_i] = fill
                continue
            line = source[s, rows[j]]
            for i in range(columns.size):
                output[start + i * placing.step_i] = line[columns[i]] if columns[i] >= 0 else fill


@warms_up
def _warm() -> None:
    """The voxels that scanners store, and masks; others compile where they are first met."""
    start, real = np.zeros((1, 1), np.int64), np.ones(1, np.float32)
    how = InPlane(
        start, real.reshape(1, 1, 1), start, np.ones((1, 1, LANES, LANES), np.float32), np.zeros((1, 4), np.int64),
        real, True,
    )  # fmt: skip
    placing = Placing(0, LANES, LANES, 1, LANES, True, np.float32(0), np.float32(0))
    for dtype in (np.uint8, np.int16, np.uint16):
        source = np.zeros((1, 2, LANES), dtype)
        output = np.zeros(source.size, dtype)
        pick(source, start[0], start, start, dtype(0), placing, output)
        along = Along(start[0], real.reshape(1, 1), real)
        weigh(source, how, along, placing, 0, 1, *new_planes(how, along, LANES), output)
