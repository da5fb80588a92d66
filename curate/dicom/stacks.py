"""From slices in any order to stacks: parallel planes of one matrix, each at its own place in the patient.

What a stack is, and in which order its slices lie, follows from positions and orientations alone (PS3.3 C.7.6.2).
Gantry tilt, missing slices and uneven steps do not forbid a stack: true positions are kept, and ``Stack.flags`` tells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from curate.dicom.planes import Slice, group_by_matrix, group_by_orientation, why_no_plane
from curate.dicom.runs import JITTER_MM, Run, find_runs
from curate.errors import Rejected
from curate.geometry import Grid, Placement
from curate.reasons import Reason

TILT_DEGREES = 0.5  # between the line of positions and the normal


@dataclass(frozen=True, slots=True)
class StackLimits:
    """What a stack may be. ``maximum_missing``: share of its slices that are not there or cannot be read."""

    minimum_slices: int = 1
    maximum_gap_mm: float = 10.0
    maximum_missing: float = 0.2


@dataclass(frozen=True, slots=True)
class Stack:
    """Parallel slices in the order of k, and where they lie.

    k grows along row direction x column direction, so that (i, j, k) is right-handed. ``placement``: every slice at its
    own position. ``grid``: the regular, upright lattice (slices, rows, columns) that they make, None when they make
    none: its origin is the first slice's position, its k column (last - first) / (n - 1), its j and i columns the
    header's directions times spacings; a single slice takes its thickness (1 mm if unknown) along the normal.
    ``repeats``: further images at a slice's position, copies if their pixels are equal. ``missing``: index of the slice
    below a hole -> slices that are not there. ``flags``, sorted: gantry_tilt, uneven_spacing, missing_slices,
    single_slice, told_apart_by_NAME.
    """

    index: int
    slices: tuple[Slice, ...]
    placement: Placement
    grid: Grid | None
    repeats: tuple[tuple[int, Slice], ...] = ()
    missing: tuple[tuple[int, int], ...] = ()
    flags: tuple[str, ...] = ()
    detail: str = ""  # the flags in numbers


@dataclass(frozen=True, slots=True)
class SplitSeries:
    """Stacks in order, and why the slices of no stack are in none: (key, frame) -> reason, detail."""

    stacks: tuple[Stack, ...]
    apart: Mapping[tuple[str, int], tuple[Reason, str]]


def split_stacks(slices: Sequence[Slice], limits: StackLimits | None = None) -> SplitSeries:
    """Split one series into stacks, each one orientation, one matrix and one pixel spacing.

    Images at one position are told apart by the tags in ``Slice.kind``. Parallel stacks with a gap between them are
    separate. Stacks come from head to feet (position of the first slice along z, descending), then by key. Planes
    without usable numbers, groups below ``minimum_slices``, and matrices that fewer slices have than another are set
    apart. Raises Rejected when nothing is left, with the reason of most: MISSING_GEOMETRY, MIXED_ORIENTATION,
    MIXED_MATRIX, TOO_FEW_SLICES; SLICE_GAP or IRREGULAR_SPACING when a stack goes beyond the limits. The result does
    not depend on the order of ``slices``.
    """
    limits = limits or StackLimits()
    apart: dict[tuple[str, int], tuple[Reason, str]] = {}
    usable: list[Slice] = []
    for each in sorted(slices, key=lambda each: (each.key, each.frame)):
        if why := why_no_plane(each):
            apart[each.key, each.frame] = (Reason.MISSING_GEOMETRY, why)
        else:
            usable.append(each)
    runs = _find_runs(usable, limits, apart)
    if not runs:
        raise Rejected(*_why_nothing(apart, limits))
    runs.sort(key=lambda run: (-run.slices[0].position_mm[2], run.slices[0].key, run.slices[0].frame))
    return SplitSeries(tuple(_stack(index, run, limits) for index, run in enumerate(runs)), apart)


def _find_runs(
    slices: Sequence[Slice], limits: StackLimits, apart: dict[tuple[str, int], tuple[Reason, str]]
) -> list[Run]:
    by_orientation = group_by_orientation(slices)
    kept: list[Run] = []
    for group in by_orientation:
        matrices = group_by_matrix(group)
        for number, same in enumerate(matrices):
            for run in find_runs(same):
                if number == 0 and len(run.slices) >= limits.minimum_slices:
                    kept.append(run)
                    continue
                reason, detail = _why_apart(run, number, matrices, len(by_orientation), len(slices))
                for each in (*run.slices, *(extra for _, extra in run.repeats)):
                    apart[each.key, each.frame] = (reason, detail)
    return kept


def _why_apart(
    run: Run, number: int, matrices: Sequence[Sequence[Slice]], orientations: int, count: int
) -> tuple[Reason, str]:
    if number > 0:
        first, own = matrices[0][0], run.slices[0]
        detail = f"{own.rows} x {own.columns} pixels beside {len(matrices[0])} of {first.rows} x {first.columns}"
        if (own.rows, own.columns) == (first.rows, first.columns):
            detail = f"pixel spacing {own.spacing_mm[0]:.4f} mm beside {first.spacing_mm[0]:.4f} mm"
        return Reason.MIXED_MATRIX, detail
    if orientations > max(1, count / 2):
        return Reason.MIXED_ORIENTATION, f"{orientations} orientations in {count} slices"
    return Reason.TOO_FEW_SLICES, f"a stack of {len(run.slices)}"


def _why_nothing(apart: Mapping[tuple[str, int], tuple[Reason, str]], limits: StackLimits) -> tuple[Reason, str]:
    found = sorted(apart.values())
    if not found:
        return Reason.TOO_FEW_SLICES, "no images"
    reason = max({reason for reason, _ in found}, key=lambda one: (sum(r is one for r, _ in found), one.value))
    detail = max(detail for other, detail in found if other is reason)
    needed = f", {limits.minimum_slices} needed" if reason is Reason.TOO_FEW_SLICES else ""
    return reason, detail + needed


def _stack(index: int, run: Run, limits: StackLimits) -> Stack:
    placement = _place(run.slices)
    gaps = placement.gaps_mm
    holes = sum(count for _, count in run.missing)
    notes: dict[str, str] = {}
    if len(run.slices) == 1:
        notes["single_slice"] = "one slice"
    elif float(gaps.max()) > limits.maximum_gap_mm:
        reason = Reason.SLICE_GAP if holes else Reason.IRREGULAR_SPACING
        raise Rejected(reason, f"a gap of {gaps.max():.2f} mm, {limits.maximum_gap_mm:g} allowed")
    if holes:
        described = _describe_holes(run)
        if holes > limits.maximum_missing * (len(run.slices) + holes):
            raise Rejected(Reason.SLICE_GAP, described)
        notes["missing_slices"] = described
    if not run.is_even:
        low, high = gaps.min(), gaps.max()
        notes["uneven_spacing"] = f"distances from {low:.2f} to {high:.2f} mm, mostly {np.median(gaps):.2f} mm"
    angle, drift = _tilt(placement)
    if angle > TILT_DEGREES and drift > 2 * JITTER_MM:
        notes["gantry_tilt"] = f"positions lean {angle:.1f} degrees, {drift:.1f} mm over the stack"
    is_regular = notes.keys() <= {"single_slice"}
    flags = {*notes, *(f"told_apart_by_{name}" for name in run.told_apart_by)}
    detail = "; ".join(notes[name] for name in sorted(notes))
    return Stack(
        index=index,
        slices=run.slices,
        placement=placement,
        grid=even_grid(placement) if is_regular else None,
        repeats=run.repeats,
        missing=run.missing,
        flags=tuple(sorted(flags)),
        detail=detail,
    )


def _describe_holes(run: Run) -> str:
    first, count = run.missing[0]
    total = sum(each for _, each in run.missing)
    more = f", and {total - count} more" if total > count else ""
    return f"{count} missing between slices {first + 1} and {first + 2}{more}"


def tilt_degrees(placement: Placement) -> float:
    """How far the line of positions leans from the normal of the planes; 0 for a single slice."""
    return _tilt(placement)[0]


def _tilt(placement: Placement) -> tuple[float, float]:
    """Degrees and millimetres of a steady drift across the plane: least squares of the in-plane offset on height."""
    if placement.shape[0] < 2:
        return 0.0, 0.0
    offsets = placement.origins_mm - placement.origins_mm.mean(axis=0)
    heights = offsets @ placement.normal
    in_plane = offsets - np.outer(heights, placement.normal)
    slope = float(np.linalg.norm(heights @ in_plane / (heights @ heights)))
    return float(np.degrees(np.arctan(slope))), slope * float(np.ptp(heights))


def even_grid(placement: Placement) -> Grid:
    """The lattice of slices that lie evenly on a line from the first to the last; a single one is as thick as it is."""
    count = placement.shape[0]
    affine = np.eye(4)
    if count > 1:
        affine[:3, 0] = (placement.origins_mm[-1] - placement.origins_mm[0]) / (count - 1)
    else:
        affine[:3, 0] = placement.normal * placement.thickness_mm
    affine[:3, 1], affine[:3, 2], affine[:3, 3] = placement.down_mm, placement.across_mm, placement.origins_mm[0]
    return Grid(placement.shape, affine)


def _place(slices: Sequence[Slice]) -> Placement:
    first = slices[0]
    return Placement(
        shape=(len(slices), first.rows, first.columns),
        origins_mm=np.array([each.position_mm for each in slices]),
        down_mm=np.array(first.orientation[3:]) * first.spacing_mm[0],
        across_mm=np.array(first.orientation[:3]) * first.spacing_mm[1],
        thickness_mm=first.thickness_mm if first.thickness_mm and first.thickness_mm > 0 else 1.0,
    )
