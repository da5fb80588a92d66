"""Volumes resampled while they are read are those that are assembled first, and only what can be streamed is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from curate.dicom.assemble import Volume
from curate.dicom.frames import DecodedSlice
from curate.dicom.normalised import Normalisation, read_normalised
from curate.dicom.pixels import Damaged, read_pixels
from curate.dicom.series import Row, SortedSeries, sort_out
from curate.errors import Misconfigured, Rejected
from curate.geometry.streaming import SliceResampler
from curate.reasons import Reason
from tests.curate.dicom.test_series import row

ROWS, COLUMNS = 9, 7
MILLIMETRE = Normalisation((1.0, 1.0, 1.0), "radiological")


class Series:
    """Slices of noise, some of which cannot be decoded; counts what is asked for."""

    def __init__(self, rows: Sequence[dict[str, Any]], faults: dict[str, Reason] | None = None, **changes: Any) -> None:
        self.rows, self.faults, self.changes = rows, faults or {}, changes
        self.modality = str(rows[0]["modality"])
        self.asked: list[str] = []

    def sort(self, damaged: Damaged) -> SortedSeries:
        return sort_out(self.rows, modality=self.modality, damaged=damaged)

    def decode(self, one: Row, frames: Sequence[int]) -> list[DecodedSlice]:
        key = str(one["instance_key"])
        self.asked.append(key)
        if key in self.faults:
            raise Rejected(self.faults[key], "of this one")
        given: dict[str, Any] = {"slope": 1.0, "intercept": -1024.0, "photometric": "MONOCHROME2", "bits_stored": 12}
        number = int(key.removeprefix("key-"))
        pixels = np.random.default_rng(number).integers(0, 4096, (ROWS, COLUMNS)).astype(np.uint16)
        return [DecodedSlice(pixels, **(given | self.changes)) for _ in frames]

    def read(self, wanted: Normalisation) -> tuple[SortedSeries, list[Volume]]:
        return read_normalised(self.rows, self.sort, self.decode, self.modality, wanted)

    def assemble(self, wanted: Normalisation) -> list[Volume]:
        acquired = read_pixels(self.rows, self.sort, self.decode, self.modality).acquired
        return [
            one.normalise(wanted.spacing_mm, orientation=wanted.orientation, antialias=wanted.antialias)
            for one in acquired
        ]


def make_rows(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [row(n, rows=ROWS, columns=COLUMNS, size_bytes=2000, **changes) for n in range(count)]


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many slices went through the resampler of slices."""
    slices: list[int] = []
    given = SliceResampler.slice

    def counted(self: SliceResampler, k: int) -> np.ndarray:
        slices.append(k)
        return given(self, k)

    monkeypatch.setattr(SliceResampler, "slice", counted)
    return slices


@pytest.mark.parametrize(
    "wanted",
    [
        MILLIMETRE,
        Normalisation((1.0, 1.0, 1.0), "SPL", antialias=False),
        Normalisation((None, None, 2.0), None),
        Normalisation((0.7, None, None), "RAS"),
    ],
)
@pytest.mark.parametrize("changes", [{}, {"slope": 1.5}, {"padding": (0, 900)}])
def test_the_voxels_the_grid_and_the_flags_are_those_of_the_assembled_stack(
    wanted: Normalisation, changes: dict[str, Any], streamed: list[int]
) -> None:
    rows = make_rows(20)
    series = Series([rows[n] for n in np.random.default_rng(1).permutation(20)], **changes)
    found, (volume,) = series.read(wanted)
    assert streamed == list(range(20))
    (expected,) = series.assemble(wanted)
    np.testing.assert_array_equal(volume.array, expected.array)
    np.testing.assert_array_equal(volume.grid.affine, expected.grid.affine)
    assert (volume.flags, volume.units, volume.modality) == (expected.flags, expected.units, expected.modality)
    assert {one.reason for one in found.instances} == {None}


def test_every_image_is_decoded_once(streamed: list[int]) -> None:
    series = Series(make_rows(12))
    series.read(MILLIMETRE)
    assert sorted(series.asked) == sorted(f"key-{n}" for n in range(12))


def test_a_damaged_slice_is_missing_and_the_rest_goes_on() -> None:
    series = Series(make_rows(12), {"key-5": Reason.UNDECODABLE_PIXELS})
    found, (volume,) = series.read(MILLIMETRE)
    (expected,) = series.assemble(MILLIMETRE)
    np.testing.assert_array_equal(volume.array, expected.array)
    assert "missing_slices" in volume.stack.flags
    apart = {one.instance_key: one.reason for one in found.instances if one.reason is not None}
    assert apart == {"key-5": Reason.UNDECODABLE_PIXELS}


def test_too_many_damaged_slices_reject_the_series() -> None:
    faults = dict.fromkeys((f"key-{n}" for n in range(6)), Reason.TRUNCATED_FILE)
    with pytest.raises(Rejected) as caught:
        Series(make_rows(12), faults).read(MILLIMETRE)
    assert caught.value.reason is Reason.TRUNCATED_FILE


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        (make_rows(12), Normalisation()),  # nothing to resample
        (make_rows(12), Normalisation((1.0, 1.0, 1.0), threads=2)),
        ([one for n, one in enumerate(make_rows(12)) if n != 4], MILLIMETRE),  # a gap
    ],
)
def test_what_needs_the_whole_stack_is_assembled(
    rows: list[dict[str, Any]], wanted: Normalisation, streamed: list[int]
) -> None:
    series = Series(rows)
    _, (volume,) = series.read(wanted)
    assert streamed == []
    (expected,) = series.assemble(wanted)
    np.testing.assert_array_equal(volume.array, expected.array)


@pytest.mark.parametrize("changes", [{"slope": None}, {"slope": 0.0}])
def test_ct_without_its_scale_is_rejected_as_when_it_is_assembled(changes: dict[str, Any]) -> None:
    series = Series(make_rows(12), **changes)
    with pytest.raises(Rejected) as streaming:
        series.read(MILLIMETRE)
    with pytest.raises(Rejected) as assembling:
        series.assemble(MILLIMETRE)
    assert streaming.value.reason is assembling.value.reason is Reason.MISSING_RESCALE


def test_a_spacing_that_is_none_is_refused_before_anything_is_decoded() -> None:
    series = Series(make_rows(12))
    with pytest.raises(Misconfigured, match="spacing"):
        series.read(Normalisation((-1.0, 1.0, 1.0)))
    assert series.asked == []
