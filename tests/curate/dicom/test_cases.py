"""The table of cases: what a folder of DICOM files becomes, checked against an analytic scene at the voxels' places."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from curate.dicom import Volume, read_series
from curate.errors import Rejected
from curate.reasons import Reason
from tests.support.scene import Plane, error_of, moved, scene, upright, write

TOLERANCE_HU = 2.0  # of linear interpolation in this scene, rounding included


def volumes_of(folder: Path, planes: Sequence[Plane], modality: str = "CT") -> list[Volume]:
    return read_series(write(folder, planes, modality=modality))


def check(volume: Volume, planes: Sequence[Plane], *, least: int = 3000, tolerance: float = TOLERANCE_HU) -> None:
    """Every voxel inside the planes' field is the scene at its place; and that are many voxels."""
    wrong, count = error_of(volume.array, volume.grid.affine, planes)
    assert count >= least
    assert wrong <= tolerance


def turns() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    axes = [tuple(sign * int(n == axis) for n in range(3)) for axis in range(3) for sign in (1, -1)]
    return [(row, column) for row, column in itertools.permutations(axes, 2) if not np.dot(row, column)]


@pytest.mark.parametrize(("row", "column"), turns())
def test_all_24_orientations_are_placed_exactly(tmp_path: Path, row: tuple[int, ...], column: tuple[int, ...]) -> None:
    planes = upright(np.arange(-8, 9, 2.0), row, column, spacing=(0.8, 1.1), shape=(30, 24))
    (volume,) = volumes_of(tmp_path, planes)
    assert volume.stack.flags == ()
    check(volume, planes, tolerance=0.5)


@pytest.mark.parametrize("seed", range(4))
def test_oblique_planes_are_placed_exactly(tmp_path: Path, seed: int) -> None:
    matrix, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    planes = upright(np.arange(-6, 7, 1.5), matrix[0], matrix[1])
    (volume,) = volumes_of(tmp_path, planes)
    check(volume, planes, tolerance=0.5)


@pytest.mark.parametrize("numbers", [[5, 1, 4, 2, 6, 3], [6, 5, 4, 3, 2, 1]], ids=["random", "against the normal"])
def test_instance_numbers_do_not_order_slices(tmp_path: Path, numbers: list[int]) -> None:
    planes = [replace(plane, number=n) for plane, n in zip(upright([-5, -3, -1, 1, 3, 5]), numbers, strict=True)]
    (volume,) = volumes_of(tmp_path, planes)
    check(volume, planes, tolerance=0.5)


