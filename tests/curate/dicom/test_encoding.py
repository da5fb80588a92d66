from __future__ import annotations

import zlib

import numpy as np
import pytest
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from curate.dicom.encoding import find_encoding, inflate
from curate.errors import Rejected
from curate.reasons import Reason
from tests.support.dicom_files import encode, make_dataset

PIXELS = np.zeros((4, 4), np.uint16)
SYNTAXES = [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_file_with_meta_is_read_as_its_transfer_syntax_says(syntax: str) -> None:
    found = find_encoding(encode(make_dataset(PIXELS), syntax))
    assert found.transfer_syntax_uid == syntax
    assert found.is_implicit == (syntax == ImplicitVRLittleEndian)
    assert found.is_little_endian == (syntax != ExplicitVRBigEndian)
    assert found.is_deflated == (syntax == DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("syntax", SYNTAXES[:3])
def test_a_file_without_preamble_and_meta_is_recognised_by_its_first_element(syntax: str) -> None:
    found = find_encoding(encode(make_dataset(PIXELS), syntax, bare=True))
    assert found.transfer_syntax_uid is None
    assert found.offset == 0
    assert found.is_implicit == (syntax == ImplicitVRLittleEndian)
    assert found.is_little_endian == (syntax != ExplicitVRBigEndian)


def test_a_syntax_that_the_bytes_contradict_is_not_believed() -> None:
    liar = encode(make_dataset(PIXELS), ImplicitVRLittleEndian).replace(
        b"1.2.840.10008.1.2\x00", b"1.2.840.10008.1.2\x20", 1
    )
    explicit_name = encode(make_dataset(PIXELS), ExplicitVRLittleEndian)
    start = find_encoding(explicit_name).offset
    body = liar[find_encoding(liar).offset :]
    assert find_encoding(explicit_name[:start] + body).is_implicit


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.EMPTY_FILE),
        (b"This is a text file that somebody named .dcm\n" * 8, Reason.NOT_DICOM),
        (b"\x00" * 400, Reason.NOT_DICOM),
        (b"\xff\xd8\xff\xe0" + b"\x00" * 400, Reason.NOT_DICOM),
        (b"\x00" * 128 + b"DICM", Reason.TRUNCATED_FILE),
        (b"\x08", Reason.NOT_DICOM),
    ],
)
def test_what_is_not_dicom_is_named(content: bytes, reason: Reason) -> None:
    with pytest.raises(Rejected) as caught:
        find_encoding(content)
    assert caught.value.reason is reason


def test_a_deflated_bomb_stops_at_the_limit() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(b"\x00" * 10_000_000) + packer.flush()
    with pytest.raises(Rejected) as caught:
        inflate(bomb, maximum=1_000_000)
    assert caught.value.reason is Reason.SUSPICIOUS_COMPRESSION


def test_a_deflated_stream_that_is_cut_gives_what_is_there_and_says_so() -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = packer.compress(bytes(range(256)) * 64) + packer.flush()
    assert inflate(stream) == (bytes(range(256)) * 64, True)
    content, ends_well = inflate(stream[: len(stream) // 2])
    assert not ends_well
    assert (bytes(range(256)) * 64).startswith(content)


def test_a_deflated_stream_of_noise_is_damaged() -> None:
    with pytest.raises(Rejected) as caught:
        inflate(b"\xff\xff\xff\xff" * 32)
    assert caught.value.reason is Reason.UNREADABLE_HEADER
