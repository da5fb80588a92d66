from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from curate.dicom.frames import DecodedSlice
from curate.dicom.pixels import Damaged, SeriesPixels, read_pixels
from curate.dicom.series import Row, SortedSeries, sort_out
from curate.errors import Rejected
from curate.reasons import Reason
from tests.curate.dicom.test_series import row


def make_rows(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [row(n, rows=2, columns=3, size_bytes=2000, **changes) for n in range(count)]


def make_slice(number: int, **changes: Any) -> DecodedSlice:
    given = {"slope": 1.0, "intercept": 0.0, "photometric": "MONOCHROME2", "bits_stored": 12, **changes}
    return DecodedSlice(np.full((2, 3), number, np.uint16), **given)


def read(rows: Sequence[dict[str, Any]], faults: dict[str, Reason], asked: list[str], **changes: Any) -> SeriesPixels:
    """Slice ``key-n`` holds n everywhere."""

    def sort(damaged: Damaged) -> SortedSeries:
        return sort_out(rows, modality="CT", damaged=damaged)

    def decode(one: Row, frames: Sequence[int]) -> list[DecodedSlice]:
        key = str(one["instance_key"])
        asked.append(key)
        if key in faults:
            raise Rejected(faults[key], "of this one")
        return [make_slice(int(key.removeprefix("key-")), **changes) for _ in frames]

    return read_pixels(rows, sort, decode, "CT")


def test_every_slice_is_at_its_place_whatever_the_order_of_the_files() -> None:
    rows = make_rows(12)
    asked: list[str] = []
    found = read([rows[n] for n in (7, 2, 11, 0, 5, 1, 9, 3, 10, 4, 8, 6)], {}, asked)
    assert [int(plane[0, 0]) for plane in found.acquired[0].array] == list(range(12))
    assert sorted(asked) == sorted(f"key-{n}" for n in range(12))
    assert {one.reason for one in found.found.instances} == {None}


def test_what_was_decoded_before_a_damaged_one_is_kept_and_not_asked_for_again() -> None:
    asked: list[str] = []
    found = read(make_rows(12), {"key-4": Reason.TRUNCATED_FILE}, asked)
    assert [int(plane[0, 0]) for plane in found.acquired[0].array] == [0, 1, 2, 3, *range(5, 12)]
    assert len(asked) == len(set(asked)) == 12
    apart = {one.instance_key: one.reason for one in found.found.instances if one.reason is not None}
    assert apart == {"key-4": Reason.TRUNCATED_FILE}
    assert "missing_slices" in found.acquired[0].stack.flags


def test_flags_of_slices_come_through_a_second_sorting() -> None:
    found = read(make_rows(12), {"key-4": Reason.UNDECODABLE_PIXELS}, [], padding=(7, 7))
    assert found.acquired[0].flags == ("padding_replaced",)
    assert int((found.acquired[0].array == -1024).sum()) == 6


def test_two_stacks_are_two_volumes() -> None:
    rows = make_rows(4) + [
        {
            **each,
            "instance_key": f"key-{n + 4}",
            "file_key": f"file-{n + 4}",
            "image_orientation": [0.0, 1.0, 0.0, 0.0, 0.0, -1.0],
            "image_position_mm": [2.0 * n, 0.0, 0.0],
        }
        for n, each in enumerate(make_rows(4))
    ]
    found = read(rows, {}, [])
    assert [len(each.array) for each in found.acquired] == [4, 4]
    assert sorted({int(value) for each in found.acquired for value in each.array[:, 0, 0]}) == list(range(8))


def test_a_copy_under_another_name_is_dropped_and_a_different_image_is_refused() -> None:
    rows = make_rows(4)
    twin = {**rows[2], "instance_key": "key-9", "file_key": "file-9", "header_digest": "digest-9"}
    with pytest.raises(Rejected) as caught:
        read([*rows, twin], {}, [])
    assert caught.value.reason is Reason.REPEATED_POSITION
    copy = {**twin, "instance_key": "key-02"}  # holds 2 as well
    found = read([*rows, copy], {}, [])
    assert [int(plane[0, 0]) for plane in found.acquired[0].array] == [0, 1, 2, 3]
    assert found.acquired[0].flags == ("copies_dropped",)


def test_other_reasons_than_damage_and_too_much_damage_end_the_series() -> None:
    with pytest.raises(Rejected) as caught:
        read(make_rows(12), {"key-3": Reason.NOT_MONOCHROME}, [])
    assert caught.value.reason is Reason.NOT_MONOCHROME
    with pytest.raises(Rejected) as caught:
        read(make_rows(4), dict.fromkeys(("key-1", "key-2"), Reason.TRUNCATED_FILE), [])
    assert caught.value.reason is Reason.TRUNCATED_FILE