def test_jitter_noise_and_three_decimals_are_one_volume(tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    planes = [
        replace(
            plane,
            position=tuple(np.round(np.array(plane.position) + noise.uniform(-0.01, 0.01, 3), 3)),
            row=tuple(np.array(plane.row) + noise.uniform(-1e-5, 1e-5, 3)),
        )
        for plane in upright(np.arange(-10, 11, 1.25))
    ]
    (volume,) = volumes_of(tmp_path, planes)
    assert volume.stack.flags == ()
    check(volume, planes)


@pytest.mark.parametrize("degrees", [-18.5, 16.5, 30.0])
@pytest.mark.parametrize("sense", [1, -1])
def test_a_tilted_gantry_is_set_upright_on_the_true_positions(tmp_path: Path, degrees: float, sense: int) -> None:
    lean = np.tan(np.radians(degrees))
    planes = [
        moved(plane, (0, lean * height, 0), n)
        for n, (plane, height) in enumerate(
            zip(upright(np.arange(-9, 10, 1.5)[::sense]), np.arange(-9, 10, 1.5)[::sense], strict=True)
        )
    ]
    (volume,) = volumes_of(tmp_path, planes)
    assert volume.stack.flags == ("gantry_tilt",)
    assert f"lean {abs(degrees):.1f} degrees" in volume.stack.detail
    check(volume, planes)
    directions = volume.grid.directions
    assert abs(directions[:, 0] @ directions[:, 1]) < 1e-9  # upright


def test_a_tilt_in_the_header_over_orthogonal_positions_changes_nothing(tmp_path: Path) -> None:
    planes = upright(np.arange(-6, 7, 1.5), header={"GantryDetectorTilt": "17.5"})
    (volume,) = volumes_of(tmp_path, planes)
    assert volume.stack.flags == ()
    check(volume, planes, tolerance=0.5)


@pytest.mark.parametrize("lost", [[4], [4, 5], [3, 7]])
def test_missing_slices_leave_every_other_voxel_in_its_place(tmp_path: Path, lost: list[int]) -> None:
    planes = [plane for n, plane in enumerate(upright(np.arange(-9, 10, 1.5))) if n not in lost]
    (volume,) = volumes_of(tmp_path, planes)
    assert volume.stack.flags == ("missing_slices",)
    assert sum(count for _, count in volume.stack.missing) == len(lost)
    assert volume.grid.spacing_mm[0] == pytest.approx(1.5)
    check(volume, planes, tolerance=8.0)  # over a hole of 4.5 mm a straight line is 7 HU off


def test_more_missing_slices_than_allowed_reject_the_series(tmp_path: Path) -> None:
    planes = [plane for n, plane in enumerate(upright(np.arange(-9, 10, 1.5))) if n % 3]
    with pytest.raises(Rejected) as caught:
        volumes_of(tmp_path, planes)
    assert caught.value.reason in (Reason.SLICE_GAP, Reason.TOO_FEW_SLICES)


def test_zones_of_different_spacing_are_kept_on_true_positions(tmp_path: Path) -> None:
    planes = upright([-10, -9, -8, -7, -5, -3, -1, 1, 4, 7, 10])
    (volume,) = volumes_of(tmp_path, planes)
    assert volume.stack.flags == ("uneven_spacing",)
    assert "from 1.00 to 3.00 mm" in volume.stack.detail
    check(volume, planes, tolerance=4.0)


def test_a_gap_beyond_the_limit_rejects_the_series(tmp_path: Path) -> None:
    with pytest.raises(Rejected) as caught:
        volumes_of(tmp_path, upright([-14, -9, 2, 13, 16]))
    assert caught.value.reason is Reason.IRREGULAR_SPACING
    assert "11.00 mm, 10 allowed" in caught.value.detail


def test_copies_are_dropped_and_counted(tmp_path: Path) -> None:
    planes = upright(np.arange(-6, 7, 2.0))
    again = [replace(planes[2], number=90), replace(planes[4], number=91)]
    (volume,) = volumes_of(tmp_path, [*planes, *again])
    assert "copies_dropped" in volume.flags
    assert len(volume.stack.repeats) == 2
    check(volume, planes, tolerance=0.5)


def doubled(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return scene(points) / 2


@pytest.mark.parametrize(
    ("name", "values", "flag"),
    [
        ("EchoTime", ("12", "90"), "told_apart_by_echo_time_ms"),
        ("AcquisitionNumber", ("1", "2"), "told_apart_by_acquisition_number"),
        ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]), "told_apart_by_image_type"),
    ],
)
def test_images_at_one_position_become_volumes_by_the_tag_that_differs(
    tmp_path: Path, name: str, values: Sequence[object], flag: str
) -> None:
    heights = np.arange(-6, 7, 2.0)
    first = upright(heights, header={name: values[0]})
    second = [
        replace(plane, number=plane.number + 50) for plane in upright(heights, header={name: values[1]}, show=doubled)
    ]
    found = volumes_of(tmp_path, [*first, *second])
    assert [volume.stack.flags for volume in found] == [(flag,), (flag,)]
    one, other = sorted(found, key=lambda volume: -int(volume.array.max()))
    check(one, first, tolerance=0.5)
    assert np.abs(one.array - 2.0 * other.array).max() <= 2


def test_different_images_at_one_position_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    heights = np.arange(-6, 7, 2.0)
    second = [replace(plane, number=plane.number + 50) for plane in upright(heights, show=doubled)]
    with pytest.raises(Rejected) as caught:
        volumes_of(tmp_path, [*upright(heights), *second])
    assert caught.value.reason is Reason.REPEATED_POSITION
    assert caught.value.detail == "14 different images at 7 positions"


def test_angled_stacks_of_one_series_never_mix(tmp_path: Path) -> None:
    stacks, planes = [], []
    for disc, angle in enumerate((-15.0, 0.0, 12.0, 25.0)):
        turn = np.radians(angle)
        stack = upright([-4, -2, 0, 2, 4], (1, 0, 0), (0, np.cos(turn), np.sin(turn)))
        stack = [moved(plane, (0, 0, -3.0 * disc), disc * 5 + n + 1) for n, plane in enumerate(stack)]
        stacks.append(stack)
        planes += stack
    found = volumes_of(tmp_path, planes)
    assert [volume.stack.index for volume in found] == [0, 1, 2, 3]
    for volume in found:
        numbers = {piece.instance_number for piece in volume.stack.slices}
        (own,) = [stack for stack in stacks if {plane.number for plane in stack} == numbers]
        check(volume, own, tolerance=0.5)


def test_parallel_stacks_apart_are_two_volumes(tmp_path: Path) -> None:
    planes = upright([-20, -17, -14, 5.5, 8.5, 11.5])
    found = volumes_of(tmp_path, planes)
    assert [len(volume.stack.slices) for volume in found] == [3, 3]
    check(found[0], planes[3:], tolerance=0.5)
    check(found[1], planes[:3], tolerance=0.5)


