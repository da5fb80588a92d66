"""The second opinion finds what a careless writer would leave."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from curate.deid.engine import deidentify_bytes
from curate.deid.profile import load_profile
from curate.deid.pseudonyms import Keyed
from curate.deid.recheck import check_header
from tests.support.deid_files import KEY, PLANTS, encode, item, make_ct

BASIC = load_profile("basic")


def spoiled(change: Callable[[FileDataset], object]) -> list[str]:
    """What is found in a clean file after one change."""
    clean = deidentify_bytes(encode(make_ct()), BASIC, Keyed(KEY)).content
    dataset = dcmread(BytesIO(clean))
    change(dataset)
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return check_header(buffer.getvalue(), BASIC)


def test_a_clean_file_breaks_no_rule() -> None:
    assert spoiled(lambda dataset: None) == []


def test_a_source_file_breaks_many_and_none_is_told_by_value() -> None:
    lines = check_header(encode(make_ct(), preamble=b""), BASIC)
    assert len(lines) > 15
    assert not [plant for plant in PLANTS if plant in "".join(lines)]


def _add_private(dataset: Dataset) -> None:
    dataset.private_block(0x0011, "X", create=True).add_new(1, "LO", "y")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_add_private, "private"),
        (lambda d: d.add_new(0x60000022, "LO", "x"), "overlay"),
        (lambda d: setattr(d, "PatientName", "Quixotova"), "patient's key"),
        (lambda d: setattr(d, "ReferringPhysicianName", "Wunderlich"), "a name"),
        (lambda d: setattr(d, "StudyDescription", "x"), "must be removed"),
        (lambda d: setattr(d, "PatientBirthDate", "19590214"), "must be empty"),
        (lambda d: setattr(d, "PatientAge", "095Y"), "age"),
        (lambda d: setattr(d, "FrameOfReferenceUID", "1.2.3"), "foreign UID"),
        (lambda d: setattr(d, "PatientIdentityRemoved", "NO"), "(0012,0062)"),
        (lambda d: delattr(d, "LongitudinalTemporalInformationModified"), "(0028,0303)"),
        (lambda d: delattr(d, "DeidentificationMethodCodeSequence"), "113107"),
        (lambda d: setattr(d.file_meta, "SourceApplicationEntityTitle", "WS"), "file meta"),
        (
            lambda d: setattr(d, "AnatomicRegionSequence", Sequence([item(InstitutionName="Saint Elsewhere")])),
            "(0008,0080)",
        ),
    ],
)
def test_each_broken_rule_is_named(change: Callable[[FileDataset], object], words: str) -> None:
    lines = spoiled(change)
    assert any(words in line for line in lines), lines


def test_bytes_after_the_pixels_and_in_the_preamble_are_found() -> None:
    clean = deidentify_bytes(encode(make_ct()), BASIC, Keyed(KEY)).content
    assert check_header(clean + b"more", BASIC) == ["bytes follow the pixel data"]
    assert check_header(b"x" + clean[1:], BASIC) == ["the preamble is not zero"]


@pytest.mark.parametrize("content", [b"", b"text", bytes(128) + b"DICM", bytes(128) + b"DICM\xff\xff\xff\xff" * 20])
def test_what_cannot_be_read_again_is_said_to_be_so(content: bytes) -> None:
    assert check_header(content, BASIC)
