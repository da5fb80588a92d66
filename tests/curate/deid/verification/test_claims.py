"""The options that bind are those that the object states; overrides are read as the spec writes them."""

from __future__ import annotations

import pytest
from pydicom.sequence import Sequence

from curate.deid import Keyed, deidentify_bytes, load_profile
from curate.deid.review.decisions import Decisions, make_decisions
from curate.deid.verification import Rule, check_pair
from curate.deid.verification.claims import claims_of, marks_of, read_overrides
from curate.deid.verification.derive import renames
from curate.deid.verification.reading import read_contents
from curate.errors import Misconfigured
from tests.support.deid_files import KEY, encode, item, make_ct


def test_claims_are_the_codes_in_the_object() -> None:
    profile = load_profile("basic")
    output = deidentify_bytes(encode(make_ct()), profile, Keyed(KEY)).content
    claims = claims_of(read_contents(output))
    assert claims.codes == {code for code, _ in profile.codes}
    assert not claims.keeps_ids


def test_an_object_that_states_nothing_claims_nothing() -> None:
    assert claims_of(read_contents(encode(make_ct()))).codes == frozenset()


def test_overrides_are_read() -> None:
    read = read_overrides(["(0008,1010)=keep", '(0019,"GEMS_ACQU_01",9E) = keep', "(0008,103e)=remove"])
    assert read == {0x00081010: "K", (0x0019, "GEMS_ACQU_01", 0x9E): "K", 0x0008103E: "X"}


@pytest.mark.parametrize("line", ["StationName=keep", "(0008,1010)=maybe", "(0008,1010)", ""])
def test_other_overrides_are_refused(line: str) -> None:
    with pytest.raises(Misconfigured):
        read_overrides([line])


# what a person marked on the values page: single values, not attributes

CREATOR = "SIEMENS MR HEADER"


def decide(path: str, value: str, mark: str, vr: str = "LO") -> Decisions:
    return make_decisions([{"tag_path": path, "vr": vr, "value": value, "decision": mark}])


def source(text: str = "neck routine") -> bytes:
    dataset = make_ct(SeriesDescription=text, RelatedSeriesSequence=Sequence([item(SeriesDescription=text)]))
    dataset.private_block(0x0019, CREATOR, create=True).add_new(0x0C, "LO", text)
    return encode(dataset)


def rules(raw: bytes, decisions: Decisions, told: Decisions | None) -> list[tuple[Rule, str]]:
    output = deidentify_bytes(raw, load_profile("basic"), Keyed(KEY), decisions=decisions).content
    checked = check_pair(raw, output, "x", rename=renames(KEY), marks=marks_of(told))
    return [(finding.rule, finding.where) for finding in checked.findings]


@pytest.mark.parametrize("mark", ["keep", "clean"])
@pytest.mark.parametrize(
    "path",
    ["(0008,103e)", "(0008,1250)/(0008,103e)", f"(0019,xx0c,{CREATOR})"],
    ids=["plain", "nested", "private"],
)
def test_a_value_that_a_person_marked_may_stay_and_is_a_finding_where_nobody_did(path: str, mark: str) -> None:
    decisions = decide(path, "neck routine", mark)
    assert rules(source(), decisions, decisions) == []
    assert {rule for rule, _ in rules(source(), decisions, None)} & {Rule.MUST_GO, Rule.PRIVATE, Rule.NOT_EMPTIED}


def test_a_mark_speaks_of_its_value_and_place_alone() -> None:
    done = decide("(0008,103e)", "neck routine", "keep")
    for told in (
        decide("(0008,103e)", "another text", "keep"),
        decide("(0040,0275)/(0008,103e)", "neck routine", "keep"),
        decide("(0008,1030)", "neck routine", "keep"),
    ):
        assert (Rule.MUST_GO, "(0008,103e)") in rules(source(), done, told)


def test_a_value_that_was_to_go_and_stayed_is_found() -> None:
    told = decide("(0018,1210)", "BONE", "remove", "SH")
    assert rules(source(), told, told) == []
    wrong = rules(source(), decide("(0018,1210)", "OTHER", "remove", "SH"), told)
    assert wrong == [(Rule.NOT_EMPTIED, "(0018,1210)")]


def test_marks_show_no_text() -> None:
    claims = claims_of(read_contents(source()), None, marks_of(decide("(0008,103e)", "secret text", "keep")))
    assert "secret" not in repr(claims)
    assert marks_of(None) == {}
