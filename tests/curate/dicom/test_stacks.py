from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.dicom.stacks import Slice, Stack, split_stacks
from curate.errors import Rejected
from curate.reasons import Reason

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)


def plane(key: str, position: Sequence[float], number: int | None = None, **changes: object) -> Slice:
    x, y, z = map(float, position)
    made = Slice(key, (x, y, z), AXIAL, (0.5, 0.4), 8, 6, number)
    return replace(made, **changes)  # type: ignore[arg-type]


def axial(heights: Sequence[float], numbers: Sequence[int | None] | None = None, **changes: object) -> list[Slice]:
    chosen = range(1, len(heights) + 1) if numbers is None else numbers
    return [
        plane(f"s{n:03d}", (-10, -20, z), number, **changes)
        for n, (z, number) in enumerate(zip(heights, chosen, strict=True))
    ]


def why(slices: Sequence[Slice], *, minimum_slices: int = 1) -> tuple[Reason, str]:
    with pytest.raises(Rejected) as caught:
        split_stacks(slices, minimum_slices=minimum_slices)
    return caught.value.reason, caught.value.detail


def tilted(angle_degrees: float) -> tuple[float, float, float, float, float, float]:
    angle = np.radians(angle_degrees)
    return (1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(np.sin(angle)))


def test_a_plain_axial_stack_has_the_affine_that_the_standard_gives() -> None:
    (stack,) = split_stacks(axial([0, 2, 4, 6]))
    assert stack.grid.shape == (4, 8, 6)
    np.testing.assert_allclose(stack.grid.to_patient([0, 0, 0]), [-10, -20, 0])
    np.testing.assert_allclose(stack.grid.to_patient([3, 7, 5]), [-10 + 5 * 0.4, -20 + 7 * 0.5, 6])
    assert stack.grid.axis_codes == "SPL"


def test_slices_are_ordered_by_position_whatever_the_instance_numbers_and_the_input_order_say() -> None:
    slices = axial([0, 2, 4, 6, 8], numbers=[3, 1, 5, 2, 4])
    expected = split_stacks(slices)
    for seed in range(5):
        shuffled = random.Random(seed).sample(slices, len(slices))
        assert split_stacks(shuffled) == expected
    assert [each.position_mm[2] for each in expected[0].slices] == [0, 2, 4, 6, 8]


def test_a_sagittal_stack_grows_along_row_times_column() -> None:
    slices = [plane(f"s{n}", (x, -100, 100), n, orientation=SAGITTAL) for n, x in enumerate([-8, -4, 0, 4, 8])]
    (stack,) = split_stacks(slices)
    assert stack.grid.axis_codes == "RIP"
    np.testing.assert_allclose(stack.grid.to_patient([0, 0, 0]), [8, -100, 100])


@settings(max_examples=60, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    origin=st.tuples(*[st.floats(-300, 300)] * 3),
    spacing=st.tuples(st.floats(0.5, 6), st.floats(0.2, 2), st.floats(0.2, 2)),
    count=st.integers(2, 12),
    seed=st.integers(0, 99),
)
def test_any_orientation_gives_every_pixel_its_place(
    angles: tuple[float, float, float],
    origin: tuple[float, float, float],
    spacing: tuple[float, float, float],
    count: int,
    seed: int,
) -> None:
    axes = np.eye(3)
    for axis, angle in enumerate(np.radians(angles)):
        cos, sin = np.cos(angle), np.sin(angle)
        turn = np.eye(3)
        first, second = [n for n in range(3) if n != axis]
        turn[first, first], turn[first, second], turn[second, first], turn[second, second] = cos, -sin, sin, cos
        axes = turn @ axes
    row, column, normal = axes.T
    places = [np.array(origin) + n * spacing[0] * normal for n in range(count)]
    slices = [
        plane(f"s{n}", place, n, orientation=(*row, *column), spacing_mm=spacing[1:]) for n, place in enumerate(places)
    ]
    (stack,) = split_stacks(random.Random(seed).sample(slices, count))
    for k, place in enumerate(places):
        truth = place + 3 * spacing[1] * column + 2 * spacing[2] * row
        np.testing.assert_allclose(stack.grid.to_patient([k, 3, 2]), truth, atol=1e-6)


