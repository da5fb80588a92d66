"""GDCM reads what pydicom wrote: the same elements at every depth in every encoding."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections import Counter
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from curate.deid.verification.entries import PIXELS, flat
from curate.deid.verification.reading import dictionary_vr, instance_uid, named, read_contents
from curate.errors import Rejected
from tests.support.deid_files import INSTANCE, encode, insert_before_pixels, make_ct, raw_element

SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian)


def tags_by_pydicom(dataset: Dataset) -> list[int]:
    found = []
    for element in dataset:
        found.append(int(element.tag))
        if element.VR == "SQ":
            for item in element.value:
                found += tags_by_pydicom(item)
    return sorted(found)


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_every_element_that_pydicom_sees_is_seen_in_every_encoding(syntax: str) -> None:
    raw = encode(make_ct(), syntax)
    read = read_contents(raw)
    assert read.transfer_syntax == syntax
    ours = Counter(entry.tag for entry in flat(read.entries))
    theirs = Counter(tags_by_pydicom(pydicom.dcmread(BytesIO(raw))))
    unknown = Counter({0x00100010: 1}) if syntax == ImplicitVRLittleEndian else Counter[int]()  # a private sequence
    assert ours == theirs + unknown


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_text_and_private_sequences_come_out_as_bytes(syntax: str) -> None:
    read = read_contents(encode(make_ct(PatientComments="Jörg"), syntax))
    values = {entry.tag: entry.value for entry in flat(read.entries)}
    assert values[0x00104000].strip() == "Jörg".encode("latin-1")
    assert values[0x00291010].startswith(b"private note")
    nested = next(entry for entry in read.entries if entry.tag == 0x00291011)
    assert nested.items is not None
    assert nested.items[0][0].value.startswith(b"Quixotova")


def test_an_unknown_vr_is_the_dictionarys() -> None:
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x0040A123, b"UN", b"Someone^Else"))
    assert next(e.vr for e in read_contents(raw).entries if e.tag == 0x0040A123) == "PN"
    assert dictionary_vr(0x00080018) == "UI"
    assert dictionary_vr(0x12345678) == "UN"
    assert dictionary_vr(0x00291010) == "UN"


def test_a_sequence_written_as_unknown_bytes_is_entered() -> None:
    inner = struct.pack("<HHI", 0x0010, 0x0010, 12) + b"Inner^Person"
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    raw = insert_before_pixels(encode(make_ct()), raw_element(0x00400555, b"UN", item))
    entry = next(e for e in read_contents(raw).entries if e.tag == 0x00400555)
    assert entry.items is not None
    assert entry.items[0][0].value == b"Inner^Person"


def test_pixels_are_seen_but_not_copied() -> None:
    pixels = [entry for entry in read_contents(encode(make_ct())).entries if entry.tag in PIXELS]
    assert [entry.value for entry in pixels] == [b""]


def test_bytes_that_are_no_dicom_are_rejected() -> None:
    with pytest.raises(Rejected):
        read_contents(bytes(128) + b"DICM" + b"\xff" * 40)


def test_the_instance_is_named_by_the_data_set_or_its_meta_information() -> None:
    for dataset in (make_ct(), make_ct(SOPInstanceUID=None)):
        with named(encode(dataset)) as path:
            assert instance_uid(path) == INSTANCE
    with named(b"not dicom at all") as path:
        assert not instance_uid(path)


def test_it_reads_in_a_process_that_has_loaded_simpleitk(tmp_path: Path) -> None:
    """Both are wrapped by SWIG, whose iterators then belong to whichever was loaded last: the process would abort."""
    (tmp_path / "source").write_bytes(encode(make_ct()))
    program = (
        "import gdcm, SimpleITK, sys, pathlib\n"
        "from curate.deid.verification.reading import read_contents\n"
        "print(len(read_contents(pathlib.Path(sys.argv[1]).read_bytes()).entries))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "source")], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-300:]
    assert int(ran.stdout) > 20
