from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from curate.dicom.estimate import estimate_memory
from curate.dicom.series import SortedSeries, sort_out
from curate.dicom.stacks import StackLimits
from curate.reasons import Reason

CT_CLASS, MR_CLASS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
CAPTURE_CLASS, ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.2.1"
EXPLICIT, JPEG_LOSSLESS, MPEG2 = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.100"


def row(n: int, **changes: Any) -> dict[str, Any]:
    return {
        "instance_key": f"key-{n}",
        "file_key": f"file-{n}",
        "header_digest": f"digest-{n}",
        "size_bytes": 600_000,
        "transfer_syntax_uid": EXPLICIT,
        "sop_class_uid": CT_CLASS,
        "modality": "CT",
        "image_type": "ORIGINAL\\PRIMARY\\AXIAL",
        "instance_number": n,
        "rows": 512,
        "columns": 512,
        "number_of_frames": None,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "bits_allocated": 16,
        "pixel_spacing_mm": [0.5, 0.5],
        "slice_thickness_mm": 2.0,
        "image_position_mm": [0.0, 0.0, 2.0 * n],
        "image_orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        **changes,
    }


def rows(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [row(n, **changes) for n in range(count)]


def sort(headers: Sequence[dict[str, Any]], **options: Any) -> SortedSeries:
    return sort_out(headers, **{"modality": "CT", **options})


def test_a_plain_series_is_accepted_and_every_instance_has_its_place() -> None:
    found = sort(list(reversed(rows(4))))
    assert found.is_accepted
    assert [(each.instance_key, each.reason, each.stack, each.position_in_stack) for each in found.instances] == [
        (f"key-{n}", None, 0, n) for n in (3, 2, 1, 0)
    ]
    assert found.stacks[0].placement.shape == (4, 512, 512)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sop_class_uid": CAPTURE_CLASS}, Reason.SECONDARY_CAPTURE),
        ({"sop_class_uid": f"{CAPTURE_CLASS}.4"}, Reason.SECONDARY_CAPTURE),
        ({"sop_class_uid": None, "conversion_type": "WSD"}, Reason.SECONDARY_CAPTURE),
        ({"modality": "MR"}, Reason.WRONG_MODALITY),
        ({"sop_class_uid": MR_CLASS}, Reason.WRONG_MODALITY),
        ({"modality": None}, Reason.WRONG_MODALITY),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.481.2"}, Reason.UNKNOWN_SOP_CLASS),
        ({"sop_class_uid": ENHANCED_CT, "number_of_frames": 90}, Reason.MULTIFRAME),
        ({"number_of_frames": 2}, Reason.MULTIFRAME),
        ({"image_type": "ORIGINAL\\PRIMARY\\LOCALIZER"}, Reason.LOCALIZER),
        ({"samples_per_pixel": 3, "photometric_interpretation": "RGB"}, Reason.NOT_MONOCHROME),
        ({"photometric_interpretation": "PALETTE COLOR"}, Reason.NOT_MONOCHROME),
        ({"transfer_syntax_uid": MPEG2}, Reason.UNSUPPORTED_TRANSFER_SYNTAX),
    ],
)
def test_what_is_no_slice_is_set_apart_and_alone_it_names_the_series(changes: dict[str, Any], reason: Reason) -> None:
    beside = sort([*rows(4), row(9, **changes)])
    assert beside.is_accepted
    assert beside.instances[-1].reason is reason
    assert beside.stacks[0].placement.shape[0] == 4
    alone = sort(rows(3, **changes))
    assert alone.reason is reason
    assert alone.stacks == ()
    assert {each.reason for each in alone.instances} == {reason}


def test_a_series_of_several_kinds_of_refuse_has_the_reason_that_most_have() -> None:
    found = sort([row(0, modality="MR"), row(1, sop_class_uid=CAPTURE_CLASS), row(2, sop_class_uid=CAPTURE_CLASS)])
    assert found.reason is Reason.SECONDARY_CAPTURE


