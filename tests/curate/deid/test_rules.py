"""What a rule comes to for the VR that a file gives, and the rules of a class of objects."""

from __future__ import annotations

from itertools import product

import pytest

from curate.deid.options import CLEAN_CONTENT
from curate.deid.profile import PATIENT_ID, PATIENT_NAME, Action, Rule, load_profile
from curate.deid.rules import TEXTUAL, VERBATIM, RuleSet, make_step, rules_for, what_it_finds
from curate.deid.vrs import KIND_OF_VR, VR_OF_TAG, Kind

CT, SR, CLASSLESS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.88.33", ""
STUDY_DATE, BIRTH_DATE, INSTITUTION, STUDY_UID = 0x00080020, 0x00100030, 0x00080080, 0x0020000D
GOES = (Action.REMOVE, Action.EMPTY)


@pytest.mark.parametrize(
    ("action", "kind", "vr", "settled"),
    [
        (Action.CHECK_TEXT, Kind.TEXT, b"LO", Action.CHECK_TEXT),
        (Action.CHECK_TEXT, Kind.TEXT, b"CS", Action.CHECK_TEXT),  # one text for another
        (Action.CHECK_CODE, Kind.CODE, b"SH", Action.CHECK_CODE),
        (Action.CLEAN, Kind.TEXT, b"UT", Action.CLEAN),
        (Action.CHECK_NUMBER, Kind.DECIMALS, b"DS", Action.CHECK_NUMBER),
        (Action.CHECK_BINARY, Kind.BULK, b"US", Action.CHECK_BINARY),  # lookup tables are either
        (Action.CHECK_UID, Kind.UID, b"UN", Action.CHECK_UID),  # unknown: what the rule says
        (Action.ENTER, Kind.SEQUENCE, b"SQ", Action.ENTER),
        (Action.EMPTY, Kind.PERSON, b"LO", Action.EMPTY),
        (Action.CHECK_TEXT, Kind.TEXT, b"PN", Action.REMOVE),
        (Action.CHECK_NUMBER, Kind.DECIMALS, b"LO", Action.REMOVE),
        (Action.CHECK_BINARY, Kind.NUMBERS, b"OB", Action.REMOVE),
        (Action.CHECK_TEXT, Kind.TEXT, b"SQ", Action.REMOVE),
        (Action.ENTER, Kind.SEQUENCE, b"LO", Action.REMOVE),
        (Action.SHIFT, Kind.TIME, b"LO", Action.REMOVE),
        (Action.UID, Kind.UID, b"SH", Action.REMOVE),
        (Action.DUMMY, Kind.PERSON, b"OB", Action.REMOVE),
        (Action.PATIENT, Kind.TEXT, b"SQ", Action.REMOVE),
    ],
)
def test_a_rule_holds_for_the_kind_of_value_that_it_was_made_for(
    action: Action, kind: Kind, vr: bytes, settled: Action
) -> None:
    step = make_step(Rule(action, kind, Action.EMPTY), INSTITUTION, vr, keeps_ids=False)
    assert (step.action, step.fallback) == (settled, Action.EMPTY)


def test_no_rule_keeps_a_value_of_another_kind() -> None:
    for action, kind, vr in product(Action, Kind, KIND_OF_VR):
        step = make_step(Rule(action, kind, Action.REMOVE), INSTITUTION, vr, keeps_ids=False)
        given = KIND_OF_VR[vr]
        fits = (
            given in (kind, Kind.UNKNOWN) or {given, kind} <= {*TEXTUAL} or (given, kind) == (Kind.NUMBERS, Kind.BULK)
        )
        assert fits or step.action in GOES, (action, kind, vr)


def test_a_quiet_step_has_nothing_to_remember_to_refuse_or_to_remove() -> None:
    for action, vr, refuse in product(Action, KIND_OF_VR, (True, False)):
        step = make_step(Rule(action, KIND_OF_VR[vr], Action.REMOVE, refuse), STUDY_DATE, vr, keeps_ids=False)
        if step.is_quiet:
            assert (step.refuses, step.finds) == (False, None)
            assert step.action is not Action.REMOVE
            assert step.kind is not Kind.SEQUENCE
        if step.action in VERBATIM:
            assert step.finds is None  # what stays as it is cannot be looked for as what went


