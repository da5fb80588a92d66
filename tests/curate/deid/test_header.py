"""What is known of an object before anything is changed, and what is not let in."""

from __future__ import annotations

import pytest
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from curate.deid.elements import read_elements
from curate.deid.filemeta import open_file
from curate.deid.header import ALLOWED_CLASSES, CT_IMAGE, MR_IMAGE, Header, refuse_what_is_not_an_image
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


def test_only_ct_and_mr_images_are_let_in() -> None:
    assert len(ALLOWED_CLASSES) == 6
    refuse_what_is_not_an_image(header_of(encode(make_ct())), keeps_ids=False)
    with pytest.raises(Quarantined):
        refuse_what_is_not_an_image(header_of(encode(make_ct(SOPClassUID="1.2.3"))), keeps_ids=True)


def test_a_missing_class_is_let_in_only_where_ids_are_public() -> None:
    file = open_file(encode(make_ct(SOPClassUID=None, Modality=None)))
    bare = header_of(file.content[file.start :])
    refuse_what_is_not_an_image(bare, keeps_ids=True)
    with pytest.raises(Quarantined) as caught:
        refuse_what_is_not_an_image(bare, keeps_ids=False)
    assert caught.value.reason is Reason.UNKNOWN_SOP_CLASS