@pytest.mark.parametrize("image_type", ["DERIVED\\SECONDARY\\REFORMATTED", "ORIGINAL\\SECONDARY\\AXIAL", None])
def test_a_reformatted_image_is_no_secondary_capture(image_type: str | None) -> None:
    assert sort(rows(4, image_type=image_type)).is_accepted


def test_a_header_without_modality_and_class_is_taken_for_what_the_task_uses_when_told_so() -> None:
    public = rows(4, modality=None, sop_class_uid=None)
    assert sort(public, assume_modality=True).is_accepted
    assert sort(rows(4, modality="MR"), assume_modality=True).reason is Reason.WRONG_MODALITY


def test_a_copy_is_dropped_and_the_longer_file_stays() -> None:
    copy = row(1, file_key="copy", size_bytes=100)
    for headers in ([*rows(4), copy], [copy, *rows(4)]):
        found = sort(headers)
        assert found.is_accepted
        dropped = [n for n, each in enumerate(found.instances) if each.reason is Reason.DUPLICATE_INSTANCE]
        assert [headers[n]["file_key"] for n in dropped] == ["copy"]


def test_equal_copies_leave_the_same_file_in_whatever_order_they_come() -> None:
    headers = [row(1, file_key=name) for name in "cab"]
    kept = set()
    for order in (headers, headers[::-1], headers[1:] + headers[:1]):
        found = sort(order)
        kept.add(tuple(order[n]["file_key"] for n, each in enumerate(found.instances) if each.reason is None))
    assert kept == {("a",)}


def test_one_key_over_different_content_rejects_the_series() -> None:
    found = sort([*rows(4), row(1, header_digest="other")])
    assert found.reason is Reason.CONFLICTING_INSTANCE
    assert [each.reason for each in found.instances].count(Reason.CONFLICTING_INSTANCE) == 2


def test_a_file_too_short_for_its_matrix_is_truncated_when_its_neighbours_are_whole() -> None:
    headers = rows(5)
    headers[2]["size_bytes"] = 300_000
    found = sort(headers)
    assert found.is_accepted
    assert found.detail == "1 missing between slices 2 and 3"
    assert [each.reason for each in found.instances] == [None, None, Reason.TRUNCATED_FILE, None, None]
    assert found.instances[2].detail == "512 x 512 pixels in a file of 300000 bytes"


def test_more_damage_than_allowed_rejects_the_series_and_says_how_much() -> None:
    headers = rows(8)
    for n in (2, 5):
        headers[n]["size_bytes"] = 300_000
    found = sort(headers)
    assert found.reason is Reason.TRUNCATED_FILE
    assert found.detail == "2 of 8 images; 512 x 512 pixels in a file of 300000 bytes"
    assert sort(headers, limits=StackLimits(maximum_missing=0.25)).is_accepted


def test_an_instance_whose_pixels_turned_out_to_be_damaged_is_missing_for_that_reason() -> None:
    found = sort(rows(6), damaged={"key-3": (Reason.UNDECODABLE_PIXELS, "no end marker")})
    assert found.is_accepted
    assert found.stacks[0].missing == ((2, 1),)
    assert (found.instances[3].reason, found.instances[3].detail) == (Reason.UNDECODABLE_PIXELS, "no end marker")


def frames_of(count: int) -> list[dict[str, Any]]:
    return [
        {
            "frame": n,
            "image_position_mm": [0.0, 0.0, 3.0 * ((n * 2) % count)],
            "image_orientation": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
            "pixel_spacing_mm": [0.5, 0.5],
            "slice_thickness_mm": 3.0,
            "instance_number": n + 1,
            "kind": [],
            "tile": None,
        }
        for n in range(count)
    ]


def test_the_frames_of_an_enhanced_object_are_ordered_by_their_own_positions() -> None:
    enhanced = row(0, sop_class_uid=ENHANCED_CT, number_of_frames=5, frames=frames_of(5), image_position_mm=None)
    enhanced["size_bytes"] = 5 * 600_000
    found = sort([enhanced])
    assert [each.frame for each in found.stacks[0].slices] == [0, 3, 1, 4, 2]
    assert (found.instances[0].reason, found.instances[0].stack, found.instances[0].position_in_stack) == (None, 0, 0)


