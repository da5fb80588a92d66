"""Frames of multi-frame headers, built by pydicom; positions against points of an oblique plane that is known."""

from __future__ import annotations

import random
import zlib
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from curate.dicom import functional_groups
from curate.dicom.encoding import find_encoding
from curate.dicom.functional_groups import MULTIFRAME_CLASSES, read_frames
from curate.dicom.headers import read_header
from curate.dicom.mosaic import _read_csa
from curate.errors import Rejected
from curate.reasons import Reason
from tests.support.dicom_files import MR_IMAGE, encode, make_dataset
from tests.support.multiframe import (
    ENHANCED_CT,
    ENHANCED_MR,
    csa,
    ct,
    enhanced,
    groups,
    item,
    measures,
    mosaic,
    normal_of,
    oblique,
    plane,
)

LEGACY_CT, LEGACY_MR = "1.2.840.10008.5.1.4.1.1.2.2", "1.2.840.10008.5.1.4.1.1.4.4"
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
NUMBERS = np.random.default_rng(0)


def read(raw: bytes) -> Any:
    row = read_header(raw, len(raw))
    assert row["reason"] is None
    end = row["header_bytes"]
    assert isinstance(end, int)
    return read_frames(raw[:end], row)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_frames_of_an_enhanced_ct_have_their_own_place_and_rescale_in_any_order(syntax: str) -> None:
    turned, order = oblique(), random.Random(1).sample(range(9), 9)
    found = read(encode(ct(order, turned), syntax))
    assert [frame["frame"] for frame in found] == list(range(9))
    assert [frame["instance_number"] for frame in found] == list(range(1, 10))
    for frame, k in zip(found, order, strict=True):
        np.testing.assert_allclose(frame["image_position_mm"], [-30, 20, 5] + 2.5 * k * turned[:, 2], atol=1e-6)
        np.testing.assert_allclose(np.reshape(frame["image_orientation"], (2, 3)), turned[:, :2].T, atol=1e-9)
        assert (frame["pixel_spacing_mm"], frame["slice_thickness_mm"]) == ([0.7, 0.6], 2.5)
        assert (frame["rescale_slope"], frame["rescale_intercept"]) == (1 + k / 8, -1000 - k)
        assert frame["tile"] is None
        assert frame["kind"] == {"stack_id": "1"}


def test_what_a_frame_says_itself_goes_before_what_all_share() -> None:
    shared = groups(PixelMeasures=measures(), PlanePosition=plane([1, 2, 3]))
    frames = [groups(PixelMeasures=item(PixelSpacing=[9, 8], SliceThickness=7)), Dataset()]
    own, common = read(encode(enhanced(shared, frames)))
    assert (own["pixel_spacing_mm"], own["slice_thickness_mm"]) == ([9, 8], 7)
    assert (common["pixel_spacing_mm"], common["slice_thickness_mm"]) == ([0.7, 0.6], 2.5)
    assert own["image_position_mm"] == common["image_position_mm"] == [1, 2, 3]


def test_frames_of_an_enhanced_mr_at_one_place_are_told_apart() -> None:
    def frame(echo: float, b: float, moment: int, word: str) -> Dataset:
        direction = item(DiffusionGradientOrientation=[0.0, 0.6, 0.8])
        diffusion = item(DiffusionBValue=b, DiffusionDirectionality="DIRECTIONAL")
        diffusion.DiffusionGradientDirectionSequence = Sequence([direction])
        return groups(
            MREcho=item(EffectiveEchoTime=echo),
            MRDiffusion=diffusion,
            FrameContent=item(TemporalPositionIndex=moment),
            MRImageFrameType=item(FrameType=["ORIGINAL", "PRIMARY", "DIFFUSION", "NONE"], ComplexImageComponent=word),
            CardiacSynchronization=item(NominalCardiacTriggerDelayTime=12.5),
            MRTimingAndRelatedParameters=item(FlipAngle=8),
            MRModifier=item(InversionTimes=[150.0]),
        )

    frames = [frame(2.5, 0, 1, "MAGNITUDE"), frame(5, 800, 2, "PHASE")]
    first, second = (each["kind"] for each in read(encode(enhanced(Dataset(), frames, ENHANCED_MR))))
    assert first == {
        "echo_time_ms": "2.5",
        "b_value": "0.0",
        "diffusion_direction": "0.0\\0.6\\0.8",
        "temporal_position": "1.0",
        "trigger_time_ms": "12.5",
        "inversion_time_ms": "150.0",
        "flip_angle_deg": "8.0",
        "image_type": "ORIGINAL\\PRIMARY\\DIFFUSION\\NONE",
        "complex_component": "MAGNITUDE",
        "diffusion_directionality": "DIRECTIONAL",
    }
    assert {name for name in first if first[name] != second[name]} == {
        *("echo_time_ms", "b_value", "temporal_position", "complex_component")
    }


