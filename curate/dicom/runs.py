"""Slices of one matrix and orientation -> runs: each one slice a position, in order, without a gap between stacks.

InstanceNumber is asked one thing only: whether slices are missing in a gap, or two stacks lie apart.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curate.dicom.planes import Slice

JITTER_MM = 0.1  # of a step, or of a position about the straight line through the stack
REPEAT_MM = 0.05  # two slices nearer than this lie at one position
_APART = 1.8  # a gap of so many steps of its neighbourhood may lie between two stacks
_LONE = 4.0  # the same for a single slice at the end
_NEIGHBOURS = 3  # steps on either side that make the neighbourhood


@dataclass(frozen=True, slots=True)
class Run:
    """Slices in the order of their height, one a position.

    ``repeats``: (index, slice) of further images at a position that no tag tells apart; equal pixels make them copies.
    ``missing``: index of the slice below the hole -> how many slices are not there.
    """

    slices: tuple[Slice, ...]
    repeats: tuple[tuple[int, Slice], ...]
    missing: tuple[tuple[int, int], ...]
    is_even: bool  # every position lies on an even line within JITTER_MM, missing slices counted
    told_apart_by: tuple[str, ...] = ()  # names of the tags that separated this run from others at its positions


class _Placed(NamedTuple):
    height: float  # mm along the normal of the group
    plane: Slice


_Level = list[_Placed]  # images at one position


def find_runs(group: Sequence[Slice]) -> list[Run]:
    """Tell apart what lies at one position by the tag that differs, then cut where two stacks lie apart."""
    normal = group[0].normal
    heights = np.array([each.position_mm for each in group]) @ normal
    placed = [_Placed(height, each) for height, each in zip(heights.tolist(), group, strict=True)]
    runs: list[Run] = []
    for names, part in _tell_apart(placed, ()):
        levels = _levels(part)
        steps = np.diff([level[0].height for level in levels])
        is_regular = len(steps) == 0 or bool(steps.max() <= _APART * steps.min())  # then no gap can be one of stacks
        cuts = [n for n in range(len(steps)) if not is_regular and _is_between_stacks(levels, steps, n)]
        ends = [0, *(n + 1 for n in cuts), len(levels)]
        runs += [_run(levels[start:stop], names) for start, stop in itertools.pairwise(ends)]
    return runs


def _tell_apart(group: Sequence[_Placed], names: tuple[str, ...]) -> list[tuple[tuple[str, ...], list[_Placed]]]:
    """Split by the first tag that leaves fewer images at one position, until none does."""
    repeats = _count_repeats(group)
    for name in dict.fromkeys(name for each in group for name, _ in each.plane.kind) if repeats else ():
        by_value: defaultdict[str, list[_Placed]] = defaultdict(list)
        for each in group:
            by_value[dict(each.plane.kind).get(name, "")].append(each)
        if len(by_value) > 1 and sum(map(_count_repeats, by_value.values())) < repeats:
            parts = (part for _, part in sorted(by_value.items()))
            return [found for part in parts for found in _tell_apart(part, (*names, name))]
    return [(names, list(group))]


def _count_repeats(group: Sequence[_Placed]) -> int:
    return len(group) - len(_levels(group))


def _levels(group: Sequence[_Placed]) -> list[_Level]:
    """Images by position, from low to high; at one position in the order of instance number and key."""
    levels: list[_Level] = []
    for each in sorted(group, key=lambda each: (each.height, each.plane.key, each.plane.frame)):
        if levels and each.height - levels[-1][0].height <= REPEAT_MM:
            levels[-1].append(each)
        else:
            levels.append([each])
    for level in levels:
        level.sort(key=lambda each: _number(each.plane))
    return levels


def _number(plane: Slice) -> tuple[bool, int, str, int]:
    return plane.instance_number is None, plane.instance_number or 0, plane.key, plane.frame


def _is_between_stacks(levels: Sequence[_Level], steps: NDArray[np.float64], n: int) -> bool:
    """Whether two stacks lie on either side of step ``n``, rather than one stack with a hole or uneven steps."""
    before, after = steps[max(0, n - _NEIGHBOURS) : n], steps[n + 1 : n + 1 + _NEIGHBOURS]
    if len(steps) == 1:
        return False
    usual = max(float(np.median(side)) for side in (before, after) if len(side))
    if not len(before) or not len(after):  # a lone slice: only far away it is none of the stack
        return bool(steps[n] > _LONE * usual) and not _is_hole(levels, steps, n, usual)
    if steps[n] <= max(_APART * usual, usual + 2 * JITTER_MM) or max(before[-1], after[0]) > _APART * usual:
        return False
    return not _is_hole(levels, steps, n, usual)


def _is_hole(levels: Sequence[_Level], steps: NDArray[np.float64], n: int, usual: float) -> bool:
    """Whether a gap is slices that are missing: a whole number of steps that the instance numbers skip as well.

    Without instance numbers that count steadily along the stack there is no telling, and missing is assumed.
    """
    ratio = float(steps[n]) / usual
    if round(ratio) < 2 or abs(ratio - round(ratio)) * usual > 2 * JITTER_MM:
        return False
    numbers = [level[0].plane.instance_number for level in levels]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers):
        return True
    counts = np.diff(known)
    often = Counter(counts.tolist()).most_common(1)[0][0]
    is_steady = often != 0 and sum(count == often for count in counts) >= len(counts) / 2
    return not is_steady or bool(counts[n] == often * round(ratio))


def _run(levels: Sequence[_Level], names: tuple[str, ...]) -> Run:
    steps = np.diff([level[0].height for level in levels])
    usual = float(np.median(steps)) if len(steps) else 0.0
    holes = {n: round(step / usual) - 1 for n, step in enumerate(steps) if _is_hole(levels, steps, n, usual)}
    return Run(
        slices=tuple(level[0].plane for level in levels),
        repeats=tuple((k, each.plane) for k, level in enumerate(levels) for each in level[1:]),
        missing=tuple(holes.items()),
        is_even=_is_even([level[0].plane for level in levels], holes),
        told_apart_by=names,
    )


def _is_even(slices: Sequence[Slice], holes: Mapping[int, int]) -> bool:
    """Every position within JITTER_MM of the line from first to last, evenly divided; holes count their slices."""
    if len(slices) < 3:
        return True
    places = np.cumsum([0, *(1 + holes.get(n, 0) for n in range(len(slices) - 1))])
    positions = np.array([each.position_mm for each in slices])
    line = positions[0] + (positions[-1] - positions[0]) * (places / places[-1])[:, None]
    return bool(np.linalg.norm(positions - line, axis=1).max() <= JITTER_MM)