def test_a_multi_frame_file_too_short_for_its_frames_is_not_believed() -> None:
    enhanced = row(0, sop_class_uid=ENHANCED_CT, number_of_frames=5, frames=frames_of(5))
    assert sort([enhanced]).reason is Reason.IMPLAUSIBLE_HEADER


@pytest.mark.parametrize(
    "changes", [{"rows": 65535, "columns": 65535}, {"rows": None}, {"rows": 0}, {"bits_allocated": 13}, {"rows": 2048}]
)
def test_sizes_that_no_file_bears_out_are_implausible(changes: dict[str, Any]) -> None:
    assert sort(rows(3, **changes)).reason is Reason.IMPLAUSIBLE_HEADER


def test_the_bytes_of_a_compressed_file_say_nothing_of_its_matrix() -> None:
    assert sort(rows(3, size_bytes=5_000, transfer_syntax_uid=JPEG_LOSSLESS)).is_accepted
    assert sort(rows(3, size_bytes=5_000, transfer_syntax_uid="1.2.840.10008.1.2.1.99")).is_accepted


@pytest.mark.parametrize("name", ["image_position_mm", "image_orientation", "pixel_spacing_mm"])
def test_images_without_geometry_are_set_apart_up_to_the_limit(name: str) -> None:
    headers = rows(6)
    headers[1][name] = None
    found = sort(headers)
    assert found.is_accepted
    assert found.instances[1].reason is Reason.MISSING_GEOMETRY
    headers[3][name] = None
    found = sort(headers)
    assert found.reason is Reason.MISSING_GEOMETRY
    assert found.detail == "2 of 6 images; no position, orientation or pixel spacing"


@pytest.mark.parametrize("spacing", [[0.0, 0.5], [0.5, -1.0], [500.0, 0.5]])
def test_a_spacing_that_cannot_be_is_missing_geometry(spacing: list[float]) -> None:
    assert sort(rows(4, pixel_spacing_mm=spacing)).reason is Reason.MISSING_GEOMETRY


def test_the_reason_of_the_stack_is_the_reason_of_the_series() -> None:
    headers = rows(6)
    del headers[3]
    found = sort(headers, limits=StackLimits(maximum_missing=0.1))
    assert found.reason is Reason.SLICE_GAP
    assert found.detail == "1 missing between slices 3 and 4"
    assert {each.stack for each in found.instances} == {None}


def test_slices_of_a_stack_that_is_too_short_are_named() -> None:
    tilted = row(9, image_orientation=[1.0, 0.0, 0.0, 0.0, 0.9397, 0.342])
    found = sort([*rows(4), tilted], limits=StackLimits(minimum_slices=2))
    assert found.is_accepted
    assert found.instances[-1].reason is Reason.TOO_FEW_SLICES


def test_nothing_at_all_is_too_few() -> None:
    assert sort([]).reason is Reason.TOO_FEW_SLICES


def test_memory_covers_the_volume_as_acquired_and_as_resampled() -> None:
    headers = rows(100)
    voxels = 100 * 512 * 512
    plain = estimate_memory(headers)
    assert plain >= voxels * (2 + 2 + 4)
    shrunk = estimate_memory(headers, spacing_mm=(2.0, 1.0, 1.0))
    grown = estimate_memory(headers, spacing_mm=(0.5, 0.25, 0.25))
    assert shrunk < plain < grown
    assert grown >= 4 * 4 * voxels * (4 + 2 + 2 + 2)  # float32, own type, encoded, overview
    assert estimate_memory(headers, spacing_mm=(None, None, None)) == plain
    assert estimate_memory([]) == 0


def test_memory_grows_with_frames_and_with_the_field_that_leaning_slices_need() -> None:
    plain = estimate_memory(rows(1))
    assert estimate_memory(rows(1, number_of_frames=50)) > 30 * plain
    leaning = [row(n, image_position_mm=[0.0, 1.0 * n, 2.0 * n]) for n in range(100)]
    assert estimate_memory(leaning) > estimate_memory(rows(100)) * 1.1
    assert estimate_memory([]) == 0
