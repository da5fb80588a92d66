"""What a site may decide about single tags, and what nobody may."""

from __future__ import annotations

import pytest

from curate.deid.overrides import Override, PrivateName, format_tag, parse_tag, read_overrides
from curate.deid.profile import Action, compile_profile, load_profile
from curate.errors import Misconfigured

CT = "1.2.840.10008.5.1.4.1.1.2"


def test_tags_have_one_spelling() -> None:
    assert parse_tag("(0008,1010)") == 0x00081010
    assert parse_tag('(0019,"GEMS_ACQU_01",xx9E)') == PrivateName(0x19, "GEMS_ACQU_01", 0x9E)
    assert format_tag(parse_tag('(0019,"GEMS_ACQU_01",9E)')) == '(0019,"GEMS_ACQU_01",9e)'
    assert format_tag(parse_tag("(0008,103E)")) == "(0008,103e)"


@pytest.mark.parametrize("text", ["0008,1010", "(0008,1010", "StationName", "(0019,109e)", '(0018,"A",10)', ""])
def test_what_is_no_tag_is_refused(text: str) -> None:
    with pytest.raises(Misconfigured, match=r"deid\.overrides"):
        parse_tag(text)


def test_overrides_are_sorted_and_of_one_spelling() -> None:
    assert read_overrides({"(0018,1030)": "clean", "(0008,103E)": "remove"}) == (
        Override("(0008,103e)", "remove"),
        Override("(0018,1030)", "clean"),
    )


def test_a_tag_in_two_spellings_is_refused() -> None:
    with pytest.raises(Misconfigured, match="twice"):
        read_overrides({"(0008,103E)": "remove", "(0008,103e)": "keep"})


@pytest.mark.parametrize("choice", ["hash", "", "KEEP"])
def test_only_four_things_can_be_wanted(choice: str) -> None:
    with pytest.raises(Misconfigured, match="expected one of keep, clean, empty, remove"):
        read_overrides({"(0008,1010)": choice})


@pytest.mark.parametrize(
    "tag",
    ["(0010,0010)", "(0010,0020)", "(0008,0018)", "(0020,000d)", "(0028,0010)", "(7fe0,0010)", "(0002,0010)",
     "(0012,0062)", "(0008,0005)"],
)  # fmt: skip
def test_what_names_the_patient_or_the_object_is_fixed(tag: str) -> None:
    with pytest.raises(Misconfigured, match="fixed"):
        read_overrides({tag: "keep"})


@pytest.mark.parametrize(
    ("tag", "choice"), [("(0042,0011)", "keep"), ("(0008,1050)", "clean"), ("(0042,0011)", "clean")]
)
def test_what_nothing_here_can_read_is_not_kept(tag: str, choice: str) -> None:
    with pytest.raises(Misconfigured):
        read_overrides({tag: choice})


@pytest.mark.parametrize(
    ("tag", "choice", "action"),
    [
        (0x00081010, "remove", Action.REMOVE),
        (0x00081010, "empty", Action.EMPTY),
        (0x00081030, "clean", Action.CLEAN),
        (0x00080080, "keep", Action.CHECK_TEXT),
        (0x00081050, "keep", Action.CHECK_TEXT),
        (0x00080020, "remove", Action.REMOVE),
        (0x00080020, "keep", Action.SHIFT),
        (0x00400275, "keep", Action.ENTER),
        (0x00102160, "keep", Action.CHECK_TEXT),
    ],
)
def test_an_override_comes_before_the_profile(tag: int, choice: str, action: Action) -> None:
    profile = load_profile("basic", overrides={format_tag(tag): choice})
    assert compile_profile(profile, CT)[tag].action is action


def test_the_word_of_a_site_comes_before_that_of_the_project() -> None:
    project = load_profile("basic", overrides={"(0008,1010)": "remove", "(0008,1030)": "clean"})
    site = project.with_overrides({"(0008,1010)": "keep"})
    assert [(one.tag, one.choice) for one in site.overrides] == [("(0008,1010)", "keep"), ("(0008,1030)", "clean")]
    assert site.digest != project.digest
    assert project.with_overrides({}) is project
    assert len(site.method) <= 64
    assert "site overrides" in site.method