def test_a_localizer_inside_the_series_is_set_apart(tmp_path: Path) -> None:
    planes = upright(np.arange(-6, 7, 2.0))
    (scout,) = upright([0], (0, 1, 0), (0, 0, -1), header={"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]})
    (volume,) = volumes_of(tmp_path, [*planes, replace(scout, number=99)])
    check(volume, planes, tolerance=0.5)


def test_one_plane_of_another_matrix_is_set_apart(tmp_path: Path) -> None:
    planes = upright(np.arange(-6, 7, 2.0))
    (odd,) = upright([9.0], shape=(20, 20))
    (volume,) = volumes_of(tmp_path, [*planes, replace(odd, number=99)])
    assert len(volume.stack.slices) == len(planes)
    check(volume, planes, tolerance=0.5)


def test_a_truncated_slice_counts_as_missing(tmp_path: Path) -> None:
    planes = upright(np.arange(-9, 10, 1.5))
    folder = write(tmp_path, planes)
    victim = sorted(folder.iterdir())[5]
    victim.write_bytes(victim.read_bytes()[:-1500])
    (volume,) = read_series(folder)
    assert volume.stack.flags == ("missing_slices",)
    check(volume, planes, tolerance=4.0)


def test_slope_and_intercept_are_applied_slice_by_slice(tmp_path: Path) -> None:
    planes = []
    for plane in upright(np.arange(-6, 7, 2.0)):
        slope = 1.0 + 0.1 * plane.number
        stored = np.rint((scene(plane.points()) + 1500) / slope).astype("<i2")
        header = {"RescaleSlope": str(slope), "RescaleIntercept": "-1500", "PixelData": stored.tobytes()}
        planes.append(replace(plane, header=header))
    (volume,) = volumes_of(tmp_path, planes)
    check(volume, planes, tolerance=1.5)


def test_junk_above_the_stored_bits_is_masked(tmp_path: Path) -> None:
    noise = np.random.default_rng(3)
    planes = []
    for plane in upright(np.arange(-6, 7, 2.0)):
        stored = plane.pixels().astype(np.int32) + 1024
        junk = (stored | noise.integers(0, 16, stored.shape) << 12).astype("<u2")
        header = {"BitsStored": 12, "HighBit": 11, "PixelRepresentation": 0, "PixelData": junk.tobytes()}
        planes.append(replace(plane, header=header))
    (volume,) = volumes_of(tmp_path, planes)
    check(volume, planes, tolerance=0.5)


def test_signed_pixels_that_are_called_unsigned_are_seen_through(tmp_path: Path) -> None:
    planes = [
        replace(
            plane,
            header={
                "PixelRepresentation": 0,
                "RescaleIntercept": "0",
                "PixelData": plane.pixels().astype("<i2").tobytes(),
            },
        )
        for plane in upright(np.arange(-6, 7, 2.0))
    ]
    (volume,) = volumes_of(tmp_path, planes)
    assert volume.flags == ("pixel_representation_corrected",)
    check(volume, planes, tolerance=0.5)


def test_unsigned_pixels_that_are_called_signed_are_seen_through(tmp_path: Path) -> None:
    bright = [replace(plane, show=lambda points: scene(points) + 1100) for plane in upright(np.arange(-6, 7, 2.0))]
    planes = [
        replace(
            plane,
            header={
                "BitsStored": 12,
                "HighBit": 11,
                "PixelRepresentation": 1,
                "PixelData": (plane.pixels() + 1024).astype("<u2").tobytes(),
            },
        )
        for plane in bright
    ]
    (volume,) = volumes_of(tmp_path, planes)
    assert volume.flags == ("pixel_representation_corrected",)
    wrong, count = error_of(volume.array - 1100, volume.grid.affine, planes)
    assert count > 3000
    assert wrong <= 0.5


def test_padding_outside_the_field_of_view_is_air_before_anything_interpolates(tmp_path: Path) -> None:
    planes = []
    for plane in upright(np.arange(-6, 7, 2.0)):
        stored = plane.pixels() + 1024
        stored[:6] = -2000
        planes.append(replace(plane, header={"PixelPaddingValue": -2000, "PixelData": stored.astype("<i2").tobytes()}))
    (volume,) = volumes_of(tmp_path, planes)
    assert volume.flags == ("padding_replaced",)
    assert (volume.array[:, :6] == -1024).all()
    assert volume.array[:, 6:].min() > -900


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_slices_are_a_volume_of_one_or_two(tmp_path: Path, count: int) -> None:
    planes = upright([-1.0, 1.0][:count])
    (volume,) = volumes_of(tmp_path, planes)
    assert volume.array.shape[0] == count
    assert volume.stack.flags == (("single_slice",) if count == 1 else ())
    check(volume, planes, least=1000, tolerance=0.5)


def test_planes_of_many_orientations_are_no_volume(tmp_path: Path) -> None:
    fan = [
        replace(upright([0], (1, 0, 0), (0, np.cos(turn), np.sin(turn)))[0], number=n)
        for n, turn in enumerate(np.radians(np.arange(0, 90, 10)))
    ]
    with pytest.raises(Rejected) as caught:
        read_series(write(tmp_path, fan), minimum_slices=2)
    assert caught.value.reason is Reason.MIXED_ORIENTATION
