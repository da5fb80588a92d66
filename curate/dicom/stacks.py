"""From slices in any order to stacks of parallel, evenly spaced slices.

Positions and orientations alone decide (PS3.3 C.7.6.2): never the file order, SliceLocation, SliceThickness or the
gantry tilt of the header. InstanceNumber is asked one thing only: whether slices are missing in a gap.

Slices are counted from 1, along the normal, in every message.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curate.errors import Rejected
from curate.geometry import Grid
from curate.reasons import Reason

COSINE_TOLERANCE = 1e-3  # per direction cosine: planes of one stack
UNIT_TOLERANCE = 5e-3  # length and perpendicularity of directions: printed with three decimals they are this far off
JITTER_MM = 0.1  # of a position about the straight line through the stack
REPEAT_MM = 0.05  # two slices nearer than this lie at one position
TILT_DEGREES = 0.5  # between the line of positions and the normal
PLANE_DEGREES = 70.0  # planes further apart are different views (sagittal and axial), not angled stacks
SPACING_TOLERANCE = 1e-4  # relative, of pixel spacings


@dataclass(frozen=True, slots=True)
class Slice:
    """One image plane.

    ``position_mm``: centre of the first pixel, LPS. ``orientation``: direction in which the column index grows, then
    the row index. ``spacing_mm``: between rows, between columns.
    """

    key: str
    position_mm: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    spacing_mm: tuple[float, float]
    rows: int
    columns: int
    instance_number: int | None = None
    thickness_mm: float | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """Parallel slices in the order of k, and the grid of the volume that they make, (slices, rows, columns)."""

    index: int
    slices: tuple[Slice, ...]
    grid: Grid


def split_stacks(slices: Sequence[Slice], *, minimum_slices: int = 1) -> tuple[Stack, ...]:
    """Split one series into stacks, each one orientation, one matrix and one spacing.

    k grows along row direction x column direction, so that (i, j, k) is right-handed. The grid's origin is the first
    slice's position, its k column (last - first) / (n - 1), its j and i columns the header's directions times
    spacings; a single slice takes its thickness (1 mm if unknown) along the normal. A drift of the positions below
    TILT_DEGREES stays in the affine. Stacks come from head to feet (position of the first slice along z, descending),
    then by key. Parallel stacks with a gap between them are separate; stacks of fewer than ``minimum_slices`` are
    left out.

    Raises Rejected: MISSING_GEOMETRY, MIXED_ORIENTATION (views more than PLANE_DEGREES apart, or more orientations
    than half the slices), MIXED_MATRIX, REPEATED_POSITION, GANTRY_TILT, SLICE_GAP, IRREGULAR_SPACING, TOO_FEW_SLICES
    (nothing left). The result does not depend on the order of ``slices``.
    """
    ordered = sorted(slices, key=lambda each: each.key)
    for each in ordered:
        _check_plane(each)
    groups = _group_by_orientation(ordered)
    _check_orientations(groups, len(ordered))
    runs = list(itertools.chain.from_iterable(_split_parallel(group) for group in groups))
    kept = [run for run in runs if len(run) >= minimum_slices]
    if not kept:
        longest = max((len(run) for run in runs), default=0)
        raise Rejected(Reason.TOO_FEW_SLICES, f"{longest} in the longest stack, {minimum_slices} needed")
    kept.sort(key=lambda run: (-run[0].position_mm[2], run[0].key))
    return tuple(Stack(index, tuple(run), _grid(run)) for index, run in enumerate(kept))


def _check_plane(plane: Slice) -> None:
    row, column = np.array(plane.orientation[:3]), np.array(plane.orientation[3:])
    numbers = (*plane.position_mm, *plane.orientation, *plane.spacing_mm)
    if not np.isfinite(numbers).all() or min(plane.spacing_mm) <= 0 or max(map(abs, plane.position_mm)) > 1e6:
        raise Rejected(Reason.MISSING_GEOMETRY, "a position, orientation or spacing is not a usable number")
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    if max(abs(length - 1) for length in lengths) > UNIT_TOLERANCE or abs(row @ column) > UNIT_TOLERANCE:
        raise Rejected(Reason.MISSING_GEOMETRY, "row and column directions are not perpendicular unit vectors")


def _group_by_orientation(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Greedy: a slice joins the first group whose first slice has the same directions within COSINE_TOLERANCE."""
    groups: list[list[Slice]] = []
    directions: list[NDArray[np.float64]] = []
    for each in slices:
        own = np.array(each.orientation)
        for group, known in zip(groups, directions, strict=True):
            if np.abs(own - known).max() <= COSINE_TOLERANCE:
                group.append(each)
                break
        else:
            groups.append([each])
            directions.append(own)
    return groups


def _check_orientations(groups: Sequence[Sequence[Slice]], count: int) -> None:
    if len(groups) > 1 and len(groups) > count / 2:
        raise Rejected(Reason.MIXED_ORIENTATION, f"{len(groups)} orientations in {count} slices")
    normals = [_normal(group[0]) for group in groups]
    angles = [
        float(np.degrees(np.arccos(np.clip(abs(one @ other), 0, 1))))
        for one, other in itertools.combinations(normals, 2)
    ]
    if angles and max(angles) > PLANE_DEGREES:
        raise Rejected(Reason.MIXED_ORIENTATION, f"views {max(angles):.0f} degrees apart in one series")


