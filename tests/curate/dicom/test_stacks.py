from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.dicom.planes import Slice
from curate.dicom.stacks import Stack, StackLimits
from curate.dicom.stacks import split_stacks as split_series
from curate.errors import Rejected
from curate.geometry import Grid
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


def split_stacks(slices: Sequence[Slice], **limits: float) -> tuple[Stack, ...]:
    return split_series(slices, StackLimits(**limits)).stacks  # type: ignore[arg-type]


def apart(slices: Sequence[Slice], **limits: float) -> dict[str, Reason]:
    found = split_series(slices, StackLimits(**limits)).apart  # type: ignore[arg-type]
    return {key: reason for (key, _), (reason, _) in found.items()}


def why(slices: Sequence[Slice], **limits: float) -> tuple[Reason, str]:
    with pytest.raises(Rejected) as caught:
        split_stacks(slices, **limits)
    return caught.value.reason, caught.value.detail


def grid_of(stack: Stack) -> Grid:
    assert stack.grid is not None
    return stack.grid


def tilted(angle_degrees: float) -> tuple[float, float, float, float, float, float]:
    angle = np.radians(angle_degrees)
    return (1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(np.sin(angle)))


def test_a_plain_axial_stack_has_the_affine_that_the_standard_gives() -> None:
    (stack,) = split_stacks(axial([0, 2, 4, 6]))
    assert grid_of(stack).shape == (4, 8, 6)
    np.testing.assert_allclose(grid_of(stack).to_patient([0, 0, 0]), [-10, -20, 0])
    np.testing.assert_allclose(grid_of(stack).to_patient([3, 7, 5]), [-10 + 5 * 0.4, -20 + 7 * 0.5, 6])
    assert grid_of(stack).axis_codes == "SPL"


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
    assert grid_of(stack).axis_codes == "RIP"
    np.testing.assert_allclose(grid_of(stack).to_patient([0, 0, 0]), [8, -100, 100])


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
        np.testing.assert_allclose(grid_of(stack).to_patient([k, 3, 2]), truth, atol=1e-6)


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
    assert grid_of(stack).shape[0] == 40
    assert grid_of(stack).spacing_mm[0] == pytest.approx(1.25, abs=1e-3)


def test_a_missing_slice_is_counted_and_named_and_the_true_positions_are_kept() -> None:
    (stack,) = split_stacks(axial([18, 23, 28, 38, 43], numbers=[1, 2, 3, 5, 6]))
    assert stack.missing == ((2, 1),)
    assert stack.flags == ("missing_slices",)
    assert stack.detail == "1 missing between slices 3 and 4"
    assert stack.grid is None
    np.testing.assert_allclose(stack.placement.heights_mm, [0, 5, 10, 20, 25])


def test_too_many_missing_slices_are_a_gap() -> None:
    slices = axial([0, 5, 10, 20, 25, 35, 40], numbers=[1, 2, 3, 5, 6, 8, 9])
    assert split_stacks(slices, maximum_missing=0.23)
    assert why(slices, maximum_missing=0.22) == (
        Reason.SLICE_GAP,
        "1 missing between slices 3 and 4, and 1 more",
    )


def test_a_gap_wider_than_the_limit_is_refused_and_named() -> None:
    assert why(axial([0, 5, 10, 20, 25], numbers=[1, 2, 3, 5, 6]), maximum_gap_mm=9.0) == (
        Reason.SLICE_GAP,
        "a gap of 10.00 mm, 9 allowed",
    )
    assert why(axial([0, 5, 10, 17.5, 22.5]), maximum_gap_mm=7.0)[0] is Reason.IRREGULAR_SPACING


def test_a_missing_slice_is_told_by_instance_numbers_that_skip_alike_in_either_direction() -> None:
    heights = [0, 3, 6, 12, 15, 18]
    for numbers in ([1, 2, 3, 5, 6, 7], [7, 6, 5, 3, 2, 1]):
        (stack,) = split_stacks(axial(heights, numbers=numbers))
        assert stack.missing == ((2, 1),)