@pytest.mark.parametrize(
    ("tag", "vr", "found"),
    [
        (STUDY_DATE, b"DA", "date"),
        (0x0008002A, b"DT", "date"),
        (0x00080030, b"TM", None),
        (BIRTH_DATE, b"DA", "birth_date"),
        (BIRTH_DATE, b"TM", None),
        (STUDY_UID, b"UI", "uid"),
        (0x00080090, b"PN", "name"),
        (PATIENT_NAME, b"PN", "name"),
        (PATIENT_ID, b"LO", "patient_id"),
        (0x00080050, b"SH", "accession"),
        (INSTITUTION, b"LO", "institution"),
        (0x00101040, b"LO", "address"),
        (0x00102154, b"SH", "phone"),
        (0x00081030, b"LO", None),
        (0x00180060, b"DS", None),
        (0x00100020, b"SQ", None),
    ],
)
def test_what_an_element_that_goes_says_of_someone(tag: int, vr: bytes, found: str | None) -> None:
    assert what_it_finds(tag, vr, KIND_OF_VR[vr], keeps_ids=False) == found


@pytest.mark.parametrize(
    ("tag", "vr", "found"),
    [
        (STUDY_DATE, b"DA", None),
        (STUDY_UID, b"UI", None),
        (PATIENT_ID, b"LO", None),
        (PATIENT_NAME, b"PN", None),
        (0x00080090, b"PN", "name"),
        (INSTITUTION, b"LO", "institution"),
    ],
)
def test_ids_and_dates_that_were_public_before_are_no_findings(tag: int, vr: bytes, found: str | None) -> None:
    assert what_it_finds(tag, vr, KIND_OF_VR[vr], keeps_ids=True) == found


def test_a_step_is_made_once_and_a_tag_without_a_rule_has_none() -> None:
    rules = RuleSet({STUDY_DATE: Rule(Action.SHIFT, Kind.TIME, Action.REMOVE)}, keeps_ids=False)
    first = rules[STUDY_DATE, b"DA"]
    assert first is not None
    assert rules[STUDY_DATE, b"DA"] is first
    assert rules[STUDY_DATE, b"LO"] != first
    assert rules[STUDY_UID, b"UI"] is None
    assert set(rules) == {(STUDY_DATE, b"DA"), (STUDY_DATE, b"LO"), (STUDY_UID, b"UI")}


def test_only_a_rule_that_enters_looks_into_items() -> None:
    rules = RuleSet(
        {1: Rule(Action.ENTER, Kind.SEQUENCE, Action.REMOVE), 2: Rule(Action.EMPTY, Kind.SEQUENCE, Action.EMPTY)},
        keeps_ids=False,
    )
    assert [rules.enters(tag) for tag in (1, 2, 3)] == [True, False, False]


@pytest.mark.parametrize("name", ["basic", "mira", "public"])
@pytest.mark.parametrize("sop_class", [CT, SR, CLASSLESS])
def test_the_vr_of_the_dictionary_fits_the_rule_of_every_tag(name: str, sop_class: str) -> None:
    rules = rules_for(load_profile(name), sop_class)
    for tag, rule in rules.public.items():
        step = rules.standard[tag, VR_OF_TAG.get(tag, b"UN")]
        assert step is not None
        assert (step.action, step.fallback, step.refuses) == (rule.action, rule.fallback, rule.refuse)


def test_no_tag_of_a_keyed_profile_keeps_a_name_whatever_its_vr() -> None:
    """PN of any tag, and any VR of a tag that is PN: gone, emptied, or replaced."""
    for name in ("basic", "mira"):
        standard = rules_for(load_profile(name), CT).standard
        names = [tag for tag, vr in VR_OF_TAG.items() if vr == b"PN"]
        assert len(names) > 30
        for tag, vr in [*((tag, b"PN") for tag in VR_OF_TAG), *product(names, KIND_OF_VR)]:
            step = standard[tag, vr]
            assert step is not None
            assert step.action in (Action.REMOVE, Action.EMPTY, Action.DUMMY, Action.PATIENT), f"{tag:08x} {vr!r}"


def test_rules_are_compiled_once_for_a_profile_and_class() -> None:
    mira = load_profile("mira")
    assert rules_for(mira, CT) is rules_for(load_profile("mira"), CT)
    assert rules_for(mira, CT) is not rules_for(mira, SR)
    assert rules_for(mira, CT).profile == mira
    assert rules_for(mira, CT).sop_class_uid == CT


def test_content_items_have_rules_of_their_own_where_they_are_cleaned() -> None:
    assert rules_for(load_profile("basic"), SR).content is None
    content = rules_for(load_profile("basic", options=[CLEAN_CONTENT, "clean_descriptors"]), SR).content
    assert content is not None
    text = {letter: rules[0x0040A160, b"UT"] for letter, rules in content.items()}
    assert {letter: step and step.action for letter, step in text.items()} == {
        "K": Action.CHECK_TEXT,
        "C": Action.CLEAN,
        "D": Action.DUMMY,
    }
    assert content["C"].enters(0x0040A730)


def test_private_rules_are_those_of_the_profile() -> None:
    assert rules_for(load_profile("basic"), CT).private == {}
    assert len(rules_for(load_profile("mira"), CT).private) > 100
