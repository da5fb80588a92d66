"""Labels through the geometry: against SimpleITK's own mapping, and there and back again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.labels import place_boxes, place_points, source_of
from curate.labels.cervical import BOX_LABELS
from curate.labels.lumbar import POINT_LABELS
from curate.manifests import schemas


@dataclass(frozen=True)
class Scan:
    """A stack and the volume made of it, both described to SimpleITK, which knows nothing of this project.

    SimpleITK's index order is (column, row, slice), its frame LPS millimetres.
    """

    study: str = "S1"
    series: str = "E1"
    stack: int = 0
    size: tuple[int, int, int] = (64, 48, 10)  # columns, rows, slices
    first_number: int = 1
    number_step: int = 1  # -1: instance numbers run against the position
    angles: tuple[float, float, float] = (0.2, -0.1, 0.05)

    @property
    def source(self) -> sitk.Image:
        image = sitk.Image(self.size, sitk.sitkUInt8)
        image.SetSpacing((0.45, 0.61, 3.3))
        image.SetOrigin((-31.0, 12.5, -401.25))
        turn = sitk.Euler3DTransform()
        turn.SetRotation(*self.angles)
        image.SetDirection(turn.GetMatrix())
        return image

    @property
    def volume(self) -> sitk.Image:
        """1 mm voxels, other axes: what a reoriented and resampled volume of this stack may look like."""
        image = sitk.Image((50, 60, 40), sitk.sitkUInt8)
        image.SetOrigin((4.0, -20.0, -380.0))
        image.SetDirection((0, 0, 1, -1, 0, 0, 0, -1, 0))
        image.SetSpacing((1.0, 1.0, 1.5))
        return image

    def number(self, position: int) -> int:
        return self.first_number + (position if self.number_step > 0 else self.size[2] - 1 - position)

    def volume_row(self) -> dict[str, Any]:
        row: dict[str, Any] = dict.fromkeys(schemas.VOLUMES.names)
        row |= {"study_key": self.study, "series_key": self.series, "stack": self.stack, "patient_key": "P"}
        row |= {"shape": self.volume.GetSize()[::-1], "affine": affine(self.volume)}
        row |= {"source_shape": self.size[::-1], "source_affine": affine(self.source)}
        return row

    def slice_rows(self) -> list[dict[str, Any]]:
        return [
            {
                "series_key": self.series,
                "stack": self.stack,
                "position_in_stack": position,
                "instance_key": f"{self.series}/{self.stack}/{position}",
                "frame": 0,
                "instance_number": self.number(position),
                "image_position_mm": self.source.TransformIndexToPhysicalPoint((0, 0, position)),
            }
            for position in range(self.size[2])
        ]


def affine(image: sitk.Image) -> list[float]:
    """16 numbers that map (k, j, i, 1) to LPS millimetres, from nothing but where SimpleITK puts four voxels."""
    origin = np.array(image.TransformContinuousIndexToPhysicalPoint((0.0, 0.0, 0.0)))
    steps = [image.TransformContinuousIndexToPhysicalPoint(unit) - origin for unit in np.eye(3)[::-1]]
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([*steps, origin])
    return matrix.ravel().tolist()


def volumes(*scans: Scan) -> pa.Table:
    return pa.Table.from_pylist([scan.volume_row() for scan in scans], schema=schemas.VOLUMES)


def slices(*scans: Scan) -> pa.Table:
    return pa.Table.from_pylist([row for scan in scans for row in scan.slice_rows()], schema=schemas.SLICES)


def catalogue(*pairs: tuple[str, str]) -> pa.Table:
    rows = [dict.fromkeys(schemas.SERIES.names) | {"study_key": s, "series_key": e} for s, e in pairs]
    return pa.Table.from_pylist(rows, schema=schemas.SERIES)


def box(number: int, column: float, row: float, width: float = 6.0, height: float = 4.0, **more: Any) -> dict[str, Any]:
    label = {"label_row": 0, "study_key": "S1", "instance_number": number, "label": "fracture"}
    return label | {"column": column, "row": row, "width": width, "height": height} | more


def point(number: int, column: float, row: float, **more: Any) -> dict[str, Any]:
    label = {"label_row": 0, "study_key": "S1", "series_key": "E1", "instance_number": number}
    label |= {"condition": "spinal_canal_stenosis", "level": "l1_l2", "column": column, "row": row}
    return label | more


def placed_boxes(labels: list[dict[str, Any]], *scans: Scan, series: pa.Table | None = None) -> tuple[Any, Any]:
    table = pa.Table.from_pylist(labels, schema=BOX_LABELS)
    placed, issues = place_boxes(table, slices(*scans), volumes(*scans), series=series)
    assert placed.schema.equals(schemas.BOXES)
    return placed.to_pylist(), issues.to_pylist()


def placed_points(labels: list[dict[str, Any]], *scans: Scan, series: pa.Table | None = None) -> tuple[Any, Any]:
    table = pa.Table.from_pylist(labels, schema=POINT_LABELS)
    placed, issues = place_points(table, slices(*scans), volumes(*scans), series=series)
    assert placed.schema.equals(schemas.POINTS)
    return placed.to_pylist(), issues.to_pylist()


def where(scan: Scan, column: float, row: float, position: float) -> tuple[np.ndarray, np.ndarray]:
    """(LPS millimetres, voxel (k, j, i)) according to SimpleITK."""
    mm = scan.source.TransformContinuousIndexToPhysicalPoint((column, row, position))
    return np.array(mm), np.array(scan.volume.TransformPhysicalPointToContinuousIndex(mm))[::-1]


@settings(deadline=None, max_examples=60)
@given(
    angles=st.tuples(*(st.floats(-3.1, 3.1) for _ in range(3))),
    column=st.floats(0, 63),
    row=st.floats(0, 47),
    position=st.integers(0, 9),
    step=st.sampled_from([1, -1]),
)
def test_a_point_lies_where_simpleitk_says_for_any_orientation_and_slice_order(
    angles: tuple[float, float, float], column: float, row: float, position: int, step: int
) -> None:
    scan = Scan(angles=angles, number_step=step, first_number=17)
    (placed,), issues = placed_points([point(scan.number(position), column, row)], scan)
    mm, index = where(scan, column, row, position)
    assert issues == []
    assert placed["instance_key"] == f"E1/0/{position}"
    np.testing.assert_allclose(placed["point_mm"], mm, atol=1e-9)
    np.testing.assert_allclose(placed["point_index"], index, atol=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    angles=st.tuples(*(st.floats(-3.1, 3.1) for _ in range(3))),
    column=st.floats(0, 63),
    row=st.floats(0, 47),
    position=st.integers(0, 9),
)
def test_the_way_back_gives_the_slice_and_the_pixel_that_was_marked(
    angles: tuple[float, float, float], column: float, row: float, position: int
) -> None:
    scan = Scan(angles=angles, number_step=-1)
    (placed,), _ = placed_points([point(scan.number(position), column, row)], scan)
    pixel = source_of(placed["point_index"], scan.volume_row(), slices(Scan(series="E0"), scan))
    assert (pixel.instance_key, pixel.instance_number) == (placed["instance_key"], placed["instance_number"])
    assert pixel.position_in_stack == position
    assert (pixel.column, pixel.row) == pytest.approx((column, row), abs=1e-8)
    assert pixel.distance_mm == pytest.approx(0, abs=1e-8)


def test_a_point_between_slices_goes_to_the_nearer_one_with_its_distance() -> None:
    scan = Scan()
    _, index = where(scan, 20.0, 30.0, 4.25)
    pixel = source_of(index, scan.volume_row(), slices(scan))
    assert (pixel.position_in_stack, pixel.instance_number) == (4, 5)
    assert abs(pixel.distance_mm) == pytest.approx(0.25 * 3.3, abs=1e-9)
    assert (pixel.column, pixel.row) == pytest.approx((20, 30), abs=1e-9)


def test_a_point_beyond_the_stack_is_given_on_its_last_slice_with_its_distance() -> None:
    scan = Scan()
    _, index = where(scan, 20.0, 30.0, 12.0)
    pixel = source_of(index, scan.volume_row(), slices(scan))
    assert pixel.position_in_stack == 9
    assert abs(pixel.distance_mm) == pytest.approx(3 * 3.3, abs=1e-9)


def test_the_way_back_needs_the_slices_of_the_volume() -> None:
    scan = Scan()
    with pytest.raises(ValueError, match="0 rows for a stack"):
        source_of([0.0, 0.0, 0.0], scan.volume_row(), slices(Scan(series="E2")))


def test_the_four_corners_of_a_box_in_their_documented_order() -> None:
    scan = Scan()
    (placed,), issues = placed_boxes([box(scan.number(3), 10.25, 20.5, 6.0, 4.0)], scan)
    assert issues == []
    order = [(10.25, 20.5), (16.25, 20.5), (16.25, 24.5), (10.25, 24.5)]
    expected = [where(scan, column, row, 3) for column, row in order]
    np.testing.assert_allclose(np.reshape(placed["corners_mm"], (4, 3)), [mm for mm, _ in expected], atol=1e-9)
    np.testing.assert_allclose(np.reshape(placed["corners_index"], (4, 3)), [index for _, index in expected], atol=1e-9)
    kept = {name: placed[name] for name in ("column", "row", "width", "height", "label", "instance_number")}
    assert kept == {
        "column": 10.25,
        "row": 20.5,
        "width": 6.0,
        "height": 4.0,
        "label": "fracture",
        "instance_number": 4,
    }


def test_labels_keep_their_order_over_several_volumes() -> None:
    scans = Scan(), Scan(study="S2", series="E2", angles=(1.0, 0.0, 0.0))
    labels = [
        box(1, 5.0, 5.0),
        box(2, 6.0, 5.0, study_key="S2"),
        box(3, 7.0, 5.0),
        box(4, 8.0, 5.0, study_key="S2"),
    ]
    placed, _ = placed_boxes(labels, *scans)
    assert [row["column"] for row in placed] == [5.0, 6.0, 7.0, 8.0]
    assert [row["series_key"] for row in placed] == ["E1", "E2", "E1", "E2"]


def test_a_box_belongs_to_the_series_of_its_study_that_holds_the_instance() -> None:
    scans = Scan(first_number=1), Scan(series="E2", first_number=101), Scan(study="S2", series="E3", first_number=101)
    (placed,), issues = placed_boxes([box(105, 5.0, 5.0)], *scans)
    assert issues == []
    assert (placed["series_key"], placed["instance_key"]) == ("E2", "E2/0/4")


def test_a_box_that_fits_two_series_is_not_guessed() -> None:
    placed, (issue,) = placed_boxes([box(3, 5.0, 5.0, label_row=7)], Scan(), Scan(series="E2"))
    assert placed == []
    assert (issue["table"], issue["row"], issue["reason"]) == ("boxes", 7, "label_ambiguous")
    assert issue["detail"] == "2 slices in 2 series have this instance number"


def test_a_point_goes_to_the_stack_that_holds_its_instance() -> None:
    stacks = Scan(stack=0, first_number=1), Scan(stack=1, first_number=11, angles=(0.5, 0.0, 0.0))
    (placed,), issues = placed_points([point(14, 5.0, 6.0)], *stacks)
    assert issues == []
    assert (placed["stack"], placed["instance_key"]) == (1, "E1/1/3")
    np.testing.assert_allclose(placed["point_mm"], where(stacks[1], 5.0, 6.0, 3)[0], atol=1e-9)


def test_a_point_whose_number_stands_in_two_stacks_is_not_guessed() -> None:
    placed, (issue,) = placed_points([point(3, 5.0, 5.0)], Scan(), Scan(stack=1))
    assert placed == []
    assert (issue["table"], issue["reason"]) == ("coordinates", "label_ambiguous")
    assert issue["detail"] == "2 slices in 1 series have this instance number"


def test_why_a_label_has_no_place_is_told_apart() -> None:
    archive = catalogue(("S1", "E1"), ("S1", "E8"), ("S3", "E9"))
    labels = [
        point(99, 1.0, 1.0, label_row=0),
        point(1, 1.0, 1.0, label_row=1, series_key="E8"),
        point(1, 1.0, 1.0, label_row=2, series_key="E7"),
        point(1, 1.0, 1.0, label_row=3, study_key="S2"),
        point(1, 1.0, 1.0, label_row=4, study_key="S3", series_key="E9"),
        point(1, 1.0, 1.0, label_row=5, study_key="S3", series_key="E1"),
    ]
    placed, issues = placed_points(labels, Scan(), series=archive)
    assert placed == []
    assert {issue["row"]: issue["reason"] for issue in issues} == {
        0: "label_unknown_instance",
        1: "label_series_not_done",
        2: "label_unknown_series",
        3: "label_unknown_study",
        4: "label_series_not_done",
        5: "label_unknown_series",
    }
    assert [issue["study_key"] for issue in issues] == ["S1", "S1", "S1", "S2", "S3", "S3"]


def test_why_a_box_has_no_place_is_told_apart() -> None:
    archive = catalogue(("S1", "E1"), ("S1", "E8"), ("S3", "E9"))
    labels = [
        box(99, 1.0, 1.0, label_row=0),
        box(1, 1.0, 1.0, label_row=1, study_key="S3"),
        box(1, 1.0, 1.0, label_row=2, study_key="S2"),
    ]
    _, issues = placed_boxes(labels, Scan(), series=archive)
    assert [(issue["row"], issue["reason"]) for issue in issues] == [
        (0, "label_unknown_instance"),
        (1, "label_series_not_done"),
        (2, "label_unknown_study"),
    ]
    assert issues[0]["detail"] == "1 of 2 series were not built"


def test_without_the_catalogue_what_was_not_built_is_unknown() -> None:
    _, (issue,) = placed_boxes([box(1, 1.0, 1.0, study_key="S3")], Scan())
    assert issue["reason"] == "label_unknown_study"


@pytest.mark.parametrize(
    ("column", "row", "inside"),
    [
        (0.0, 0.0, True),
        (-1.0, 0.0, True),  # drawn along the border by a tool that counts from the pixel's edge
        (-1.01, 0.0, False),
        (64.0, 47.0, True),
        (64.01, 47.0, False),
        (10.0, 48.01, False),
        (10.0, -1.01, False),
    ],
)
def test_a_point_outside_the_image_is_not_used(column: float, row: float, inside: bool) -> None:
    placed, issues = placed_points([point(1, column, row)], Scan())
    assert len(placed) == int(inside)
    assert [issue["reason"] for issue in issues] == ([] if inside else ["label_outside_frame"])


@pytest.mark.parametrize(
    ("column", "row", "width", "height", "inside"),
    [
        (58.0, 44.0, 6.0, 4.0, True),
        (58.5, 44.0, 6.0, 4.0, False),
        (58.0, 44.5, 6.0, 4.0, False),
        (-3.0, 10.0, 6.0, 4.0, False),
        (-100.0, -100.0, 300.0, 300.0, False),
    ],
)
def test_a_box_that_leaves_the_image_is_not_used(
    column: float, row: float, width: float, height: float, inside: bool
) -> None:
    placed, issues = placed_boxes([box(1, column, row, width, height)], Scan())
    assert len(placed) == int(inside)
    if not inside:
        assert issues[0]["reason"] == "label_outside_frame"
        assert issues[0]["detail"] == "the image has 64 columns and 48 rows"


def test_no_labels_give_empty_tables() -> None:
    assert placed_boxes([], Scan()) == ([], [])
    assert placed_points([], Scan()) == ([], [])


def test_slices_without_an_instance_number_hold_no_label() -> None:
    table = slices(Scan())
    nameless = table.set_column(
        table.column_names.index("instance_number"), "instance_number", pa.nulls(table.num_rows, pa.int64())
    )
    labels = pa.Table.from_pylist([box(1, 1.0, 1.0)], schema=BOX_LABELS)
    placed, issues = place_boxes(labels, nameless, volumes(Scan()))
    assert placed.num_rows == 0
    assert issues["reason"].to_pylist() == ["label_unknown_instance"]