def test_positions_that_jitter_by_a_hundredth_and_noisy_directions_are_one_volume() -> None:
    noise = np.random.default_rng(0)
    slices = [
        plane(
            f"s{n:02d}",
            np.array([0, 0, 1.25 * n]) + noise.uniform(-0.01, 0.01, 3),
            n,
            orientation=tuple(np.array(AXIAL) + noise.uniform(-1e-5, 1e-5, 6)),
        )
        for n in range(40)
    ]
    (stack,) = split_stacks(slices)
    assert stack.grid.shape[0] == 40
    assert stack.grid.spacing_mm[0] == pytest.approx(1.25, abs=1e-3)


def test_a_missing_slice_rejects_the_series_and_names_the_gap() -> None:
    assert why(axial([18.1, 23.1, 28.1, 38.1])) == (
        Reason.SLICE_GAP,
        "between slices 3 and 4: 10.00 mm, else 5.00 mm",
    )


def test_a_missing_slice_is_told_by_instance_numbers_that_skip_alike_in_either_direction() -> None:
    heights = [0, 3, 6, 12, 15, 18]
    assert why(axial(heights, numbers=[1, 2, 3, 5, 6, 7]))[0] is Reason.SLICE_GAP
    assert why(axial(heights, numbers=[7, 6, 5, 3, 2, 1]))[0] is Reason.SLICE_GAP


@pytest.mark.parametrize("numbers", [[4, 1, 6, 2, 3, 5], [None] * 6, [0] * 6])
def test_instance_numbers_that_say_nothing_leave_a_whole_gap_a_missing_slice(numbers: list[int | None]) -> None:
    assert why(axial([0, 3, 6, 12, 15, 18], numbers=numbers))[0] is Reason.SLICE_GAP


def test_parallel_stacks_with_a_gap_between_them_are_separate_volumes_from_head_to_feet() -> None:
    stacks = split_stacks(axial([0, 4, 8, 25.5, 29.5, 33.5]))
    assert [[each.position_mm[2] for each in stack.slices] for stack in stacks] == [[25.5, 29.5, 33.5], [0, 4, 8]]
    assert [stack.index for stack in stacks] == [0, 1]


def test_a_whole_gap_over_which_instance_numbers_go_on_is_two_stacks() -> None:
    stacks = split_stacks(axial([0, 4, 8, 20, 24, 28], numbers=[1, 2, 3, 4, 5, 6]))
    assert [len(stack.slices) for stack in stacks] == [3, 3]


def test_a_lone_slice_beyond_a_gap_is_a_gap_and_not_a_stack() -> None:
    assert why(axial([0, 4, 8, 25.5]))[0] is Reason.SLICE_GAP


def test_angled_stacks_of_a_lumbar_series_are_split_by_orientation() -> None:
    slices = []
    for disc, angle in enumerate([-15.0, 0.0, 12.0, 25.0]):
        row_column = tilted(angle)
        normal = np.cross(row_column[:3], row_column[3:])
        for n in range(4):
            place = np.array([0.0, 5.0 * disc, -35.0 * disc]) + 4 * n * normal
            slices.append(plane(f"d{disc}s{n}", place, 4 * disc + n, orientation=row_column))
    stacks = split_stacks(slices)
    assert [{each.key[:2] for each in stack.slices} for stack in stacks] == [{"d0"}, {"d1"}, {"d2"}, {"d3"}]
    assert all(stack.grid.spacing_mm[0] == pytest.approx(4) for stack in stacks)


def test_sagittal_and_axial_planes_in_one_series_are_not_a_volume() -> None:
    mixed = [*axial([0, 3]), *(plane(f"x{n}", (4 * n, 0, 0), n, orientation=SAGITTAL) for n in range(2))]
    reason, detail = why(mixed)
    assert reason is Reason.MIXED_ORIENTATION
    assert "90 degrees" in detail


def test_a_radial_series_is_not_a_volume() -> None:
    fan = [plane(f"s{n}", (0, 0, n), n, orientation=tilted(5.0 * n)) for n in range(6)]
    assert why(fan) == (Reason.MIXED_ORIENTATION, "6 orientations in 6 slices")


def test_gantry_tilt_is_seen_in_the_positions() -> None:
    leaning = [plane(f"s{n}", (0, 0, 5 * n), n, orientation=tilted(-14)) for n in range(4)]
    reason, detail = why(leaning)
    assert reason is Reason.GANTRY_TILT
    assert "14.0 degrees" in detail


