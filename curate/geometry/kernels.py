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
def _store(line: Array, shift: Any, placing: Placing, start: int, output: Array) -> None:
    """One row into the output."""
    low, high, count = placing.low, placing.high, placing.columns
    values = line[:count]
    if placing.step_i != 1:
        for i in range(count):
            value = values[i] + shift
            if placing.is_whole:
                value = np.rint(value)
                value = low if value < low else value
                value = high if value > high else value
            output[start + i * placing.step_i] = value
        return
    row = output[start : start + count]
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
def _row(
    rows: Array,
    s: int,
    height: int,
    j: int,
    how: InPlane,
    ready: int,
    at: Array,
    ring: Array,
    line: Array,
    found: Array,
) -> int:
    """Weigh row ``j`` of slice ``s`` within its plane. Rows before ``ready`` are in the ring; returns the new count."""
    inside = how.inside[s if how.inside.shape[0] > 1 else 0]
    if j < inside[0] or j >= inside[1]:
        found[:] = how.fills[s]
        return ready
    of_j = s if how.j_start.shape[0] > 1 else 0
    of_i = s if how.i_start.shape[0] > 1 else 0
    start, weights, taps = how.j_start[of_j, j], how.j_weights[of_j, j], how.j_weights.shape[2]
    is_kept = how.i_table.shape[2] == 0
    target = found if is_kept else line
    if how.is_direct:
        for n in range(taps):
            at[n] = s * height + start + n
        _mix(rows, at, weights, taps, target)
    else:
        ready = max(ready, start)
        while ready < start + taps:
            _turn(rows[s * height + ready], ring[ready % taps])
            ready += 1
        for n in range(taps):
            at[n] = (start + n) % taps
        _mix(ring, at, weights, taps, target)
    if not is_kept:
        _across(line, how.i_start[of_i], how.i_table[of_i], found)
    if inside[2] > 0 or inside[3] < found.size:
        found[: inside[2]] = how.fills[s]
        found[inside[3] :] = how.fills[s]
    return ready


@compiled
def weigh(source: Array, how: InPlane, along: Along, placing: Placing, first: int, last: int, output: Array) -> None:
    """Output slices first <= k < last of ``source`` (slices, rows, columns), C order, into the flat ``output``."""
    depth, height, width = source.shape
    rows = source.reshape(depth * height, width)
    j_taps, taps, j_count = how.j_weights.shape[2], along.weights.shape[1], how.j_start.shape[1]
    columns = width if how.i_table.shape[2] == 0 else how.i_start.shape[1] * LANES
    dtype = along.weights.dtype
    ring = np.empty((j_taps, width), dtype)
    line = np.empty(width, dtype)
    mixed = np.empty(columns, dtype)
    strip = 1 if taps == 1 else j_count  # made of one slice: row by row, since a plane leaves the nearest caches
    planes = np.empty((taps, strip, columns), dtype)
    flat = planes.reshape(taps * strip, columns)
    held = np.full(taps, -1, np.int64)
    at = np.zeros(max(taps, j_taps), np.int64)
    for k in range(first, last):
        start = along.start[k]
        origin = placing.origin + k * placing.step_k
        is_kept = taps == 1 and along.weights[k, 0] == 1
        ready: Any = np.int64(0)  # a plain 0 has a type of its own, and everything below would be compiled twice
        for top in range(0, j_count, strip):
            for s in range(start, start + taps):
                if taps > 1:
                    if held[s % taps] == s:
                        continue
                    held[s % taps] = s
                    ready = np.int64(0)
                for j in range(top, top + strip):
                    ready = _row(rows, s, height, j, how, ready, at, ring, line, planes[s % taps, j - top])
            for j in range(top, top + strip):
                values = planes[0, j - top]
                if not is_kept:
                    for n in range(taps):
                        at[n] = (start + n) % taps * strip + j - top
                    _mix(flat, at, along.weights[k], taps, mixed)
                    values = mixed
                _store(values, along.shift[k], placing, origin + j * placing.step_j, output)


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
        weigh(source, how, Along(start[0], real.reshape(1, 1), real), placing, 0, 1, output)
