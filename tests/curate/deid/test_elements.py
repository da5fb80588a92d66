"""The walk over raw elements: everything in its place, or a reason."""

from __future__ import annotations

import struct
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.sequence import Sequence

from curate.deid.elements import (
    DEEPEST_NESTING,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Syntax,
    describe,
    looks_explicit,
    read_elements,
)
from curate.errors import Rejected
from curate.reasons import Reason
from tests.support.deid_files import item, make_ct, raw_element


def written(dataset: Dataset, syntax: Syntax) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = syntax.implicit, syntax.little
    write_dataset(buffer, dataset)
    return buffer.getvalue()


def reason_of(content: bytes, syntax: Syntax = EXPLICIT_LITTLE) -> Reason:
    with pytest.raises(Rejected) as caught:
        read_elements(content, 0, syntax)
    return caught.value.reason


@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG])
def test_every_element_lies_where_pydicom_put_it(syntax: Syntax) -> None:
    dataset = make_ct()
    content = written(dataset, syntax)
    elements = read_elements(content, 0, syntax)
    assert [element.tag for element in elements] == [int(element.tag) for element in dataset]
    assert elements[0].head == 0
    assert [element.head for element in elements[1:]] == [element.end for element in elements[:-1]]
    name = next(element for element in elements if element.tag == 0x00100010)
    assert content[name.start : name.end].strip() == b"Quixotova^Almudena"


@pytest.mark.parametrize("undefined", [False, True])
@pytest.mark.parametrize("syntax", [EXPLICIT_LITTLE, IMPLICIT_LITTLE])
def test_sequences_are_entered_whether_they_say_their_length_or_not(syntax: Syntax, undefined: bool) -> None:
    inner = item(PatientID="x", ReferencedImageSequence=Sequence([item(ReferencedSOPInstanceUID="1.2.3")]))
    dataset = item(OtherPatientIDsSequence=Sequence([inner, Dataset()]), StudyID="after")
    for sequence in (dataset["OtherPatientIDsSequence"], inner["ReferencedImageSequence"]):
        sequence.is_undefined_length = undefined
        for part in sequence.value:
            part.is_undefined_length_sequence_item = undefined
    elements = read_elements(written(dataset, syntax), 0, syntax)
    items = elements[0].items
    assert items is not None
    assert [[element.tag for element in part.elements] for part in items] == [[0x00081140, 0x00100020], []]
    assert items[0].elements[0].items is not None
    assert elements[1].tag == 0x00200010


def test_a_sequence_written_as_un_is_entered_as_implicit() -> None:
    body = written(item(PatientID="hidden"), IMPLICIT_LITTLE)
    value = struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body
    content = struct.pack("<HH2s2xI", 0x0010, 0x1002, b"UN", len(value)) + value
    (element,) = read_elements(content, 0, EXPLICIT_LITTLE)
    assert element.items is not None
    assert element.items[0].syntax == IMPLICIT_LITTLE
    assert element.items[0].elements[0].tag == 0x00100020


def test_an_item_that_switches_to_implicit_is_read_as_such() -> None:
    body = written(item(PatientID="hidden"), IMPLICIT_LITTLE)
    value = struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body
    content = struct.pack("<HH2s2xI", 0x0010, 0x1002, b"SQ", len(value)) + value
    (element,) = read_elements(content, 0, EXPLICIT_LITTLE)
    assert element.items is not None
    assert element.items[0].syntax.implicit


def test_the_walk_stops_at_the_pixels() -> None:
    content = written(make_ct(), EXPLICIT_LITTLE)
    elements = read_elements(content + b"trailing bytes \xff\xff\xff\xff", 0, EXPLICIT_LITTLE)
    assert elements[-1].end == len(content)