def test_tilt_wins_over_the_gap_that_comes_with_it() -> None:
    leaning = [plane(f"s{n}", (0, 0, z), n, orientation=tilted(15.5)) for n, z in enumerate([0, 5, 10, 20])]
    assert why(leaning)[0] is Reason.GANTRY_TILT


def test_a_tilted_plane_with_positions_on_its_normal_is_an_oblique_volume_and_no_tilt() -> None:
    row_column = tilted(20)
    normal = np.cross(row_column[:3], row_column[3:])
    (stack,) = split_stacks([plane(f"s{n}", 3 * n * normal, n, orientation=row_column) for n in range(5)])
    assert stack.grid.spacing_mm[0] == pytest.approx(3)


def test_spacing_that_changes_along_the_stack_is_irregular() -> None:
    reason, detail = why(axial([0, 2, 4, 6, 8.6, 11.2, 13.8]))
    assert reason is Reason.IRREGULAR_SPACING
    assert detail == "distances from 2.00 to 2.60 mm, mostly 2.30 mm"


def test_a_slice_that_is_shifted_within_its_plane_is_irregular() -> None:
    slices = axial([0, 2, 4, 6, 8, 10, 12])
    slices[3] = replace(slices[3], position_mm=(-7.0, -20.0, 6.0))
    assert why(slices)[0] is Reason.IRREGULAR_SPACING


def test_several_images_at_one_position_are_named_by_their_numbers() -> None:
    assert why(axial([61.5] * 4)) == (Reason.REPEATED_POSITION, "4 images at 1 positions")
    assert why(axial([0, 0, 3, 3, 6, 6])) == (Reason.REPEATED_POSITION, "6 images at 3 positions")


def test_two_matrix_sizes_are_counted() -> None:
    slices = axial([0, 2, 4])
    slices[1] = replace(slices[1], rows=16)
    assert why(slices) == (Reason.MIXED_MATRIX, "2 of 8 x 6, 1 of 16 x 6")


def test_two_pixel_spacings_are_a_mixed_matrix() -> None:
    slices = axial([0, 2, 4])
    slices[1] = replace(slices[1], spacing_mm=(0.5, 0.41))
    assert why(slices)[0] is Reason.MIXED_MATRIX


@pytest.mark.parametrize(
    "changes",
    [
        {"orientation": (1.0, 0.0, 0.0, 1.0, 0.0, 0.0)},
        {"orientation": (0.0,) * 6},
        {"orientation": (2.0, 0.0, 0.0, 0.0, 1.0, 0.0)},
        {"position_mm": (float("nan"), 0.0, 0.0)},
        {"position_mm": (1e30, 0.0, 0.0)},
        {"spacing_mm": (0.0, 0.5)},
        {"spacing_mm": (-1.0, 0.5)},
    ],
)
def test_geometry_that_is_no_geometry_is_missing(changes: dict[str, object]) -> None:
    slices = axial([0, 2, 4])
    slices[1] = replace(slices[1], **changes)  # type: ignore[arg-type]
    assert why(slices)[0] is Reason.MISSING_GEOMETRY


def test_one_slice_is_a_volume_as_thick_as_it_says() -> None:
    for thickness, expected in [(5.0, 5.0), (None, 1.0), (0.0, 1.0)]:
        (stack,) = split_stacks([plane("s", (0, 0, 0), 1, thickness_mm=thickness)])
        assert stack.grid.spacing_mm[0] == expected


def test_short_stacks_are_left_out_and_nothing_left_is_too_few() -> None:
    slices = [*axial([0, 4, 8]), plane("x", (0, 50, 90), 9, orientation=tilted(20))]
    stacks = split_stacks(slices, minimum_slices=2)
    assert [len(stack.slices) for stack in stacks] == [3]
    assert why(slices, minimum_slices=4) == (Reason.TOO_FEW_SLICES, "3 in the longest stack, 4 needed")
    assert why([])[0] is Reason.TOO_FEW_SLICES


def test_a_stack_is_a_frozen_record() -> None:
    (stack,) = split_stacks(axial([0, 2]))
    assert isinstance(stack, Stack)
    with pytest.raises(AttributeError):
        stack.index = 4  # type: ignore[misc]