@pytest.mark.parametrize("numbers", [[4, 1, 6, 2, 3, 5], [None] * 6, [0] * 6])
def test_instance_numbers_that_say_nothing_leave_a_whole_gap_a_missing_slice(numbers: list[int | None]) -> None:
    (stack,) = split_stacks(axial([0, 3, 6, 12, 15, 18], numbers=numbers))
    assert stack.missing == ((2, 1),)


def test_parallel_stacks_with_a_gap_between_them_are_separate_volumes_from_head_to_feet() -> None:
    stacks = split_stacks(axial([0, 4, 8, 25.5, 29.5, 33.5]))
    assert [[each.position_mm[2] for each in stack.slices] for stack in stacks] == [[25.5, 29.5, 33.5], [0, 4, 8]]
    assert [stack.index for stack in stacks] == [0, 1]


def test_a_whole_gap_over_which_instance_numbers_go_on_is_two_stacks() -> None:
    stacks = split_stacks(axial([0, 4, 8, 20, 24, 28], numbers=[1, 2, 3, 4, 5, 6]))
    assert [len(stack.slices) for stack in stacks] == [3, 3]


def test_a_lone_slice_beyond_a_gap_is_no_stack_of_its_own() -> None:
    assert apart(axial([0, 4, 8, 25.5]), minimum_slices=2) == {"s003": Reason.TOO_FEW_SLICES}
    (stack,) = split_stacks(axial([0, 4, 8, 15.5]))
    assert stack.flags == ("uneven_spacing",)


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
    assert all(grid_of(stack).spacing_mm[0] == pytest.approx(4) for stack in stacks)


def test_sagittal_and_axial_planes_in_one_series_are_two_stacks() -> None:
    mixed = [*axial([0, 3, 6]), *(plane(f"x{n}", (4 * n, 0, 0), n, orientation=SAGITTAL) for n in range(3))]
    stacks = split_stacks(mixed, minimum_slices=3)
    assert sorted(grid_of(stack).axis_codes for stack in stacks) == ["RIP", "SPL"]


def test_a_radial_series_is_not_a_volume() -> None:
    fan = [plane(f"s{n}", (0, 0, n), n, orientation=tilted(5.0 * n)) for n in range(6)]
    assert why(fan, minimum_slices=2) == (Reason.MIXED_ORIENTATION, "6 orientations in 6 slices")


def test_gantry_tilt_is_seen_in_the_positions_and_kept_in_the_placement() -> None:
    leaning = [plane(f"s{n}", (0, 0, 5 * n), n, orientation=tilted(-14)) for n in range(4)]
    (stack,) = split_stacks(leaning)
    assert stack.flags == ("gantry_tilt",)
    assert "14.0 degrees" in stack.detail
    assert stack.grid is None
    np.testing.assert_allclose(stack.placement.origins_mm, [each.position_mm for each in stack.slices])


def test_tilt_and_a_missing_slice_are_both_said() -> None:
    leaning = [
        plane(f"s{n}", (0, 0, z), n + 1 + (z > 15), orientation=tilted(15.5)) for n, z in enumerate([0, 5, 10, 20, 25])
    ]
    (stack,) = split_stacks(leaning)
    assert stack.flags == ("gantry_tilt", "missing_slices")


def test_a_tilted_plane_with_positions_on_its_normal_is_an_oblique_volume_and_no_tilt() -> None:
    row_column = tilted(20)
    normal = np.cross(row_column[:3], row_column[3:])
    (stack,) = split_stacks([plane(f"s{n}", 3 * n * normal, n, orientation=row_column) for n in range(5)])
    assert grid_of(stack).spacing_mm[0] == pytest.approx(3)


