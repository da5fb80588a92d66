"""Where readers saw a finding, in patient millimetres, so that training can be told where to look."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curate.loading.crops import Vector, vector


@dataclass(frozen=True, slots=True)
class Mark:
    """A rectangle on one slice: LPS corner, its two edges from there, half the slice distance; all in millimetres."""

    corner: Vector
    along: Vector
    across: Vector
    half_depth: float

    @property
    def centre_mm(self) -> NDArray[np.float64]:
        centre: NDArray[np.float64] = np.array(self.corner) + (np.array(self.along) + np.array(self.across)) / 2
        return centre

    def holds(self, points_mm: NDArray[np.float64], *, slack_mm: float) -> NDArray[np.bool_]:
        """(n, 3) LPS -> (n,): which points lie in the rectangle's slab, or at most ``slack_mm`` beyond a face of it."""
        along, across = np.array(self.along), np.array(self.across)
        faces = (
            (along, float(np.linalg.norm(along)) / 2),
            (across, float(np.linalg.norm(across)) / 2),
            (np.cross(along, across), self.half_depth),
        )
        inside = np.ones(len(points_mm), dtype=bool)
        for direction, half in faces:
            length = float(np.linalg.norm(direction))
            away = (points_mm - self.centre_mm) @ (direction / max(length, 1e-9))
            inside &= np.abs(away) <= half + slack_mm
        return inside


def read_marks(boxes: pa.Table, volumes: pa.Table) -> dict[str, list[Mark]]:
    """Study key -> its marks, from the tables ``boxes`` and ``volumes`` of ``curate.manifests.schemas``."""
    steps = {(row["series_key"], row["stack"]): _slice_step(row["source_affine"]) for row in volumes.to_pylist()}
    found: dict[str, list[Mark]] = defaultdict(list)
    rows = [row for row in boxes.to_pylist() if row["corners_mm"] is not None]
    for row in sorted(rows, key=lambda r: (r["study_key"], r["series_key"], r["instance_number"], r["corners_mm"])):
        step = steps.get((row["series_key"], row["stack"]))
        if step is not None:
            corners = np.reshape(row["corners_mm"], (4, 3))
            along, across = corners[1] - corners[0], corners[3] - corners[0]
            found[row["study_key"]].append(Mark(vector(corners[0]), vector(along), vector(across), step / 2))
    return found


def share_out(
    marks: Sequence[Mark], centres: Sequence[NDArray[np.float64] | None], is_positive: Sequence[bool]
) -> tuple[tuple[Mark, ...], ...]:
    """Give each mark to the nearest positive place: the tables say which patient a box is on, not which vertebra.

    ``centres``: LPS of each place, None where unknown. Marks of a study without any positive place are left out.
    """
    shares: list[list[Mark]] = [[] for _ in centres]
    open_to = {n: centre for n, centre in enumerate(centres) if centre is not None and is_positive[n]}
    for mark in marks if open_to else ():
        middle = mark.centre_mm
        away = {n: float(np.linalg.norm(centre - middle)) for n, centre in open_to.items()}
        shares[min(away, key=lambda n: away[n])].append(mark)
    return tuple(tuple(share) for share in shares)


def marks_by_study(manifests: Mapping[str, pa.Table]) -> dict[str, list[Mark]]:
    """The marks of all studies; none when there is no boxes table."""
    return read_marks(manifests["boxes"], manifests["volumes"]) if "boxes" in manifests else {}


def _slice_step(affine: Sequence[float] | None) -> float | None:
    """Distance between acquired slices: the length of the first column of the source affine."""
    return None if affine is None else float(np.linalg.norm(np.reshape(affine, (4, 4))[:3, 0]))
