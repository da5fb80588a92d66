"""Files made by the encoder, read back by pydicom and by GDCM."""

from __future__ import annotations

import io
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from curate.phantoms.encoding import FileEncoder, text

SYNTAXES = [
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    DeflatedExplicitVRLittleEndian,
    JPEGLosslessSV1,
    RLELossless,
    ExplicitVRBigEndian,
    JPEGLossless,
    JPEGLSLossless,
    JPEG2000Lossless,
]


def pixels(kind: str, shape: tuple[int, int] = (21, 34)) -> np.ndarray:
    rng = np.random.default_rng(0)
    low, high = (-1024, 3071) if kind == "int16" else (0, 4095)
    return rng.integers(low, high, shape).astype(kind)


def header(array: np.ndarray) -> Dataset:
    shared = Dataset()
    shared.SpecificCharacterSet = "ISO_IR 192"
    shared.SOPClassUID, shared.PatientName = CTImageStorage, "Dąbrowski^Gabriela"
    shared.SamplesPerPixel, shared.PhotometricInterpretation = 1, "MONOCHROME2"
    shared.Rows, shared.Columns = array.shape
    shared.BitsAllocated, shared.BitsStored, shared.HighBit = 16, 16, 15
    shared.PixelRepresentation = int(array.dtype.kind == "i")
    item = Dataset()
    item.CodeMeaning = "Nested"
    shared.ProcedureCodeSequence = [item]
    return shared


def encode(array: np.ndarray, syntax: str, **options: object) -> bytes:
    encoder = FileEncoder(header(array), str(CTImageStorage), syntax, **options)  # type: ignore[arg-type]
    return encoder.encode("1.2.3", {0x00080018: ("UI", b"1.2.3"), 0x00200013: ("IS", text(7))}, array)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("kind", ["int16", "uint16"])
def test_pixels_come_back_bit_for_bit(syntax: str, kind: str) -> None:
    array = pixels(kind)
    read = pydicom.dcmread(io.BytesIO(encode(array, syntax)))
    assert read.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read.pixel_array, array)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_another_reader_agrees(syntax: str, tmp_path: Path) -> None:
    array = pixels("int16", (32, 48))
    (tmp_path / "one.dcm").write_bytes(encode(array, syntax))
    image = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "one.dcm")))
    np.testing.assert_array_equal(image[0], array)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_header_elements_keep_their_values_in_tag_order(syntax: str) -> None:
    read = pydicom.dcmread(io.BytesIO(encode(pixels("uint16"), syntax)))
    assert read.PatientName == "Dąbrowski^Gabriela"
    assert read.InstanceNumber == 7
    assert read.ProcedureCodeSequence[0].CodeMeaning == "Nested"
    tags = [int(element.tag) for element in read]
    assert tags == sorted(tags)


@pytest.mark.parametrize("kind", ["int16", "uint16"])
def test_htj2k_comes_back_bit_for_bit(kind: str) -> None:
    """Of the readers at hand only imagecodecs knows it."""
    array = pixels(kind)
    read = pydicom.dcmread(io.BytesIO(encode(array, HTJ2KLossless)))
    (frame,) = generate_frames(read.PixelData, number_of_frames=1)
    np.testing.assert_array_equal(imagecodecs.htj2k_decode(frame), array)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, JPEGLossless])
def test_several_frames_come_back_in_their_order(syntax: str) -> None:
    frames = np.stack([pixels("uint16") + n for n in range(3)])
    shared = header(frames[0])
    shared.NumberOfFrames = 3
    content = FileEncoder(shared, str(CTImageStorage), syntax).encode("1.2.3", {}, frames)
    np.testing.assert_array_equal(pydicom.dcmread(io.BytesIO(content)).pixel_array, frames)


def test_an_element_of_the_image_replaces_a_shared_one() -> None:
    array = pixels("uint16")
    encoder = FileEncoder(header(array), str(CTImageStorage), str(ExplicitVRLittleEndian))
    content = encoder.encode("1.2.3", {0x00100010: ("PN", b"Other")}, array)
    assert str(pydicom.dcmread(io.BytesIO(content)).PatientName) == "Other"


def test_meta_information_is_complete_and_its_length_true() -> None:
    content = encode(pixels("uint16"), ExplicitVRLittleEndian, title="SENDER", preamble=b"\7" * 128)
    assert content[:128] == b"\7" * 128
    meta = pydicom.dcmread(io.BytesIO(content)).file_meta
    assert meta.MediaStorageSOPInstanceUID == "1.2.3"
    assert meta.SourceApplicationEntityTitle == "SENDER"
    body = content[144 + meta.FileMetaInformationGroupLength :]
    assert body[:4] == b"\x08\x00\x05\x00"


def test_encoding_twice_gives_the_same_bytes() -> None:
    for syntax in SYNTAXES:
        assert encode(pixels("uint16"), syntax) == encode(pixels("uint16"), syntax)


def test_values_are_joined_by_backslashes() -> None:
    assert text("1", 2, "3.5") == b"1\\2\\3.5"