def test_kernels_of_an_enhanced_ct_and_attributes_of_converted_objects_are_found() -> None:
    kernels = [groups(CTReconstruction=item(ConvolutionKernel=word)) for word in ("BONE", "SOFT")]
    assert [f["kind"]["convolution_kernel"] for f in read(encode(enhanced(Dataset(), kernels)))] == ["BONE", "SOFT"]
    converted = [
        groups(UnassignedPerFrameConvertedAttributes=item(EchoTime=echo, ImageType=["ORIGINAL", "PRIMARY", "M"]))
        for echo in (10, 20)
    ]
    shared = groups(UnassignedSharedConvertedAttributes=item(FlipAngle=90))
    found = [frame["kind"] for frame in read(encode(enhanced(shared, converted, LEGACY_MR)))]
    assert [kind["echo_time_ms"] for kind in found] == ["10.0", "20.0"]
    assert {(kind["flip_angle_deg"], kind["image_type"]) for kind in found} == {("90.0", "ORIGINAL\\PRIMARY\\M")}


def test_a_frame_without_geometry_has_none_and_the_others_have_theirs() -> None:
    frames = [groups(PlanePosition=plane([1, 2, 3])), groups(PlanePosition=item()), Dataset()]
    frames.append(groups(PlanePosition=item(ImagePositionPatient=[1, 2])))
    found = read(encode(enhanced(groups(PixelMeasures=measures()), frames, LEGACY_CT)))
    assert [frame["image_position_mm"] for frame in found] == [[1, 2, 3], None, None, None]
    assert {frame["image_orientation"] for frame in found} == {None}


@pytest.mark.parametrize("word", ["nan", "1e999", "ab"])
def test_what_is_no_finite_number_is_none(word: str) -> None:
    raw = encode(ct([0, 1], np.eye(3)))
    held = b"1.125 "  # the slope of the second frame
    assert raw.count(held) == 1
    first, second = read(raw.replace(held, word.encode().ljust(6)))
    assert (first["rescale_slope"], second["rescale_slope"], second["rescale_intercept"]) == (1, None, -1001)


def test_an_ordinary_object_has_no_frames() -> None:
    assert read(encode(make_dataset(np.zeros((4, 5), np.uint16)))) is None
    several = make_dataset(np.zeros((4, 5), np.uint16), NumberOfFrames=2)
    several.PixelData = bytes(80)
    assert read(encode(several)) is None


def test_an_enhanced_object_without_functional_groups_has_no_frames() -> None:
    bare = make_dataset(np.zeros((4, 5), np.uint16), SOPClassUID=ENHANCED_CT, NumberOfFrames=1)
    assert read(encode(bare)) is None


def test_the_one_frame_of_an_enhanced_object_may_be_described_by_what_is_shared() -> None:
    dataset = enhanced(groups(PlanePosition=plane([1, 2, 3])), [Dataset()])
    del dataset.PerFrameFunctionalGroupsSequence
    (frame,) = read(encode(dataset))
    assert frame["image_position_mm"] == [1, 2, 3]


def numbers(dataset: Dataset) -> list[int | None]:
    return [frame["instance_number"] for frame in read(encode(dataset))]


def test_a_label_calls_a_frame_by_its_number_and_an_object_of_one_frame_by_its_own() -> None:
    """Else every object of a series of single frames would be number 1, and no label could tell them apart."""
    places = [groups(PlanePosition=plane([0, 0, k])) for k in range(3)]
    assert numbers(enhanced(groups(PixelMeasures=measures()), places, InstanceNumber=7)) == [1, 2, 3]
    assert numbers(enhanced(groups(PixelMeasures=measures()), places[:1], InstanceNumber=7)) == [7]
    assert numbers(enhanced(groups(PixelMeasures=measures()), places[:1], InstanceNumber=None)) == [None]


@pytest.mark.parametrize("count", [1, 3])
def test_frames_are_counted_on_through_a_concatenation(count: int) -> None:
    places = [groups(PlanePosition=plane([0, 0, k])) for k in range(count)]
    part = enhanced(groups(PixelMeasures=measures()), places, InstanceNumber=2, ConcatenationFrameOffsetNumber=40)
    assert numbers(part) == [41, 42, 43][:count]


@pytest.mark.parametrize("count", [1, 3, 60_000])
def test_frames_that_are_not_as_many_as_described_are_refused(count: int) -> None:
    raw = encode(enhanced(groups(PixelMeasures=measures()), [Dataset(), Dataset()], NumberOfFrames=count))
    with pytest.raises(Rejected) as caught:
        read(raw)
    assert caught.value.reason == Reason.IMPLAUSIBLE_HEADER


def test_more_frames_or_bytes_than_the_limits_are_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(head: bytes) -> Dataset:
        raise AssertionError

    raw = encode(enhanced(Dataset(), [Dataset()], NumberOfFrames=65_537))
    with monkeypatch.context() as patch:
        patch.setattr(functional_groups, "_parse", fail)
        with pytest.raises(Rejected) as caught:
            read(raw)
    assert caught.value.reason == Reason.UNREADABLE_HEADER
    monkeypatch.setattr(functional_groups, "MAXIMUM_HEADER_BYTES", 100)
    with pytest.raises(Rejected):
        read(encode(ct([0, 1], np.eye(3))))


