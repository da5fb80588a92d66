from __future__ import annotations

import contextlib
import zlib

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from curate.dicom import elements
from curate.dicom.elements import read_elements
from curate.dicom.encoding import find_encoding
from curate.errors import Rejected
from tests.support.dicom_files import encode, make_dataset, make_file

ROWS, MODALITY_LUT, PATIENT_ID = 0x00280010, 0x00283000, 0x00100020
PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_wanted_values_and_the_place_of_the_pixels_are_found(syntax: str) -> None:
    found = read_elements(make_file(PIXELS, syntax=syntax), [ROWS, PATIENT_ID])
    assert found.values[ROWS].value == b"\x03\x00"
    assert found.values[PATIENT_ID].value.strip() == b"patient-1"
    assert found.is_complete
    assert found.pixels is not None
    assert found.pixels.length == PIXELS.nbytes
    assert found.body[found.pixels.start :][: PIXELS.nbytes] == PIXELS.tobytes()
    assert found.body[found.pixels.header_start :][:4] == b"\xe0\x7f\x10\x00"


def test_a_value_inside_a_sequence_is_not_taken_for_one_of_the_image() -> None:
    inner = Dataset()
    inner.PatientID = "somebody else"
    dataset = make_dataset(PIXELS)
    dataset.ReferencedImageSequence = [inner]
    dataset["ReferencedImageSequence"].is_undefined_length = True
    found = read_elements(encode(dataset), [PATIENT_ID])
    assert found.values[PATIENT_ID].value.strip() == b"patient-1"


def test_a_wanted_sequence_is_seen_with_defined_and_undefined_length() -> None:
    lut = Dataset()
    lut.LUTDescriptor = [1, 0, 16]
    for is_undefined in (True, False):
        dataset = make_dataset(PIXELS)
        dataset.ModalityLUTSequence = [lut]
        dataset["ModalityLUTSequence"].is_undefined_length = is_undefined
        assert MODALITY_LUT in read_elements(encode(dataset), [MODALITY_LUT]).sequences


def test_every_cut_of_a_header_is_incomplete_and_none_raises() -> None:
    whole = make_file(PIXELS)
    end = read_elements(whole, [ROWS]).pixels
    assert end is not None
    first = 128 + 4 + 8 + 4 + int.from_bytes(whole[140:144], "little")  # past the file meta
    for length in range(first + 8, end.header_start + 8):
        cut = read_elements(whole[:length], [ROWS])
        assert cut.pixels is None, length
    assert read_elements(whole[: end.start], [ROWS]).is_complete


def test_a_length_that_lies_costs_nothing_and_is_incomplete() -> None:
    whole = make_file(PIXELS, PatientComments="x" * 20)
    at = whole.index(b"\x10\x00\x00\x40LT") + 6
    liar = whole[:at] + b"\xfe\xff" + whole[at + 2 :]
    found = read_elements(liar, [ROWS])
    assert not found.is_complete
    assert found.pixels is None


def test_deep_nesting_is_damage_and_not_a_crash() -> None:
    whole = make_file(PIXELS)
    pixels = read_elements(whole, []).pixels
    assert pixels is not None
    level = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    found = read_elements(whole[: pixels.header_start].split(b"\x10\x00\x20\x00")[0] + level * 20_000, [ROWS])
    assert not found.is_complete


def test_a_plain_deflated_file_is_walked_by_the_kernel_and_gives_what_pydicom_gives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw, wanted = make_file(PIXELS, syntax=DeflatedExplicitVRLittleEndian), [ROWS, PATIENT_ID]
    plain = elements._read_odd(raw, wanted)
    with monkeypatch.context() as patch:
        patch.delattr(elements, "_read_odd")
        assert read_elements(raw, wanted) == plain
    assert read_elements(raw[:-20], wanted) == elements._read_odd(raw[:-20], wanted)


def test_a_deflated_file_inside_a_deflated_file_is_inflated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    inflated: list[int] = []
    inflate = elements.inflate

    def count(content: bytes | memoryview) -> tuple[bytes, bool]:
        inflated.append(len(content))
        return inflate(content)

    monkeypatch.setattr(elements, "inflate", count)
    raw = make_file(PIXELS, syntax=DeflatedExplicitVRLittleEndian)
    meta = raw[: find_encoding(raw).offset]
    deflate = zlib.compressobj(wbits=-15)
    nested = meta + deflate.compress(raw) + deflate.flush()
    with contextlib.suppress(Rejected):
        assert read_elements(nested, [ROWS]).pixels is None
    assert len(inflated) <= 2  # by the kernel's reader, and by the one it leaves odd files to
