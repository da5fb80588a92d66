"""Every VR of the standard belongs to one class."""

from __future__ import annotations

from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from curate.deid.vrs import KIND_OF_VR, LONG_VRS, VR_OF_TAG, Kind

AMBIGUOUS = 5


def test_every_vr_of_the_standard_has_a_kind() -> None:
    assert {vr.value.encode() for vr in VR if len(vr.value) == 2} == set(KIND_OF_VR)


def test_long_headers_are_those_of_the_standard() -> None:
    assert {str(vr).encode() for vr in EXPLICIT_VR_LENGTH_32} == LONG_VRS


def test_every_tag_of_the_dictionary_has_a_vr_with_a_kind() -> None:
    assert all(vr in KIND_OF_VR for vr in VR_OF_TAG.values())


def test_ambiguous_tags_take_the_vr_that_says_least() -> None:
    assert VR_OF_TAG[0x7FE00010] == b"OW"
    assert KIND_OF_VR[VR_OF_TAG[0x00280106]] is Kind.NUMBERS