def test_spacing_that_changes_along_the_stack_is_said_in_numbers() -> None:
    (stack,) = split_stacks(axial([0, 2, 4, 6, 8.6, 11.2, 13.8]))
    assert stack.flags == ("uneven_spacing",)
    assert stack.detail == "distances from 2.00 to 2.60 mm, mostly 2.30 mm"


def test_a_slice_that_is_shifted_within_its_plane_is_uneven() -> None:
    slices = axial([0, 2, 4, 6, 8, 10, 12])
    slices[3] = replace(slices[3], position_mm=(-7.0, -20.0, 6.0))
    (stack,) = split_stacks(slices)
    assert stack.flags == ("uneven_spacing",)
    np.testing.assert_allclose(stack.placement.origins_mm[3], [-7, -20, 6])


def test_several_images_at_one_position_are_kept_for_the_pixels_to_decide() -> None:
    (stack,) = split_stacks(axial([0, 0, 3, 3, 6, 6]))
    assert [each.instance_number for each in stack.slices] == [1, 3, 5]
    assert [(k, each.instance_number) for k, each in stack.repeats] == [(0, 2), (1, 4), (2, 6)]


def test_images_at_one_position_are_told_apart_by_the_first_tag_that_differs() -> None:
    slices = [
        replace(each, kind=(("note", str(n)), ("echo_time_ms", "12.0" if n % 2 else "90.0")))
        for n, each in enumerate(axial([0, 0, 3, 3, 6, 6]))
    ]
    same_note = [replace(each, kind=(("note", "x"), *each.kind[1:])) for each in slices]
    stacks = split_stacks(same_note)
    assert [stack.flags for stack in stacks] == [("told_apart_by_echo_time_ms",)] * 2
    assert all(stack.repeats == () for stack in stacks)


def test_the_larger_matrix_group_goes_on_and_the_other_is_set_apart() -> None:
    slices = axial([0, 2, 4])
    slices[2] = replace(slices[2], rows=16)
    (stack,) = split_stacks(slices)
    assert stack.placement.shape == (2, 8, 6)
    assert apart(slices) == {"s002": Reason.MIXED_MATRIX}


def test_another_pixel_spacing_is_another_matrix() -> None:
    slices = axial([0, 2, 4])
    slices[2] = replace(slices[2], spacing_mm=(0.5, 0.41))
    assert apart(slices) == {"s002": Reason.MIXED_MATRIX}


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
    spoiled = [replace(each, **changes) for each in slices]  # type: ignore[arg-type]
    assert why(spoiled)[0] is Reason.MISSING_GEOMETRY
    assert apart([slices[0], spoiled[1], slices[2]]) == {"s001": Reason.MISSING_GEOMETRY}


def test_one_slice_is_a_volume_as_thick_as_it_says() -> None:
    for thickness, expected in [(5.0, 5.0), (None, 1.0), (0.0, 1.0)]:
        (stack,) = split_stacks([plane("s", (0, 0, 0), 1, thickness_mm=thickness)])
        assert grid_of(stack).spacing_mm[0] == expected


def test_short_stacks_are_left_out_and_nothing_left_is_too_few() -> None:
    slices = [*axial([0, 4, 8]), plane("x", (0, 50, 90), 9, orientation=tilted(20))]
    stacks = split_stacks(slices, minimum_slices=2)
    assert [len(stack.slices) for stack in stacks] == [3]
    assert apart(slices, minimum_slices=2) == {"x": Reason.TOO_FEW_SLICES}
    assert why(slices, minimum_slices=4) == (Reason.TOO_FEW_SLICES, "a stack of 3, 4 needed")
    assert why([])[0] is Reason.TOO_FEW_SLICES


def test_a_stack_is_a_frozen_record() -> None:
    (stack,) = split_stacks(axial([0, 2]))
    assert isinstance(stack, Stack)
    with pytest.raises(AttributeError):
        stack.index = 4  # type: ignore[misc]
