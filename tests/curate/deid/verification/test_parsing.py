"""The verifier's own parser against pydicom and GDCM, and against bytes that break the rules."""

from __future__ import annotations

import struct
from collections import Counter
from io import BytesIO

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from curate.deid.verification.cross import disagreements
from curate.deid.verification.entries import PIXELS, Entry, flat
from curate.deid.verification.parsing import instance_in, parse_contents, series_in
from curate.errors import Rejected
from tests.support.deid_files import INSTANCE, SERIES, encode, insert_before_pixels, item, make_ct, raw_element

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)


def tags_by_pydicom(dataset: Dataset) -> Counter[int]:
    found: Counter[int] = Counter()
    for element in dataset:
        found[int(element.tag)] += 1
        for inner in element.value if element.VR == "SQ" else ():
            found += tags_by_pydicom(inner)
    return found


def entry_of(raw: bytes, tag: int) -> Entry:
    return next(entry for entry in parse_contents(raw).entries if entry.tag == tag)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_element_that_pydicom_sees_is_seen_in_every_encoding(syntax: str) -> None:
    raw = encode(make_ct(), syntax)
    parsed = parse_contents(raw)
    unknown = Counter({0x00100010: 1}) if syntax == ImplicitVRLittleEndian else Counter[int]()  # a private sequence
    assert parsed.transfer_syntax == syntax
    assert (
        Counter(entry.tag for entry in flat(parsed.entries)) == tags_by_pydicom(pydicom.dcmread(BytesIO(raw))) + unknown
    )
    assert parsed.trailing == 0


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_gdcm_reads_the_same(syntax: str) -> None:
    raw = encode(make_ct(PatientComments="J\xf6rg", WindowWidth=["1", "2"]), syntax)
    assert list(disagreements(raw, parse_contents(raw))) == []


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_numbers_come_out_little_endian(syntax: str) -> None:
    dataset = make_ct(Rows=4, FrameIncrementPointer=0x00540010)
    dataset.add_new(0x00186020, "SL", [-5, 70000])
    dataset.add_new(0x00189087, "FD", 1.5)
    raw = encode(dataset, syntax)
    assert entry_of(raw, 0x00280010).value == b"\x04\0"
    assert entry_of(raw, 0x00186020).value == struct.pack("<ll", -5, 70000)
    assert entry_of(raw, 0x00189087).value == struct.pack("<d", 1.5)
    assert entry_of(raw, 0x00280009).value == struct.pack("<HH", 0x0054, 0x0010)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_pixels_are_where_they_are(syntax: str) -> None:
    parsed = parse_contents(encode(make_ct(), syntax))
    assert parsed.pixels is not None
    assert parsed.dataset[slice(*parsed.pixels)] == (np.arange(24, dtype="<u2") * 100).tobytes()  # as pydicom puts them
    assert [entry.value for entry in parsed.entries if entry.tag in PIXELS] == [b""]


def test_encapsulated_pixels_reach_to_the_end_of_their_delimiter() -> None:
    dataset = make_ct(PixelData=encapsulate([b"one!", b"frame two!"]))
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    raw = encode(dataset, RLELossless)
    parsed = parse_contents(raw)
    assert parsed.pixels is not None
    assert parsed.pixels[1] == len(raw)
    assert raw[slice(*parsed.pixels)].endswith(b"frame two!\xfe\xff\xdd\xe0\0\0\0\0")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("is_open", [False, True])
def test_sequences_with_and_without_lengths_are_entered(syntax: str, is_open: bool) -> None:
    inner = item(ReferencedSOPInstanceUID="1.2.3")
    inner.is_undefined_length_sequence_item = is_open
    dataset = make_ct(ReferencedImageSequence=Sequence([inner, item()]))
    dataset["ReferencedImageSequence"].is_undefined_length = is_open
    found = entry_of(encode(dataset, syntax), 0x00081140)
    assert found.items is not None
    assert [len(items) for items in found.items] == [1, 0]
    assert found.items[0][0].value == b"1.2.3\0"


def test_an_unknown_vr_is_the_dictionarys() -> None:
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x0040A123, b"UN", b"Someone^Else"))
    assert entry_of(raw, 0x0040A123).vr == "PN"


def unknown_sequence(*, explicit: bool) -> bytes:
    length = struct.pack("<2sH", b"PN", 12) if explicit else struct.pack("<L", 12)
    inner = struct.pack("<HH", 0x0010, 0x0010) + length + b"Inner^Person"
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner


