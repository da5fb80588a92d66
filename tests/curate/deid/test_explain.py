"""Explanations say what the engine does, for every tag."""

from __future__ import annotations

import pytest

from curate.deid.explain import CT_IMAGE, explain, explain_all
from curate.deid.options import READY
from curate.deid.profile import Action, compile_profile, load_profile
from curate.deid.tables import safe_private, table_rows
from curate.errors import Misconfigured

MIRA, BASIC = load_profile("mira"), load_profile("basic")
STRUCTURE_SET = "1.2.840.10008.5.1.4.1.1.481.3"


@pytest.mark.parametrize("name", sorted(READY))
def test_every_tag_of_the_table_is_explained_as_the_engine_treats_it(name: str) -> None:
    profile = load_profile(name)
    rules = compile_profile(profile, CT_IMAGE)
    explained = {one.tag: one for one in explain_all(profile)}
    for tag in table_rows():
        one = explained[f"({tag >> 16:04x},{tag & 0xFFFF:04x})"]
        assert one.action is rules[tag].action
        assert one.why


def test_an_option_is_named_with_its_letter() -> None:
    one = explain(MIRA, "(0008,1030)")
    assert (one.name, one.vr, one.basic, one.action) == ("StudyDescription", "LO", "X", Action.CLEAN)
    assert one.options == (("clean_descriptors", "C"),)
    assert "clean_descriptors: C" in one.why


def test_a_compound_action_is_explained_by_the_type() -> None:
    one = explain(BASIC, 0x30060002, STRUCTURE_SET)  # StructureSetLabel, D
    assert one.action is Action.DUMMY
    agent = explain(BASIC, 0x00180010)
    assert "type 2" in agent.why
    assert agent.action is Action.EMPTY


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        ("(0010,0020)", "Whatever the profile"),
        ("(0028,0030)", "does not list it and its kind of value"),
        ("(0014,0046)", "can hold anything: removed"),
        ("(0008,0070)", "keeps it by name"),
        ("(0048,1ff0)", "No dictionary and no table knows it"),
        ("(0004,1130)", "Not part of a data set"),
        ('(0029,"SIEMENS CSA HEADER",10)', "no table lists as safe"),
        ('(0019,"GEMS_ACQU_01",9e)', "Table E.3.10-1 lists it as safe"),
    ],
)
def test_the_reason_says_where_the_rule_comes_from(tag: str, words: str) -> None:
    assert words in explain(MIRA, tag).why


def test_a_safe_private_attribute_goes_under_a_profile_that_keeps_none() -> None:
    assert explain(MIRA, '(0019,"GEMS_ACQU_01",9e)').action is Action.CHECK_TEXT
    assert explain(BASIC, '(0019,"GEMS_ACQU_01",9e)').action is Action.REMOVE


def test_every_safe_private_attribute_has_a_line() -> None:
    shown = {one.tag for one in explain_all(MIRA)}
    kept = {key for key, row in safe_private().items() if row.vr not in (b"OB", b"OW", b"UN")}
    assert len([tag for tag in shown if '"' in tag]) == len(kept)


def test_an_override_is_named_as_one() -> None:
    profile = load_profile("basic", overrides={"(0008,1010)": "remove", '(0019,"MINE",01)': "keep"})
    assert "The site overrides the profile: remove" in explain(profile, 0x00081010).why
    assert "The site overrides" in explain(profile, '(0019,"MINE",01)').why
    assert '(0019,"MINE",01)' in {one.tag for one in explain_all(profile)}


def test_what_is_no_tag_is_refused() -> None:
    with pytest.raises(Misconfigured):
        explain(MIRA, "StudyDescription")