def test_fragments_end_with_their_delimiter() -> None:
    fragments = struct.pack("<HHI", 0xFFFE, 0xE000, 0) + struct.pack("<HHI", 0xFFFE, 0xE000, 4) + b"\xff\xd8\xff\xd9"
    content = struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OB", 0xFFFFFFFF) + fragments
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    (element,) = read_elements(content + end + b"more", 0, EXPLICIT_LITTLE)
    assert element.end == len(content + end)
    assert reason_of(content) is Reason.TRUNCATED_FILE
    assert reason_of(content + b"not a fragment header") is Reason.UNREADABLE_HEADER


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_cut_anywhere_is_truncated(data: st.DataObject) -> None:
    content = written(make_ct(), EXPLICIT_LITTLE)
    cut = data.draw(st.integers(1, len(content) - 1))
    boundaries = {element.head for element in read_elements(content, 0, EXPLICIT_LITTLE)}
    if cut not in boundaries:
        assert reason_of(content[:cut]) is Reason.TRUNCATED_FILE


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_elements_or_a_reason(content: bytes) -> None:
    for syntax in (EXPLICIT_LITTLE, IMPLICIT_LITTLE, EXPLICIT_BIG):
        try:
            elements = read_elements(content, 0, syntax)
        except Rejected:
            continue
        assert all(element.end <= len(content) for element in elements)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_one_wrong_byte_gives_elements_or_a_reason(data: st.DataObject) -> None:
    content = bytearray(written(make_ct(), EXPLICIT_LITTLE))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        elements = read_elements(bytes(content), 0, EXPLICIT_LITTLE)
    except Rejected:
        return
    assert all(element.end <= len(content) for element in elements)


def test_a_vr_that_does_not_exist_is_refused() -> None:
    assert reason_of(raw_element(0x00100010, b"ZZ", b"Quixotova ")) is Reason.UNREADABLE_HEADER


def test_a_stray_delimiter_is_refused() -> None:
    assert reason_of(struct.pack("<HHI", 0xFFFE, 0xE00D, 0)) is Reason.UNREADABLE_HEADER


def test_text_without_a_length_is_refused() -> None:
    content = struct.pack("<HH2s2xI", 0x0010, 0x4000, b"UT", 0xFFFFFFFF) + b"text"
    assert reason_of(content) is Reason.UNREADABLE_HEADER


def test_endless_nesting_is_refused() -> None:
    one = struct.pack("<HH2s2xI", 0x0008, 0x1140, b"SQ", 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    assert reason_of(one * 5000) is Reason.UNREADABLE_HEADER
    assert DEEPEST_NESTING < 100


def test_an_element_longer_than_its_item_is_refused_though_the_file_goes_on() -> None:
    body = raw_element(0x00100020, b"LO", b"ab")[:-2]
    value = struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body
    content = struct.pack("<HH2s2xI", 0x0010, 0x1002, b"SQ", len(value)) + value + raw_element(0x00200010, b"SH", b"ab")
    assert reason_of(content) is Reason.UNREADABLE_HEADER


def test_messages_never_hold_values() -> None:
    content = raw_element(0x00100010, b"PN", b"Quixotova ")[:-4]
    with pytest.raises(Rejected) as caught:
        read_elements(content, 0, EXPLICIT_LITTLE)
    assert "Quix" not in str(caught.value)


def test_private_elements_are_described_by_their_group_alone() -> None:
    assert describe(0x00291234) == "(0029,xxxx)"
    assert describe(0x00100010) == "(0010,0010)"


def test_explicit_headers_are_recognised() -> None:
    assert looks_explicit(raw_element(0x00080060, b"CS", b"CT"), 0)
    assert not looks_explicit(written(item(Modality="CT"), IMPLICIT_LITTLE), 0)


def test_pydicom_agrees_on_what_was_read_back() -> None:
    content = written(make_ct(), EXPLICIT_LITTLE)
    again = dcmread(BytesIO(content), force=True)
    assert len(again) == len(read_elements(content, 0, EXPLICIT_LITTLE))