@pytest.mark.parametrize("explicit", [False, True])
@pytest.mark.parametrize("tag", [0x00400555, 0x00291077])
def test_a_sequence_written_as_unknown_bytes_is_entered(tag: int, explicit: bool) -> None:
    raw = insert_before_pixels(encode(make_ct()), raw_element(tag, b"UN", unknown_sequence(explicit=explicit)))
    found = entry_of(raw, tag)
    assert found.items is not None
    assert found.items[0][0].value == b"Inner^Person"


def test_private_bytes_that_only_begin_like_a_sequence_stay_bytes() -> None:
    value = b"\xfe\xff\0\xe0\xff\0\0\0much too short"
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x00291077, b"UN", value))
    assert entry_of(raw, 0x00291077) == Entry(0x00291077, "UN", value)


def test_what_follows_the_last_element_is_counted_or_refused() -> None:
    raw = encode(make_ct())
    assert parse_contents(raw + b"note", is_source=True).trailing == 4
    with pytest.raises(Rejected):
        parse_contents(raw + b"note")


CT = encode(make_ct())
ROWS = CT.index(b"\x28\0\x10\0US")
BROKEN = {
    "no meta": b"\x08\0\x05\0CS\0\0" * 30,
    "nothing but a mark": bytes(128) + b"DICM",
    "an end inside a header": CT[: ROWS + 5],
    "an end inside a value": CT[: ROWS + 9],
    "an end inside the pixels": CT[:-1],
    "a VR that does not exist": CT.replace(b"\x28\0\x10\0US", b"\x28\0\x10\0ZZ"),
    "text without a length": insert_before_pixels(CT, b"\x20\0\0\x40UT\0\0\xff\xff\xff\xff"),
    "a delimiter on its own": insert_before_pixels(CT, b"\xfe\xff\x0d\xe0\0\0\0\0"),
    "a sequence of no items": insert_before_pixels(CT, raw_element(0x00400555, b"SQ", b"no items")),
    "an item longer than its sequence": insert_before_pixels(
        CT, raw_element(0x00400555, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 99))
    ),
    "an item that ends inside an element": insert_before_pixels(
        CT, raw_element(0x00400555, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 8) + b"\x08\0\0\x01SH\x04\0")
    ),
    "a sequence without its end": insert_before_pixels(CT, b"\x40\0\x55\x05SQ\0\0\xff\xff\xff\xff"),
    "nested too deep": insert_before_pixels(
        CT, b"\x40\0\x55\x05SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 60
    ),
    "a deflated part that is none": encode(make_ct(), DeflatedExplicitVRLittleEndian)[:400] + b"\xff" * 40,
}


@pytest.mark.parametrize("name", BROKEN)
def test_bytes_that_break_the_rules_are_rejected(name: str) -> None:
    with pytest.raises(Rejected) as raised:
        parse_contents(BROKEN[name])
    assert "Quixotova" not in str(raised.value)


def test_no_beginning_of_a_file_is_taken_for_a_whole_one() -> None:
    for end in range(132, len(CT), 7):
        try:
            parsed = parse_contents(CT[:end])
        except Rejected:
            continue
        assert not parsed.has_pixels()


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_instance_is_named_by_the_data_set_or_its_meta_information(syntax: str) -> None:
    for dataset in (make_ct(), make_ct(SOPInstanceUID=None)):
        assert instance_in(encode(dataset, syntax)) == INSTANCE
    assert instance_in(encode(make_ct(), syntax)[:2000]) == INSTANCE
    assert instance_in(b"not dicom at all") == ""


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_the_series_is_read_from_the_beginning_of_a_file(syntax: str) -> None:
    raw = encode(make_ct(), syntax)
    assert series_in(raw) == SERIES
    assert series_in(encode(make_ct(SeriesInstanceUID=None), syntax)) == ""
    assert series_in(b"no object") == ""


def test_what_follows_deflated_bytes_counts_as_trailing_but_for_a_pad() -> None:
    raw = encode(make_ct(), DeflatedExplicitVRLittleEndian)
    assert parse_contents(raw + (b"\0" if len(raw) % 2 else b"")).trailing == 0
    assert parse_contents(raw.rstrip(b"\0") + b"more").trailing >= 4
    with pytest.raises(Rejected):
        parse_contents(raw[:-20])


def test_fragments_end_with_a_delimiter_of_no_length() -> None:
    raw = encode(make_ct(), ExplicitVRLittleEndian)
    dataset = pydicom.dcmread(BytesIO(raw))
    dataset.PixelData = encapsulate([b"\xff\xd8\xff\xd9"])
    dataset["PixelData"].is_undefined_length = True
    whole = encode(dataset, RLELossless)
    assert parse_contents(whole).trailing == 0
    assert whole.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    with pytest.raises(Rejected):
        parse_contents(whole[:-4] + b"\4\0\0\0name")
