"""What is known of an object before anything is changed, and what is not let in."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from curate.deid.elements import read_elements
from curate.deid.filemeta import open_file
from curate.deid.header import (
    ALLOWED_CLASSES,
    CT_IMAGE,
    MR_IMAGE,
    Header,
    allowed_classes,
    refuse_what_is_not_allowed,
    refuse_without_pixels,
)
from curate.deid.profile import load_profile
from curate.errors import Quarantined, Rejected
from curate.reasons import Reason
from tests.support.deid_files import INSTANCE, STUDY, encode, make_ct


def header_of(raw: bytes) -> Header:
    file = open_file(raw)
    elements = read_elements(file.content, file.start, file.syntax)
    return Header(file, {element.tag: element for element in elements})


@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_the_pixel_layout_is_read_in_every_syntax(transfer_syntax: str) -> None:
    layout = header_of(encode(make_ct(NumberOfFrames="1"), transfer_syntax)).pixels
    assert (layout.rows, layout.columns, layout.frames, layout.samples) == (4, 6, 1, 1)
    assert (layout.bits_allocated, layout.bits_stored, layout.high_bit, layout.signed) == (16, 12, 11, False)
    assert layout.length == 48


def test_ids_are_read() -> None:
    header = header_of(encode(make_ct()))
    assert (header.study_uid, header.sop_instance_uid, header.sop_class_uid) == (STUDY, INSTANCE, CT_IMAGE)


def test_the_modality_stands_in_for_a_missing_class() -> None:
    file = open_file(encode(make_ct(SOPClassUID=None, Modality="MR")))
    assert header_of(file.content[file.start :]).sop_class_uid == MR_IMAGE


def test_frames_that_are_no_number_are_implausible() -> None:
    raw = encode(make_ct(NumberOfFrames="1234"))
    with pytest.raises(Rejected) as caught:
        _ = header_of(raw.replace(b"1234", b"1e99")).pixels
    assert caught.value.reason is Reason.IMPLAUSIBLE_HEADER


def test_text_that_pixels_or_reports_show_is_let_in_only_where_the_profile_cleans_it() -> None:
    basic, mira = load_profile("basic"), load_profile("mira")
    reports = load_profile("basic", options=["clean_structured_content"])
    picture, report = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.88.33"
    assert CT_IMAGE in ALLOWED_CLASSES
    assert MR_IMAGE in ALLOWED_CLASSES
    assert picture not in allowed_classes(basic)
    assert picture in allowed_classes(mira)
    assert report not in allowed_classes(mira)
    assert report in allowed_classes(reports)


@pytest.mark.parametrize("profile", ["basic", "mira", "public"])
@pytest.mark.parametrize(
    "sop_class",
    [
        "1.2.3",
        "1.2.840.10008.5.1.4.1.1.104.1",  # encapsulated PDF
        "1.2.840.10008.5.1.4.1.1.11.1",  # presentation state
        "1.2.840.10008.5.1.4.1.1.66",  # raw data
        "1.2.840.10008.5.1.4.1.1.9.1.1",  # ECG
    ],
)
def test_classes_that_no_rule_cleans_are_never_let_in(profile: str, sop_class: str) -> None:
    with pytest.raises(Quarantined) as caught:
        refuse_what_is_not_allowed(header_of(encode(make_ct(SOPClassUID=sop_class))), load_profile(profile))
    assert caught.value.reason is Reason.UNKNOWN_SOP_CLASS


def test_a_secondary_capture_is_named_as_one() -> None:
    header = header_of(encode(make_ct(SOPClassUID="1.2.840.10008.5.1.4.1.1.7")))
    refuse_what_is_not_allowed(header, load_profile("mira", allow=["secondary_capture"]))
    with pytest.raises(Quarantined) as caught:
        refuse_what_is_not_allowed(header, load_profile("mira"))
    assert caught.value.reason is Reason.SECONDARY_CAPTURE


def test_a_missing_class_is_let_in_only_where_ids_are_public() -> None:
    file = open_file(encode(make_ct(SOPClassUID=None, Modality=None)))
    bare = header_of(file.content[file.start :])
    refuse_what_is_not_allowed(bare, load_profile("public"))
    with pytest.raises(Quarantined) as caught:
        refuse_what_is_not_allowed(bare, load_profile("basic"))
    assert caught.value.reason is Reason.UNKNOWN_SOP_CLASS


def test_pixels_are_missed_only_where_the_class_has_them() -> None:
    structure_set = make_ct(SOPClassUID="1.2.840.10008.5.1.4.1.1.481.3")
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(structure_set, keyword)
    file = open_file(encode(structure_set))
    elements = read_elements(file.content, file.start, file.syntax)
    header = Header(file, {element.tag: element for element in elements})
    refuse_without_pixels(header)
    with pytest.raises(Rejected) as caught:
        refuse_without_pixels(Header(replace(file, sop_class_uid=CT_IMAGE), {}))
    assert caught.value.reason is Reason.NOT_AN_IMAGE