def test_a_deflated_header_that_explodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = encode(ct([0, 1], np.eye(3)), DeflatedExplicitVRLittleEndian)
    row = read_header(raw, len(raw))
    at = find_encoding(raw).offset
    press = zlib.compressobj(9, zlib.DEFLATED, -15)
    monkeypatch.setattr(functional_groups, "MAXIMUM_HEADER_BYTES", 2**17)
    with pytest.raises(Rejected) as caught:
        read_frames(raw[:at] + press.compress(bytes(2**21)) + press.flush(), row)
    assert caught.value.reason == Reason.SUSPICIOUS_COMPRESSION


def test_nesting_without_end_and_damage_are_refused_or_read_but_never_crash() -> None:
    level = b"\x20\x00\x13\x91SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    row = {"sop_class_uid": ENHANCED_CT, "number_of_frames": 2}
    with pytest.raises(Rejected) as caught:
        read_frames(bytes(128) + b"DICM" + level * 5000, row)
    assert caught.value.reason == Reason.UNREADABLE_HEADER
    whole, outcomes = encode(ct([0, 1, 2], oblique())), set()
    for number in range(600):
        chance, content = random.Random(number), bytearray(whole)
        for _ in range(3):
            content[chance.randrange(132, len(content))] = chance.choice((0, 255, chance.randrange(256)))
        try:
            outcomes.add(type(read_frames(bytes(content), {**row, "number_of_frames": 3})))
        except Rejected as rejection:
            outcomes.add(rejection.reason)
    assert {list, Reason.UNREADABLE_HEADER} <= outcomes


def test_no_message_says_what_a_header_says(recwarn: pytest.WarningsRecorder) -> None:
    dataset = ct([0, 1], np.eye(3))
    dataset.PatientName, dataset.PerFrameFunctionalGroupsSequence[0].FrameComments = "DOE^JANE", "DOE"
    raw = encode(dataset).replace(b"1.125 ", b"JANE  ")
    read(raw)
    assert len(recwarn) == 0


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("count", [1, 5, 9])
def test_tiles_of_a_mosaic_lie_where_their_slices_lay(syntax: str, count: int) -> None:
    turned = oblique()
    found = read(encode(mosaic(turned, count), syntax))
    assert [frame["frame"] for frame in found] == list(range(count))
    side = {1: 1, 5: 3, 9: 3}[count]
    for n, frame in enumerate(found):
        np.testing.assert_allclose(frame["image_position_mm"], [-30, 20, 5] + 3 * n * turned[:, 2], atol=1e-6)
        assert frame["tile"] == [n // side * 4, n % side * 5, 4, 5]
        assert frame["pixel_spacing_mm"] == [0.7, 0.6]
        assert (frame["slice_thickness_mm"], frame["rescale_slope"], frame["instance_number"]) == (2, None, n + 1)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_order_of_the_tiles_is_that_of_the_csa_normal(version: int, sign: int) -> None:
    turned = oblique()
    found = read(encode(mosaic(turned, 4, csa=normal_of(sign * turned[:, 2], version))))
    for n, frame in enumerate(found):
        np.testing.assert_allclose(frame["image_position_mm"], [-30, 20, 5] + sign * 3 * n * turned[:, 2], atol=1e-6)


@pytest.mark.parametrize(
    "changes",
    [
        {"tiles": 0},
        {"tiles": 60_000},
        {"tiles": 26},  # six tiles a side: 24 rows are no 12
        {"SpacingBetweenSlices": None},
        {"ImagePositionPatient": None},
        {"PixelSpacing": None},
        {"csa": normal_of(np.array([1.0, 0, 0]))},  # not the normal of these directions
    ],
)
def test_a_mosaic_whose_tiles_cannot_be_placed_is_one_frame_without_a_place(changes: dict[str, Any]) -> None:
    (frame,) = read(encode(mosaic(oblique(), 9, **changes)))
    assert (frame["image_position_mm"], frame["tile"], frame["frame"]) == (None, None, 0)


def test_a_csa_header_that_is_cut_or_lies_gives_what_stands_before_and_no_more() -> None:
    whole = {"Other": ["1", "2"], "SliceNormalVector": ["0", "0", "1"]}
    for version in (1, 2):
        content = csa(version, whole)
        assert _read_csa(content) == whole
        found = [_read_csa(content[:end]) for end in range(len(content))]
        assert all(set(each) <= set(whole) for each in found)
        assert {"Other": ["1", "2"]} in found
        for number in range(300):
            chance, changed = random.Random(number), bytearray(content)
            changed[chance.randrange(len(changed))] = chance.choice((0, 127, 255))
            _read_csa(bytes(changed))
    assert _read_csa(b"") == _read_csa("text") == _read_csa(None) == {}
    assert [*_read_csa(b"SV10" + b"\xff" * 400).values()] == [[]]  # counts below zero


def test_a_mosaic_is_a_class_by_its_image_type_and_only_single_framed() -> None:
    assert MR_IMAGE not in MULTIFRAME_CLASSES
    dataset = mosaic(np.eye(3), 4, ImageType=["ORIGINAL", "PRIMARY", "M"])
    assert read(encode(dataset)) is None
