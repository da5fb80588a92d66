"""A lumbar MR study: Sagittal T1, Sagittal T2 or STIR, Axial T2 in stacks angled to the discs; grades and points."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curate.geometry.grid import Grid
from curate.manifests.schemas import LUMBAR_CONDITIONS, LUMBAR_GRADES, LUMBAR_LEVELS, SERIES_TYPES
from curate.phantoms.draws import digest, generator, uid
from curate.phantoms.headers import SeriesFacts
from curate.phantoms.lumbar import FIRST_DISC, Back, random_back
from curate.phantoms.planes import disc_mr, sagittal_mr
from curate.phantoms.sites import Site
from curate.phantoms.studies import AcquiredSeries, AcquiredStack, Mark, Study, slice_numbers, triple

FIELD_MM, SAGITTAL_SLICES, AXIAL_SLICES, SLICE_MM = 150.0, 15, 5, 4.0
_SERIES_OF = ("Sagittal T2/STIR", "Sagittal T1", "Sagittal T1", "Axial T2", "Axial T2")  # where a condition is graded
_GRADE_SHARES = (0.56, 0.24, 0.20)
_UNGRADED_SHARE = 0.03


def make_back_study(seed: int, site: Site, number: int, *, matrix: int) -> Study:
    """The lumbar study ``number`` (counted over all sites) as acquired at ``site``."""
    draw = generator(seed, "lumbar", number)
    grades = draw.choice(3, size=(5, 5), p=_GRADE_SHARES).astype(np.int8)
    ungraded = draw.uniform(size=(5, 5)) < _UNGRADED_SHARE
    back = random_back(draw, grades)
    study_uid = uid(seed, "lumbar", "study", number)
    name = str(digest(seed, "lumbar", "study number", number) % 4_000_000_000) if site.is_bare else study_uid
    series = tuple(_acquire(seed, site, number, back, study_uid, matrix, draw))
    marks = tuple(_points(back, series, ungraded))
    rows: list[tuple[str, tuple[object, ...]]] = [("train", (name, *_grade_cells(grades, ungraded)))]
    for mark in marks:
        condition, level = mark.name[:-6], mark.name[-5:]
        words = (condition.replace("_", " ").title(), level.upper().replace("_", "/"))
        place = (round(mark.column, 6), round(mark.row, 6))
        rows.append(("train_label_coordinates", (name, mark.series, mark.instance_number, *words, *place)))
    rows += [("train_series_descriptions", (name, one.name, one.series_type)) for one in series]
    anatomy = [("disc", level, triple(back.disc_mm(n))) for n, level in enumerate(LUMBAR_LEVELS)]
    return Study(name, series, marks, tuple(anatomy), tuple(rows))


def _grade_cells(grades: NDArray[np.int8], ungraded: NDArray[np.bool_]) -> list[str]:
    return [
        "" if ungraded[condition, level] else LUMBAR_GRADES[grades[condition, level]]
        for condition, level in np.ndindex(grades.shape)
    ]


def _acquire(
    seed: int, site: Site, number: int, back: Back, study_uid: str, matrix: int, draw: np.random.Generator
) -> list[AcquiredSeries]:
    sagittal, axial = _sagittal_planes(back, site, matrix), _axial_planes(back, site, matrix)
    t2 = "STIR" if site.stir else "T2"
    plans = [("Sagittal T1", "SAG T1", "T1", [sagittal]), ("Sagittal T2/STIR", f"SAG {t2}", t2, [sagittal])]
    parts = [axial[:2], axial[2:]] if site.splits_axial else [axial]
    plans += [("Axial T2", "AX T2", "T2", part) for part in parts]
    result = []
    for index, (series_type, description, weighting, grids) in enumerate(plans):
        series_uid = uid(seed, "lumbar", "series", number, index)
        facts = SeriesFacts(
            study_uid, series_uid, uid(seed, "lumbar", "frame", number), index + 2, "MR", description, weighting
        )
        name = (
            str(digest(seed, "lumbar", "series number", number, index) % 4_000_000_000) if site.is_bare else series_uid
        )
        numbers = slice_numbers(seed, site, series_uid, [grid.shape[0] for grid in grids])
        result.append(AcquiredSeries(name, series_type, facts, _expose(back, site, grids, weighting, draw, numbers)))
    return result


def _expose(
    back: Back,
    site: Site,
    grids: list[Grid],
    weighting: str,
    draw: np.random.Generator,
    numbers: list[NDArray[np.int64]],
) -> tuple[AcquiredStack, ...]:
    stacks = []
    for grid, own in zip(grids, numbers, strict=True):
        values = back.sample(grid, weighting)
        values += draw.standard_normal(values.shape, dtype=np.float32) * np.float32(site.noise)
        stored = np.clip(np.rint(np.abs(values) * np.float32(site.gain)), 0, 4095).astype(np.uint16)
        stacks.append(AcquiredStack(grid, stored, own))
    return tuple(stacks)


def _sagittal_planes(back: Back, site: Site, matrix: int) -> Grid:
    spacing = round(FIELD_MM * site.spacing_factor / matrix, 6)
    rows, columns = round(1.5 * matrix * site.matrix_factor[0]), round(matrix * site.matrix_factor[1])
    middle = back.axis.to_patient([0.0, 0.0, back.levels.boundaries[FIRST_DISC + 2] + 8.0])
    return sagittal_mr(middle, (rows, columns), spacing, SAGITTAL_SLICES, SLICE_MM)


def _axial_planes(back: Back, site: Site, matrix: int) -> list[Grid]:
    spacing = round(FIELD_MM * site.spacing_factor / matrix, 6)
    rows, columns = (round(matrix * factor) for factor in site.matrix_factor)
    grids = []
    for level in range(len(LUMBAR_LEVELS)):
        height = back.levels.boundaries[FIRST_DISC + level]
        middle = back.axis.to_patient([0.0, 12.0, height])
        frame = back.axis.frame(height)
        grids.append(
            disc_mr(middle, frame, (rows, columns), spacing, AXIAL_SLICES, round(SLICE_MM * site.slice_factor, 3))
        )
    return grids


def _points(back: Back, series: tuple[AcquiredSeries, ...], ungraded: NDArray[np.bool_]) -> list[Mark]:
    """One point a graded cell, on the slice of its series type that runs nearest to the structure."""
    marks = []
    for condition, level in np.ndindex(ungraded.shape):
        if ungraded[condition, level]:
            continue
        spot = back.spot_mm(condition, level)
        one, stack, k, row, column = _nearest_slice(series, _SERIES_OF[condition], spot)
        x, y = round(column, 6), round(row, 6)
        point = triple(stack.grid.to_patient([k, y, x]))
        name = f"{LUMBAR_CONDITIONS[condition]}_{LUMBAR_LEVELS[level]}"
        marks.append(Mark(one.name, "point", name, int(stack.numbers[k]), x, y, point, triple(spot)))
    return marks


def _nearest_slice(
    series: tuple[AcquiredSeries, ...], series_type: str, spot: NDArray[np.float64]
) -> tuple[AcquiredSeries, AcquiredStack, int, float, float]:
    assert series_type in SERIES_TYPES
    best: tuple[float, AcquiredSeries, AcquiredStack, int, float, float] | None = None
    for one in series:
        for stack in one.stacks if one.series_type == series_type else ():
            index = stack.grid.to_index(spot)
            k = int(np.clip(np.rint(index[0]), 0, stack.grid.shape[0] - 1))
            away = abs(float(index[0]) - k) * stack.grid.spacing_mm[0]
            if best is None or away < best[0]:
                best = (away, one, stack, k, float(index[1]), float(index[2]))
    if best is None:
        raise ValueError(f"the study has no {series_type}")
    return best[1:]
