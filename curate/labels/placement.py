"""From a pixel that a radiologist marked to the patient and to the voxel, and back.

A label names a study (2024: also a series), an InstanceNumber and pixels. The slices table says which slice of which
stack that is and where it lies in LPS millimetres (in an object of many frames, which has one InstanceNumber itself,
the number is that of the frame, from 1); ``affine`` of the volume maps from there to voxel indices (k, j, i).
Whole pixel numbers are pixel centres (PS3.3 C.7.6.2).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curate.geometry import Grid, Placement, box_corners, pixel_to_patient
from curate.geometry.mapping import index_to_pixel
from curate.labels.issues import Issue, issues_table
from curate.manifests.schemas import BOXES, POINTS
from curate.reasons import Reason

# Some tools count pixels from their edge: what they draw along the border lies half a pixel beyond the outermost edge.
FRAME_TOLERANCE = 0.5

Label = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SourcePixel:
    """A pixel of an acquired slice. ``distance_mm``: how far the point lies from the plane of that slice, signed."""

    instance_key: str
    frame: int
    instance_number: int | None
    position_in_stack: int
    column: float
    row: float
    distance_mm: float


@dataclass(frozen=True, slots=True)
class _Slice:
    volume: int  # row of the volumes table
    position: int
    instance_key: str


@dataclass(frozen=True, slots=True)
class _Volume:
    series_key: str
    stack: int
    source: Placement
    grid: Grid


def place_boxes(
    boxes: pa.Table, slices: pa.Table, volumes: pa.Table, *, series: pa.Table | None = None
) -> tuple[pa.Table, pa.Table]:
    """(BOXES, LABEL_ISSUES) of a table with the columns of ``cervical.BOX_LABELS``, in its order.

    ``slices``, ``volumes``: SLICES and VOLUMES of what was built; ``series``: SERIES of all that the archive holds,
    which tells a rejected series from an unknown one. A box belongs to the slice of its study with that instance
    number; when several series or stacks have one it is not guessed (``label_ambiguous``). A box that leaves the frame
    is not used.
    """
    places = _Places.of(boxes, slices, volumes, series)

    def corners(volume: _Volume, positions: NDArray[np.float64], rows: Sequence[Label]) -> NDArray[np.float64]:
        sizes = (_floats(rows, name) for name in ("column", "row", "width", "height"))
        return box_corners(volume.source, positions, *sizes)

    return _place(boxes, "boxes", places, corners, BOXES, ("corners_mm", "corners_index"))


def place_points(
    points: pa.Table, slices: pa.Table, volumes: pa.Table, *, series: pa.Table | None = None
) -> tuple[pa.Table, pa.Table]:
    """(POINTS, LABEL_ISSUES) of a table with the columns of ``lumbar.POINT_LABELS``; as ``place_boxes``, but the series
    is named and of its stacks the one that holds the instance number is taken."""
    places = _Places.of(points, slices, volumes, series)

    def centres(volume: _Volume, positions: NDArray[np.float64], rows: Sequence[Label]) -> NDArray[np.float64]:
        return pixel_to_patient(volume.source, positions, _floats(rows, "column"), _floats(rows, "row"))

    return _place(points, "coordinates", places, centres, POINTS, ("point_mm", "point_index"))


def source_of(point_index: Sequence[float], volume: Mapping[str, Any], slices: pa.Table) -> SourcePixel:
    """The nearest acquired slice and the pixel on it of a voxel index (k, j, i); ``volume`` is a row of VOLUMES.

    A point beyond the ends of the stack is given on its first or last slice: look at ``distance_mm``. Raises
    ``ValueError`` when ``slices`` does not hold every slice of the volume.
    """
    own = (pc.field("series_key") == volume["series_key"]) & (pc.field("stack") == volume["stack"])
    rows = slices.filter(own).sort_by("position_in_stack").to_pylist()
    one = _volume(volume, rows)
    pixel = index_to_pixel(one.source, one.grid, point_index)
    position = int(pixel.slice_index)
    return SourcePixel(
        instance_key=rows[position]["instance_key"],
        frame=rows[position]["frame"] or 0,
        instance_number=rows[position]["instance_number"],
        position_in_stack=position,
        column=float(pixel.column),
        row=float(pixel.row),
        distance_mm=float(pixel.distance_mm),
    )


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a label can lie: slices by (study, instance number), and what the archive holds."""

    volumes: tuple[_Volume, ...]
    slices: Mapping[tuple[str, int], Sequence[_Slice]]
    series_of: Mapping[str, set[str]]  # by study: every series of the archive
    done: frozenset[str]  # series with volumes

    @classmethod
    def of(cls, labels: pa.Table, slices: pa.Table, volumes: pa.Table, series: pa.Table | None) -> _Places:
        labelled = pc.unique(labels["study_key"].combine_chunks())
        rows = volumes.filter(pc.is_in(volumes["study_key"], value_set=labelled)).to_pylist()
        number_of = {(row["series_key"], row["stack"]): n for n, row in enumerate(rows)}
        series_of: dict[str, set[str]] = defaultdict(set)
        for table in (volumes, *([] if series is None else [series])):
            known = table.select(["study_key", "series_key"])
            for pair in known.filter(pc.is_in(known["study_key"], value_set=labelled)).to_pylist():
                series_of[pair["study_key"]].add(pair["series_key"])
        held: dict[tuple[str, int], list[_Slice]] = defaultdict(list)
        wanted = pa.array(sorted({row["series_key"] for row in rows}), pa.string())
        columns = ["series_key", "stack", "position_in_stack", "instance_key", "instance_number", "image_position_mm"]
        pieces: dict[int, list[dict[str, Any]]] = defaultdict(list)
        order = [("series_key", "ascending"), ("stack", "ascending"), ("position_in_stack", "ascending")]
        own = slices.filter(pc.is_in(slices["series_key"], value_set=wanted)).select(columns).sort_by(order)
        for piece in own.to_pylist():
            number = number_of.get((piece["series_key"], piece["stack"]))
            if number is None:
                continue
            pieces[number].append(piece)
            if piece["instance_number"] is not None:
                one = _Slice(number, piece["position_in_stack"], piece["instance_key"])
                held[rows[number]["study_key"], piece["instance_number"]].append(one)
        found = tuple(_volume(row, pieces[number]) for number, row in enumerate(rows))
        return cls(found, held, series_of, frozenset(row["series_key"] for row in rows))

    def find(self, label: Label) -> _Slice | tuple[Reason, str]:
        """The one slice that a label names, or why there is none."""
        study_key, series_key = label["study_key"], label.get("series_key")
        found = [
            one
            for one in self.slices.get((study_key, label["instance_number"]), ())
            if series_key is None or self.volumes[one.volume].series_key == series_key
        ]
        if len(found) == 1:
            return found[0]
        if found:
            many = len({self.volumes[one.volume].series_key for one in found})
            return Reason.LABEL_AMBIGUOUS, f"{len(found)} slices in {many} series have this instance number"
        return self._why_nowhere(study_key, series_key)

    def _why_nowhere(self, study_key: str, series_key: str | None) -> tuple[Reason, str]:
        of_study = self.series_of.get(study_key, set())
        if not of_study:
            return Reason.LABEL_UNKNOWN_STUDY, ""
        if series_key is not None and series_key not in of_study:
            return Reason.LABEL_UNKNOWN_SERIES, ""
        named = of_study if series_key is None else {series_key}
        lost = len(named - self.done)
        if lost == len(named):
            return Reason.LABEL_SERIES_NOT_DONE, ""
        return Reason.LABEL_UNKNOWN_INSTANCE, f"{lost} of {len(named)} series were not built" if lost else ""


