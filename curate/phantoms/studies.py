"""Studies as records in memory: stacks of stored pixels with their planes, and the labels that readers would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from curate.geometry.grid import Grid
from curate.phantoms.draws import generator
from curate.phantoms.headers import SeriesFacts
from curate.phantoms.sites import Site


@dataclass(frozen=True, slots=True, eq=False)
class AcquiredStack:
    """Parallel slices. ``pixels``: int16 or uint16 stored values (k, j, i). ``numbers``: InstanceNumber by k, or the
    number of the frame (from 1) in an enhanced object."""

    grid: Grid
    pixels: NDArray[np.generic]
    numbers: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class AcquiredSeries:
    """One series. ``name``: what label tables and the folder layout call it (its UID, or a number)."""

    name: str
    series_type: str
    facts: SeriesFacts
    stacks: tuple[AcquiredStack, ...]


@dataclass(frozen=True, slots=True)
class Mark:
    """A label tied to a pixel of one slice, with what it marks. ``column``, ``row``: pixel centres at whole numbers."""

    series: str
    kind: str
    name: str
    instance_number: int
    column: float
    row: float
    point_mm: tuple[float, float, float]
    anatomy_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Study:
    """One study with its labels. ``name``: what label tables call it."""

    name: str
    series: tuple[AcquiredSeries, ...]
    marks: tuple[Mark, ...]
    anatomy: tuple[tuple[str, str, tuple[float, float, float]], ...]  # kind, name, LPS millimetres
    label_rows: tuple[tuple[str, tuple[object, ...]], ...]  # table, values
    mask: NDArray[np.uint8] | None = field(default=None)  # on the first stack of the first series


def slice_numbers(seed: int, site: Site, series_uid: str, counts: Sequence[int]) -> list[NDArray[np.int64]]:
    """What a series' slices are numbered at a site, by stack; ``counts``: slices of each. Always 1 to their sum."""
    ends = np.cumsum(counts)
    if site.is_enhanced:
        return np.split(generator(seed, "frames", series_uid).permutation(int(ends[-1])) + 1, ends[:-1])
    stacks = np.split(np.arange(1, int(ends[-1]) + 1), ends[:-1])
    return stacks if site.numbers_upwards else [numbers[::-1].copy() for numbers in stacks]


def triple(point: NDArray[np.float64]) -> tuple[float, float, float]:
    """Three plain floats."""
    x, y, z = (float(value) for value in point)
    return x, y, z
