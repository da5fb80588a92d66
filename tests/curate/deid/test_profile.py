"""Profiles: options over the basic profile, compound actions settled by the IOD."""

from __future__ import annotations

import pytest
from pydicom.datadict import DicomDictionary, dictionary_VR, tag_for_keyword

from curate.deid.profile import Action, Profile, compile_profile, load_profile, settle
from curate.deid.tables import table_rows
from curate.errors import Misconfigured

CT = "1.2.840.10008.5.1.4.1.1.2"
BASIC = load_profile("basic")


def action(keyword: str, profile: Profile = BASIC) -> Action:
    tag = tag_for_keyword(keyword)
    assert tag is not None
    return compile_profile(profile, CT)[tag].action


@pytest.mark.parametrize(
    ("compound", "attribute_type", "letter"),
    [
        ("X/Z", "3", "X"),
        ("X/Z", "2", "Z"),
        ("X/Z", "2C", "Z"),
        ("X/Z", "1", "Z"),
        ("X/D", "3", "X"),
        ("X/D", "1", "D"),
        ("X/D", "2", "D"),
        ("Z/D", "2", "Z"),
        ("Z/D", "1C", "D"),
        ("X/Z/D", "3", "X"),
        ("X/Z/D", "2", "Z"),
        ("X/Z/D", "1", "D"),
        ("X/Z/U*", "3", "X"),
        ("X/Z/U*", "1", "U"),
        ("X/Z/D", "", "X"),
        ("U", "1", "U"),
    ],
)
def test_a_compound_action_takes_the_first_part_unless_the_type_forces_a_later_one(
    compound: str, attribute_type: str, letter: str
) -> None:
    assert settle(compound, attribute_type) == letter


@pytest.mark.parametrize(
    ("keyword", "expected"),
    [
        ("PatientName", Action.PATIENT),
        ("PatientID", Action.PATIENT),
        ("PatientBirthDate", Action.EMPTY),
        ("AccessionNumber", Action.TOKEN),
        ("StudyDate", Action.SHIFT),
        ("AcquisitionDateTime", Action.SHIFT),
        ("StudyDescription", Action.REMOVE),
        ("InstitutionName", Action.REMOVE),
        ("StationName", Action.CHECK_TEXT),
        ("PatientAge", Action.AGE),
        ("PatientSex", Action.CHECK_CODE),
        ("PatientWeight", Action.CHECK_NUMBER),
        ("SOPInstanceUID", Action.UID),
        ("DeviceUID", Action.CHECK_UID),
        ("DateOfLastCalibration", Action.SHIFT),
        ("Manufacturer", Action.CHECK_TEXT),
        ("Rows", Action.CHECK_BINARY),
        ("ImagePositionPatient", Action.CHECK_NUMBER),
        ("PixelData", Action.KEEP),
        ("IconImageSequence", Action.REMOVE),
        ("PerFrameFunctionalGroupsSequence", Action.ENTER),
        ("RadiopharmaceuticalStartDateTime", Action.SHIFT),
        ("ReferringPhysicianName", Action.EMPTY),
        ("Allergies", Action.REMOVE),
        ("ICCProfile", Action.REMOVE),
        ("TextValue", Action.REMOVE),
    ],
)
def test_the_basic_profile_with_its_options_on_ct(keyword: str, expected: Action) -> None:
    assert action(keyword) is expected


def test_no_attribute_that_the_table_removes_is_kept_without_an_option() -> None:
    rules = compile_profile(BASIC, CT)
    for tag, row in table_rows().items():
        if row.basic == "X" and not any(row.options.get(option) in ("K", "C") for option in BASIC.options):
            assert rules[tag].action is Action.REMOVE


def test_no_free_text_or_name_outside_the_table_is_kept_unless_listed() -> None:
    rules = compile_profile(BASIC, CT)
    for tag, (vr, _, _, _, keyword) in DicomDictionary.items():
        if vr == "PN" and keyword != "PatientName":
            assert rules[tag].action in (Action.REMOVE, Action.EMPTY, Action.DUMMY)
        if vr in ("LT", "ST", "UT"):
            assert rules[tag].action not in (Action.KEEP, Action.CHECK_CODE)


def test_every_uid_is_mapped_or_goes_but_those_of_the_device() -> None:
    rules = compile_profile(BASIC, CT)
    uids = [tag for tag, entry in DicomDictionary.items() if entry[0] == "UI" and tag >> 16 > 8]
    kept = {tag for tag in uids if rules[tag].action not in (Action.UID, Action.REMOVE, Action.EMPTY, Action.DUMMY)}
    assert kept == {0x00181002, 0x0018100B}


def test_overlays_curves_commands_and_unknown_tags_have_no_rule_that_keeps() -> None:
    rules = compile_profile(BASIC, CT)
    assert 0x60003000 not in rules or rules[0x60003000].action is Action.REMOVE
    assert 0x00091001 not in rules
    assert 0x00185FFE not in rules
    assert all(rule.action is Action.REMOVE for tag, rule in rules.items() if tag >> 16 < 8)


def test_types_of_the_class_matter() -> None:
    tag = tag_for_keyword("ContrastBolusAgent")
    assert tag is not None
    assert compile_profile(BASIC, CT)[tag].action is Action.EMPTY


def test_the_public_profile_keeps_ids_and_dates_and_refuses_what_identifies() -> None:
    public = load_profile("public")
    rules = compile_profile(public, CT)
    assert action("StudyInstanceUID", public) is Action.CHECK_UID
    assert action("PatientName", public) is Action.OWN_ID
    assert action("AccessionNumber", public) is Action.EMPTY
    assert action("StudyDescription", public) is Action.REMOVE
    for keyword in ("PatientBirthDate", "PatientAddress", "ReferringPhysicianName", "OperatorsName"):
        tag = tag_for_keyword(keyword)
        assert tag is not None
        assert rules[tag].refuse
    assert public.dates == "UNMODIFIED"
    assert public.codes == ()


def test_the_codes_state_the_profile_and_every_option() -> None:
    assert [code for code, _ in BASIC.codes] == ["113100", "113107", "113108", "113109"]
    assert BASIC.dates == "MODIFIED"
    assert len(BASIC.method) <= 64
    assert len(load_profile("public").method) <= 64


def test_the_digest_tells_profiles_apart() -> None:
    assert BASIC.digest == load_profile("basic").digest
    assert BASIC.digest != load_profile("public").digest


def test_a_compiled_profile_is_compiled_once() -> None:
    assert compile_profile(BASIC, CT) is compile_profile(load_profile("basic"), CT)


def test_an_unknown_profile_is_refused_with_the_key_of_the_spec() -> None:
    with pytest.raises(Misconfigured, match=r"deid\.profile.*basic"):
        load_profile("strict")


def test_rules_are_made_for_the_vr_of_the_dictionary() -> None:
    rule = compile_profile(BASIC, CT)[0x00100020]
    assert dictionary_VR(0x00100020) == "LO"
    assert rule.kind.value == "free text"