def _place(
    labels: pa.Table,
    table: str,
    places: _Places,
    points_of: Callable[[_Volume, NDArray[np.float64], Sequence[Label]], NDArray[np.float64]],
    schema: pa.Schema,
    columns: tuple[str, str],
) -> tuple[pa.Table, pa.Table]:
    issues = []
    found: dict[int, list[tuple[int, Label, _Slice]]] = defaultdict(list)
    for order, label in enumerate(labels.to_pylist()):
        place = places.find(label)
        if isinstance(place, _Slice) and not _in_frame(label, places.volumes[place.volume].source):
            place = Reason.LABEL_OUTSIDE_FRAME, _frame_detail(places.volumes[place.volume].source)
        if isinstance(place, _Slice):
            found[place.volume].append((order, label, place))
        else:
            issues.append(Issue(table, label["label_row"], label["study_key"], *place))

    placed: list[tuple[int, dict[str, Any]]] = []
    for number, members in found.items():
        volume = places.volumes[number]
        positions = np.array([one.position for _, _, one in members], dtype=np.float64)
        points_mm = points_of(volume, positions, [label for _, label, _ in members])
        indices = volume.grid.to_index(points_mm)
        for (order, label, one), mm, index in zip(members, points_mm, indices, strict=True):
            own = {name: label[name] for name in schema.names if name in label}
            own |= {"series_key": volume.series_key, "stack": volume.stack, "instance_key": one.instance_key}
            own |= {columns[0]: mm.ravel().tolist(), columns[1]: index.ravel().tolist()}
            placed.append((order, own))
    placed.sort(key=lambda pair: pair[0])
    return pa.Table.from_pylist([row for _, row in placed], schema=schema), issues_table(issues)


def _in_frame(label: Label, source: Placement) -> bool:
    """Every part of the label lies on the image; an image of n columns reaches from -0.5 to n - 0.5."""
    _, rows, columns = source.shape
    low, margin = -0.5 - FRAME_TOLERANCE, FRAME_TOLERANCE - 0.5
    right, bottom = label["column"] + label.get("width", 0.0), label["row"] + label.get("height", 0.0)
    inside: bool = min(label["column"], label["row"]) >= low and right <= columns + margin and bottom <= rows + margin
    return inside


def _frame_detail(source: Placement) -> str:
    _, rows, columns = source.shape
    return f"the image has {columns} columns and {rows} rows"


def _volume(row: Mapping[str, Any], slices: Sequence[Mapping[str, Any]]) -> _Volume:
    """``slices``: rows of SLICES of this volume, in the order of the stack."""
    affine, shape = np.reshape(row["source_affine"], (4, 4)), tuple(row["source_shape"])
    if [piece["position_in_stack"] for piece in slices] != list(range(shape[0])):
        raise ValueError(f"slices: {len(slices)} rows for a stack of {shape[0]}")
    origins = np.array([piece["image_position_mm"] for piece in slices], np.float64)
    source = Placement(shape, origins, affine[:3, 1], affine[:3, 2], float(np.linalg.norm(affine[:3, 0])))
    grid = Grid(tuple(row["shape"]), np.reshape(row["affine"], (4, 4)))
    return _Volume(row["series_key"], row["stack"], source, grid)


def _floats(rows: Iterable[Label], name: str) -> NDArray[np.float64]:
    return np.array([row[name] for row in rows], dtype=np.float64)
