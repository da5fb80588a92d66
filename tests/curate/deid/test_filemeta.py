"""Preamble and meta information come off and are made anew."""

from __future__ import annotations

import zlib
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from curate.deid.elements import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE
from curate.deid.filemeta import build_file, open_file
from curate.errors import Rejected
from curate.reasons import Reason
from tests.support.deid_files import INSTANCE, encode, make_ct, raw_element


def reason_of(raw: bytes) -> Reason:
    with pytest.raises(Rejected) as caught:
        open_file(raw)
    return caught.value.reason


@pytest.mark.parametrize(
    ("transfer_syntax", "syntax"),
    [
        (ExplicitVRLittleEndian, EXPLICIT_LITTLE),
        (ImplicitVRLittleEndian, IMPLICIT_LITTLE),
        (ExplicitVRBigEndian, EXPLICIT_BIG),
        (DeflatedExplicitVRLittleEndian, EXPLICIT_LITTLE),
    ],
)
def test_files_of_every_native_syntax_are_opened(transfer_syntax: str, syntax: object) -> None:
    file = open_file(encode(make_ct(), transfer_syntax))
    assert file.syntax == syntax
    assert file.transfer_syntax_uid == transfer_syntax
    assert file.sop_instance_uid == INSTANCE
    assert file.is_native
    assert file.is_deflated == (transfer_syntax == DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_bare_data_sets_are_opened(transfer_syntax: str) -> None:
    whole = open_file(encode(make_ct(SpecificCharacterSet=None), transfer_syntax))
    bare = open_file(whole.content[whole.start :])
    assert bare.syntax == whole.syntax
    assert bare.transfer_syntax_uid == transfer_syntax


def test_the_bytes_are_believed_over_a_wrong_transfer_syntax() -> None:
    raw = encode(make_ct(), ImplicitVRLittleEndian)
    lying = raw.replace(b"1.2.840.10008.1.2\0", b"1.2.840.10008.1.2\0", 1)
    file = open_file(lying.replace(b"UI\x12\x001.2.840.10008.1.2\0", b"UI\x14\x001.2.840.10008.1.2.1\0", 1))
    assert file.syntax == IMPLICIT_LITTLE
    assert file.transfer_syntax_uid == ImplicitVRLittleEndian


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", Reason.EMPTY_FILE),
        (b"Dear Dr Wunderlich, the patient Quixotova", Reason.NOT_DICOM),
        (b"\x08\x00", Reason.NOT_DICOM),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), Reason.NOT_DICOM),
        (bytes(128) + b"DICM", Reason.TRUNCATED_FILE),
        (bytes(128) + b"DICM" + raw_element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0")[:-3], Reason.TRUNCATED_FILE),
        (bytes(128) + b"DICM\x02\x00\x10\x00\x14\x00\x00\x00" + bytes(40), Reason.UNREADABLE_HEADER),
    ],
)
def test_what_is_no_file_of_dicom_has_its_reason(raw: bytes, reason: Reason) -> None:
    assert reason_of(raw) is reason


def test_a_transfer_syntax_of_a_vendor_is_not_supported() -> None:
    meta = raw_element(0x00020010, b"UI", b"1.2.840.113619.5.2")
    assert reason_of(bytes(128) + b"DICM" + meta + bytes(20)) is Reason.UNSUPPORTED_TRANSFER_SYNTAX


def test_a_damaged_or_cut_deflate_stream_has_its_reason() -> None:
    raw = encode(make_ct(), DeflatedExplicitVRLittleEndian)
    assert reason_of(raw[:-20]) is Reason.TRUNCATED_FILE
    start = raw.index(b"1.2.840.10008.1.2.1.99") + 200
    assert reason_of(raw[:start] + b"\xff" * 200) in (Reason.UNREADABLE_HEADER, Reason.TRUNCATED_FILE)


def test_a_bomb_is_not_inflated_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curate.deid.filemeta.LARGEST_INFLATED", 1 << 16)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(1 << 20)) + deflater.flush()
    meta = raw_element(0x00020010, b"UI", b"1.2.840.10008.1.2.1.99")
    assert reason_of(bytes(128) + b"DICM" + meta + bomb) is Reason.SUSPICIOUS_COMPRESSION


@pytest.mark.parametrize("transfer_syntax", [ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_what_is_built_is_read_by_pydicom_and_says_nothing_of_the_source(transfer_syntax: str) -> None:
    source = open_file(encode(make_ct(), transfer_syntax))
    built = build_file(
        source.content[source.start :],
        transfer_syntax_uid=transfer_syntax,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        sop_instance_uid="2.25.7",
    )
    again = dcmread(BytesIO(built))
    assert again.preamble == bytes(128)
    assert len(again.file_meta) == 7
    assert again.file_meta.MediaStorageSOPInstanceUID == "2.25.7"
    assert again.PixelData == make_ct().PixelData
    assert b"SECRETAPP" not in built[: built.index(b"DICM") + 300]
    assert len(built) % 2 == 0
