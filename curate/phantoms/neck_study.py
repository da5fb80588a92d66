"""A cervical CT study: one axial bone-kernel series, fracture labels by vertebra, boxes by slice, and a mask."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.geometry.grid import Grid
from curate.phantoms.cervical import NAMES, Neck, random_neck
from curate.phantoms.draws import generator, uid
from curate.phantoms.headers import SeriesFacts
from curate.phantoms.planes import axial_ct
from curate.phantoms.sites import Site
from curate.phantoms.studies import AcquiredSeries, AcquiredStack, Mark, Study, slice_numbers, triple

FIELD_MM, REACH_MM, SLICE_MM = 160.0, 164.0, 2.0
_MARGIN = 1.5  # pixels that readers leave around a fracture


def make_neck_study(seed: int, site: Site, number: int, *, matrix: int, tilt_deg: float = 0.0) -> Study:
    """The cervical study ``number`` (counted over all sites) as acquired at ``site``, perhaps with a tilted gantry."""
    draw = generator(seed, "cervical", number)
    neck = random_neck(draw, broken_levels(seed, number))
    grid = _scan_planes(neck, site, matrix, draw, tilt_deg)
    values, labels, clefts = neck.sample(grid)
    values += draw.standard_normal(values.shape, dtype=np.float32) * np.float32(site.noise)
    units = np.clip(np.rint(values), -1024, 3071).astype(np.int16)
    intercept = 0 if site.signed else -1024
    stored: NDArray[np.generic] = units if site.signed else (units + 1024).astype(np.uint16)
    study_uid, series_uid = uid(seed, "cervical", "study", number), uid(seed, "cervical", "series", number, 0)
    facts = SeriesFacts(
        study_uid, series_uid, uid(seed, "cervical", "frame", number), 2, "CT", "C-SPINE BONE", "", intercept
    )
    (numbers,) = slice_numbers(seed, site, series_uid, [grid.shape[0]])
    stack = AcquiredStack(grid, stored, numbers)
    series = AcquiredSeries(series_uid, "", facts, (stack,))
    marks, box_rows = _boxes(study_uid, series, clefts, neck)
    broken = {fracture.level for fracture in neck.fractures}
    targets = [int(level in broken) for level in range(7)]
    rows = (("train", (study_uid, int(any(targets)), *targets)), *box_rows)
    anatomy = [("vertebra", NAMES[n], triple(neck.centre_mm(n))) for n in range(7)]
    anatomy += [("fracture", NAMES[f.level], triple(neck.fracture_mm(f))) for f in neck.fractures]
    return Study(study_uid, (series,), marks, tuple(anatomy), rows, labels if number % 4 != 3 else None)


def broken_levels(seed: int, number: int) -> tuple[int, ...]:
    """Which vertebrae are fractured: about six studies in ten, every level in turn, sometimes more than one."""
    offset = float(generator(seed, "fractures").uniform())
    if (number * 0.6180339887 + offset) % 1 > 0.6:
        return ()
    draw = generator(seed, "fractures", number)
    levels = {int(draw.integers(7)), (number * 3 + int(offset * 7)) % 7}
    if draw.uniform() < 0.4:
        levels.add(int(draw.integers(7)))
    return tuple(sorted(levels))


def _scan_planes(neck: Neck, site: Site, matrix: int, draw: np.random.Generator, tilt_deg: float) -> Grid:
    field = FIELD_MM * site.spacing_factor * site.matrix_factor[1]
    rows, columns = (round(matrix * factor) for factor in site.matrix_factor)
    middle = neck.axis.to_patient([0.0, -14.0, neck.levels.centres[3] + 2.0])
    middle = middle + draw.uniform(-4, 4, 3)
    slice_mm = round(SLICE_MM * site.slice_factor, 3)
    return axial_ct(middle, (rows, columns), field, slice_mm, REACH_MM * neck.size, tilt_deg)


def _boxes(
    study: str, series: AcquiredSeries, clefts: NDArray[np.uint8], neck: Neck
) -> tuple[tuple[Mark, ...], list[tuple[str, tuple[object, ...]]]]:
    """One box a slice and fractured vertebra, around the cleft; the marks are two opposite corners."""
    stack = series.stacks[0]
    marks: list[Mark] = []
    rows: list[tuple[str, tuple[object, ...]]] = []
    for fracture in {f.level: f for f in neck.fractures}.values():
        inside = clefts == fracture.level + 1
        for k in np.flatnonzero(inside.sum(axis=(1, 2)) >= 2):
            row, column = (np.flatnonzero(inside[k].any(axis=axis)) for axis in (1, 0))
            low = (column[0] - _MARGIN, row[0] - _MARGIN)
            high = (column[-1] + _MARGIN, row[-1] + _MARGIN)
            number = int(stack.numbers[k])
            rows.append(("train_bounding_boxes", (study, *low, high[0] - low[0], high[1] - low[1], number)))
            for corner, (x, y) in (("upper left", low), ("lower right", high)):
                point = triple(stack.grid.to_patient([k, y, x]))
                name = f"{NAMES[fracture.level]} {corner}"
                anatomy = triple(neck.fracture_mm(fracture))
                marks.append(Mark(series.name, "box", name, number, float(x), float(y), point, anatomy))
    return tuple(marks), rows
