"""The pixel step on whole files: bit-identical when nothing is wrong, else blanked, rewritten or refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    MPEG2MPML,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from curate.deid.engine import deidentify_bytes
from curate.deid.pixels.clean import clean_pixels
from curate.deid.pixels.regions import Box
from curate.deid.pseudonyms import Keyed
from curate.errors import Quarantined, Rejected
from curate.reasons import Reason
from tests.support.deid_files import KEY, encode, item, make_ct
from tests.support.pixel_files import (
    BASIC,
    CLEANING,
    ScriptedFinder,
    clean_file,
    header_of,
    make_file,
    make_image,
    read,
    written,
)

US = {"Modality": "US"}
BOX = Box(2, 4, 8, 24)
COMMENT = b"\xff\xfe\0\x0bQuixotova"


def bytes_of(name: str) -> bytes:
    with open(str(get_testdata_file(name)), "rb") as stream:
        return stream.read()


def grain(*shape: int, dtype: str = "u1") -> NDArray[np.generic]:
    return np.random.default_rng(11).integers(10, 200, shape).astype(dtype)


def quarantined(raw: bytes, profile: object = BASIC, finder: object = None) -> Quarantined:
    with pytest.raises(Quarantined) as caught:
        clean_file(raw, profile, finder)  # type: ignore[arg-type]
    return caught.value


def test_an_object_without_pixels_passes_as_it_is() -> None:
    dataset = make_ct(SeriesDescription="Dose Report", Modality="SR")
    del dataset.PixelData
    outcome = clean_pixels(header_of(encode(dataset)), BASIC)
    assert (dict(outcome.replaced), outcome.removed, outcome.transfer_syntax_uid) == ({}, frozenset(), None)


def test_an_ordinary_slice_is_neither_searched_nor_changed() -> None:
    finder = ScriptedFinder()
    raw = encode(make_ct())
    for profile in (BASIC, CLEANING):
        after, outcome = clean_file(raw, profile, finder)
        assert read(after).PixelData == make_ct().PixelData
        assert 0x7FE00010 not in outcome.replaced
        assert outcome.blanked == outcome.flags == ()
    assert finder.seen == []


def test_cleaning_says_so_and_not_cleaning_does_not() -> None:
    raw = encode(make_ct())
    assert read(clean_file(raw, CLEANING)[0]).BurnedInAnnotation == "NO"
    assert "BurnedInAnnotation" not in read(clean_file(raw, BASIC)[0])


@pytest.mark.parametrize(
    "changes", [{"BurnedInAnnotation": "YES"}, US, {"SeriesDescription": "Dose Report"}, {"ConversionType": "WSD"}]
)
def test_without_cleaning_what_scores_high_is_put_aside_and_the_signals_are_named(changes: dict[str, object]) -> None:
    error = quarantined(encode(make_ct(**changes)))
    assert error.reason is Reason.BURNED_IN_ANNOTATION
    assert error.detail.replace("_", "").isalpha()


def test_without_cleaning_a_radiograph_passes_with_a_flag() -> None:
    _, outcome = clean_file(encode(make_ct(Modality="DX")), BASIC)
    assert outcome.flags == ("plate_modality",)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("bits", [8, 16])
def test_boxes_are_blanked_in_every_native_syntax(syntax: str, bits: int) -> None:
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    pixels = grain(20, 30, dtype=f"{order}u{bits // 8}")
    after, outcome = clean_file(encode(make_image(pixels, **US), syntax), CLEANING, ScriptedFinder([[BOX]]))
    result = read(after)
    wanted = pixels.copy()
    wanted[2:8, 4:24] = pixels.min()
    assert result.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(result.pixel_array, wanted)
    assert outcome.blanked == (("text", *BOX),)
    assert outcome.counts["pixels: boxes blanked (text)"] == 1


def test_big_endian_words_of_odd_8_bit_images_keep_their_last_pixel() -> None:
    raw = bytes_of("SC_rgb_small_odd_big_endian.dcm")
    after, _ = clean_file(raw, CLEANING, ScriptedFinder())
    assert np.array_equal(read(after).pixel_array, read(raw).pixel_array)


def test_monochrome1_is_blanked_to_what_shows_black() -> None:
    pixels = grain(20, 30)
    after, _ = clean_file(make_file(pixels, "MONOCHROME1", **US), CLEANING, ScriptedFinder([[BOX]]))
    assert (read(after).pixel_array[2:8, 4:24] == pixels.max()).all()


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_is_blanked_by_pixel_and_by_plane(planar: int) -> None:
    pixels = grain(2, 20, 30, 3)
    stored = pixels.transpose(0, 3, 1, 2) if planar else pixels
    dataset = make_image(pixels, "RGB", **US)
    dataset.PlanarConfiguration = planar
    dataset.PixelData = np.ascontiguousarray(stored).tobytes()
    after, _ = clean_file(encode(dataset), CLEANING, ScriptedFinder([[], [BOX]]))
    wanted = pixels.copy()
    wanted[:, 2:8, 4:24] = 0
    assert read(after).PlanarConfiguration == planar
    assert np.array_equal(read(after).pixel_array, wanted)


@pytest.mark.parametrize(
    "name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "SC_rgb_jpeg_gdcm.dcm"]
)
def test_compressed_images_that_are_blanked_are_written_native(name: str) -> None:
    raw = bytes_of(name)
    after, outcome = clean_file(raw, CLEANING, ScriptedFinder([[BOX]]))
    result, before = read(after), read(raw).pixel_array
    wanted = before.copy()
    wanted[2:8, 4:24] = 0 if before.ndim == 3 else before.min()
    assert result.file_meta.TransferSyntaxUID == outcome.transfer_syntax_uid == ExplicitVRLittleEndian
    assert np.array_equal(result.pixel_array, wanted)
    if before.ndim == 3:
        assert (result.PhotometricInterpretation, result.PlanarConfiguration) == ("RGB", 0)
    assert outcome.counts["pixels: decoded and written without compression"] == 1


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "examples_ybr_color.dcm"])
def test_compressed_images_without_text_stay_bit_for_bit(name: str) -> None:
    raw = bytes_of(name)
    after, outcome = clean_file(raw, CLEANING, ScriptedFinder())
    assert read(after).PixelData == read(raw).PixelData
    assert outcome.transfer_syntax_uid is None


def with_frames(name: str, frames: list[bytes], *, extended: bool = False) -> Dataset:
    dataset = read(bytes_of(name))
    if extended:
        dataset.PixelData, dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = encapsulate_extended(
            frames
        )
    else:
        dataset.PixelData = encapsulate(frames, has_bot=True)
    return dataset


def save(dataset: Dataset) -> bytes:
    return encode(dataset, dataset.file_meta.TransferSyntaxUID)


@pytest.mark.parametrize("extended", [False, True])
def test_comments_are_cut_and_offset_tables_follow(extended: bool) -> None:
    source = read(bytes_of("examples_ybr_color.dcm"))
    frames = list(generate_frames(source.PixelData, number_of_frames=30))
    hidden = [frame[:2] + COMMENT + frame[2:] if number % 2 else frame for number, frame in enumerate(frames)]
    raw = save(with_frames("examples_ybr_color.dcm", hidden, extended=extended))
    after, outcome = clean_file(raw, CLEANING, ScriptedFinder())
    result = read(after)
    assert b"Quixotova" not in after
    assert outcome.counts["pixels: comments cut from compressed frames"] == 1
    tables = (result.ExtendedOffsetTable, result.ExtendedOffsetTableLengths) if extended else None
    found = list(generate_frames(result.PixelData, number_of_frames=30, extended_offsets=tables))
    assert [frame.rstrip(b"\0") for frame in found] == [frame.rstrip(b"\0") for frame in frames]


def test_an_extended_offset_table_that_says_something_else_is_refused() -> None:
    source = read(bytes_of("examples_ybr_color.dcm"))
    frames = list(generate_frames(source.PixelData, number_of_frames=30))
    dataset = with_frames("examples_ybr_color.dcm", frames, extended=True)
    dataset.ExtendedOffsetTable = b"Quixotov" * 30
    assert quarantined(save(dataset), CLEANING, ScriptedFinder()).reason is Reason.DEIDENTIFICATION_FAILED


def test_offset_tables_of_native_pixels_go() -> None:
    raw = encode(make_ct(ExtendedOffsetTable=b"Zanzibar"))
    assert b"Zanzibar" in raw
    assert b"Zanzibar" not in clean_file(raw, BASIC)[0]


def test_colour_profiles_go() -> None:
    raw = encode(make_ct(ICCProfile=b"desc Zanzibar "))
    assert b"Zanzibar" not in clean_file(raw, BASIC)[0]


def test_hidden_bits_of_compressed_pixels_are_cleared_natively() -> None:
    dataset = make_ct(BitsStored=16, HighBit=15)
    clean = np.frombuffer(dataset.PixelData, "<u2")
    dataset.PixelData = (clean | 0x8000).astype("<u2").tobytes()
    dataset.file_meta = read(encode(make_ct())).file_meta
    dataset.compress(RLELossless)
    dataset.BitsStored, dataset.HighBit = 12, 11
    after, outcome = clean_file(encode(dataset, RLELossless), BASIC)
    assert outcome.transfer_syntax_uid == ExplicitVRLittleEndian
    assert read(after).PixelData == clean.tobytes()


@pytest.mark.parametrize(
    ("dataset", "syntax"),
    [(make_ct(), MPEG2MPML), (make_ct(), JPEGBaseline8Bit), (make_ct(), JPEG2000Lossless)],
)
def test_pixels_that_cannot_be_shown_clean_are_refused(dataset: Dataset, syntax: str) -> None:
    dataset.PixelData = encapsulate([b"Quixotova^Almudena"])
    dataset["PixelData"].is_undefined_length = True
    assert quarantined(encode(dataset, syntax)).reason is Reason.DEIDENTIFICATION_FAILED


def test_fragments_under_a_native_syntax_are_refused() -> None:
    raw = encode(make_ct())
    head = raw.index(b"\xe0\x7f\x10\0OW")
    fragments = b"\xe0\x7f\x10\0OB\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    assert quarantined(raw[:head] + fragments).reason is Reason.DEIDENTIFICATION_FAILED


def test_missing_pixels_are_truncated() -> None:
    with pytest.raises(Rejected) as caught:
        clean_file(encode(make_ct(Rows=5)), BASIC)
    assert caught.value.reason is Reason.TRUNCATED_FILE


def test_unused_bits_and_trailing_bytes_are_counted() -> None:
    dataset = make_ct()
    dataset.PixelData = (np.frombuffer(dataset.PixelData, "<u2") | 0x4000).tobytes() + b"Quixotova "
    _, outcome = clean_file(encode(dataset), BASIC)
    assert outcome.counts == {"pixels: unused bits cleared": 1, "pixels: bytes after the last pixel cut": 1}


def test_floating_pixels_of_a_flagged_object_are_refused() -> None:
    dataset = make_ct(Modality="US", BitsAllocated=32, BitsStored=32, HighBit=31)
    del dataset.PixelData
    dataset.FloatPixelData = np.zeros(24, "<f4").tobytes()
    assert quarantined(encode(dataset), CLEANING, ScriptedFinder()).reason is Reason.DEIDENTIFICATION_FAILED


def test_real_text_in_a_capture_of_two_frames_is_gone() -> None:
    pixels = np.stack([written((200, 320), []), written((200, 320), [(12, 10, "QUIXOTOVA 1959")])])
    raw = make_file(pixels, SOPClassUID=SecondaryCaptureImageStorage, ConversionType="WSD")
    after, outcome = clean_file(raw, CLEANING)
    result = read(after).pixel_array
    assert result[:, 12:28, 10:120].max() <= result[0].max()
    assert result[1].max() < 120  # the letters were 255
    assert np.array_equal(result[:, 60:], pixels[:, 60:])
    assert {cause for cause, *_ in outcome.blanked} == {"text"}


def test_the_engine_writes_what_the_pixel_step_says() -> None:
    mask = written((128, 256), [(40, 20, "QUIXOTOVA")]) > 200
    pixels = np.where(mask, 4095, grain(128, 256, dtype="<u2")).astype("<u2")
    dataset = make_image(pixels, "MONOCHROME1", BurnedInAnnotation="YES")
    done = deidentify_bytes(encode(dataset), CLEANING, Keyed(KEY))
    result = read(done.content)
    assert result.BurnedInAnnotation == "NO"
    assert done.audit.flags == ("burned_in",)
    assert done.audit.blanked
    assert "113101" in [row.CodeValue for row in result.DeidentificationMethodCodeSequence]
    box = result.pixel_array[40:58, 20:100]
    assert np.ptp(box.astype(int)[4:12, 4:60]) == 0


def test_equal_files_give_equal_bytes() -> None:
    raw = make_file(written((200, 320), [(12, 10, "QUIXOTOVA 1959")]), **US)
    assert clean_file(raw, CLEANING)[0] == clean_file(raw, CLEANING)[0]


def test_a_finder_sees_every_frame_and_those_with_text_again() -> None:
    finder = ScriptedFinder([[], [], [], [BOX]])
    after, _ = clean_file(make_file(grain(4, 20, 30), **US), CLEANING, finder)
    assert len(finder.seen) == 5
    assert np.ptp(read(after).pixel_array[0, 2:8, 4:24]) == 0


def test_sequences_of_regions_are_honoured_in_files() -> None:
    dataset = make_image(grain(20, 30), **US)
    corners = {"MinX0": 0, "MinY0": 8, "MaxX1": 29, "MaxY1": 19}
    dataset.SequenceOfUltrasoundRegions = [item(**{f"RegionLocation{key}": value for key, value in corners.items()})]
    _, outcome = clean_file(encode(dataset), CLEANING, ScriptedFinder())
    assert outcome.blanked == (("outside_ultrasound_regions", 0, 0, 8, 30),)
