"""Which spinal levels a volume covers, by the points that readers set in any series of the same study.

The points of the sagittal series say where each disc lies in the patient; an axial stack covers a level when such a
point lies inside its volume (PS3.3 C.7.6.2: one patient frame for the series of a study).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa

from curate.geometry import Grid
from curate.manifests.schemas import LUMBAR_LEVELS, VOLUMES


def with_levels(volumes: pa.Table, points: pa.Table) -> pa.Table:
    """VOLUMES with ``levels`` filled: sorted from head to feet; null for a volume of a study without points."""
    marked: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for point in points.select(["study_key", "level", "point_mm"]).to_pylist():
        marked[point["study_key"]].append(point)
    rows = [{**row, "levels": _levels(row, marked.get(row["study_key"], []))} for row in volumes.to_pylist()]
    return pa.Table.from_pylist(rows, schema=VOLUMES)


def _levels(volume: dict[str, Any], points: list[dict[str, Any]]) -> list[str] | None:
    if not points:
        return None
    grid = Grid(tuple(volume["shape"]), np.reshape(volume["affine"], (4, 4)))
    inside = grid.contains(grid.to_index([point["point_mm"] for point in points]))
    covered = {point["level"] for point, is_inside in zip(points, inside, strict=True) if is_inside}
    return [level for level in LUMBAR_LEVELS if level in covered]