def _split_parallel(group: Sequence[Slice]) -> list[list[Slice]]:
    """Slices of one orientation -> runs of even spacing, each in the order of k."""
    _check_matrix(group)
    normal = _normal(group[0])
    heights = {each.key: float(np.array(each.position_mm) @ normal) for each in group}
    run = sorted(group, key=lambda each: (heights[each.key], each.key))
    if len(run) == 1:
        return [run]
    steps = np.diff([heights[each.key] for each in run])
    _check_repeats(steps, len(run))
    typical = float(np.median(steps))
    breaks = [n for n, step in enumerate(steps) if step > max(1.5 * typical, typical + 2 * JITTER_MM)]
    ends = [0, *(n + 1 for n in breaks), len(run)]
    runs = [run[start:stop] for start, stop in itertools.pairwise(ends)]
    for part in runs:
        _check_tilt(part, normal)
    irregular = not all(_is_even(part) for part in runs)
    if irregular or any(abs(step - typical) > 2 * JITTER_MM for n, step in enumerate(steps) if n not in breaks):
        raise Rejected(Reason.IRREGULAR_SPACING, _describe_steps(steps, typical))
    if breaks and (min(map(len, runs)) < 2 or any(_is_missing(run, n, steps[n] / typical, typical) for n in breaks)):
        raise Rejected(Reason.SLICE_GAP, _describe_gaps(steps, breaks, typical))
    return runs


def _check_matrix(group: Sequence[Slice]) -> None:
    sizes = Counter((each.rows, each.columns) for each in group)
    if len(sizes) > 1:
        listed = ", ".join(f"{count} of {rows} x {columns}" for (rows, columns), count in sorted(sizes.items()))
        raise Rejected(Reason.MIXED_MATRIX, listed)
    spacings = np.array([each.spacing_mm for each in group])
    if (np.ptp(spacings, axis=0) > SPACING_TOLERANCE * spacings.min(axis=0)).any():
        low, high = spacings.min(), spacings.max()
        raise Rejected(Reason.MIXED_MATRIX, f"pixel spacing from {low:.4f} to {high:.4f} mm")


def _check_repeats(steps: NDArray[np.float64], count: int) -> None:
    repeats = int((steps <= REPEAT_MM).sum())
    if repeats:
        raise Rejected(Reason.REPEATED_POSITION, f"{count} images at {count - repeats} positions")


def _check_tilt(run: Sequence[Slice], normal: NDArray[np.float64]) -> None:
    """A steady drift across the plane: least squares of the in-plane offset against the height."""
    if len(run) < 2:
        return
    positions = np.array([each.position_mm for each in run])
    offsets = positions - positions.mean(axis=0)
    heights = offsets @ normal
    in_plane = offsets - np.outer(heights, normal)
    slope = float(np.linalg.norm(heights @ in_plane / (heights @ heights)))
    angle, drift = float(np.degrees(np.arctan(slope))), slope * float(np.ptp(heights))
    if angle > TILT_DEGREES and drift > 2 * JITTER_MM:
        raise Rejected(Reason.GANTRY_TILT, f"positions lean {angle:.1f} degrees, {drift:.1f} mm over the stack")


def _is_even(run: Sequence[Slice]) -> bool:
    """Every position within JITTER_MM of the line from first to last, evenly divided."""
    positions = np.array([each.position_mm for each in run])
    line = np.linspace(positions[0], positions[-1], len(run))
    return bool(np.linalg.norm(positions - line, axis=1).max() <= JITTER_MM)


def _is_missing(run: Sequence[Slice], gap: int, ratio: float, typical: float) -> bool:
    """Whether a gap is slices that are missing: a whole number of steps that the instance numbers skip as well.

    Without instance numbers that count steadily along the stack there is no telling, and missing is assumed.
    """
    if abs(ratio - round(ratio)) * typical > 2 * JITTER_MM:
        return False
    numbers = [each.instance_number for each in run]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return True
    counts = np.diff(known)
    usual = Counter(counts.tolist()).most_common(1)[0][0]
    is_steady = usual != 0 and sum(count == usual for count in counts) >= len(counts) / 2
    return not is_steady or counts[gap] == usual * round(ratio)


def _describe_gaps(steps: NDArray[np.float64], breaks: Sequence[int], typical: float) -> str:
    first = breaks[0]
    more = f", and {len(breaks) - 1} more" if len(breaks) > 1 else ""
    return f"between slices {first + 1} and {first + 2}: {steps[first]:.2f} mm, else {typical:.2f} mm{more}"


def _describe_steps(steps: NDArray[np.float64], typical: float) -> str:
    return f"distances from {steps.min():.2f} to {steps.max():.2f} mm, mostly {typical:.2f} mm"


def _normal(plane: Slice) -> NDArray[np.float64]:
    cross = np.cross(plane.orientation[:3], plane.orientation[3:])
    normal: NDArray[np.float64] = cross / np.linalg.norm(cross)
    return normal


def _grid(run: Sequence[Slice]) -> Grid:
    first, last = run[0], run[-1]
    affine = np.eye(4)
    if len(run) > 1:
        affine[:3, 0] = (np.array(last.position_mm) - np.array(first.position_mm)) / (len(run) - 1)
    else:
        affine[:3, 0] = _normal(first) * (first.thickness_mm if first.thickness_mm and first.thickness_mm > 0 else 1.0)
    affine[:3, 1] = np.array(first.orientation[3:]) * first.spacing_mm[0]
    affine[:3, 2] = np.array(first.orientation[:3]) * first.spacing_mm[1]
    affine[:3, 3] = first.position_mm
    return Grid(shape=(len(run), first.rows, first.columns), affine=affine)
