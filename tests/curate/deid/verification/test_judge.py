"""Structured reports, nested items, sequences of which items were dropped, and what single rules say."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from curate.deid.verification.claims import Claims
from curate.deid.verification.findings import Rule
from curate.deid.verification.judge import Judge
from curate.deid.verification.parsing import parse_contents
from tests.support.deid_files import encode, item, make_ct

BASIC = frozenset({"113100", "113107"})
STRUCTURED = BASIC | {"113104", "113105"}


def content_item(code: str, text: str) -> Dataset:
    concept = item(CodeValue=code, CodingSchemeDesignator="DCM", CodeMeaning="meaning")
    return item(ValueType="TEXT", ConceptNameCodeSequence=Sequence([concept]), TextValue=text)


def judged(codes: frozenset[str], before: Dataset | None = None, **changes: object) -> list[tuple[Rule, str]]:
    output = parse_contents(encode(make_ct(**changes), preamble=b""))
    source = None if before is None else parse_contents(encode(before))
    return [(rule, where) for rule, where, _ in Judge(Claims(codes)).judge(output, source).broken]


def test_a_content_item_that_the_concept_table_removes_is_found_by_its_place() -> None:
    report = Sequence([content_item("111111", "fine"), content_item("121022", "ACC-1")])
    assert (Rule.CONTENT_ITEM, "(0040,a730)[1]") in judged(STRUCTURED, ContentSequence=report)
    assert not any(rule is Rule.CONTENT_ITEM for rule, _ in judged(STRUCTURED, ContentSequence=Sequence(report[:1])))


def test_an_item_that_was_dropped_does_not_shift_the_others() -> None:
    whole = make_ct(ContentSequence=Sequence([content_item("121022", "ACC-1"), content_item("111111", "fine text")]))
    left = Sequence([content_item("111111", "fine text")])
    broken = judged(STRUCTURED, whole, ContentSequence=left)
    assert not any(where.startswith("(0040,a730)") for _, where in broken)


def test_an_item_that_the_source_does_not_have_is_found() -> None:
    added = Sequence([content_item("111111", "a"), content_item("111112", "b")])
    before = make_ct(ContentSequence=Sequence([content_item("111111", "a")]))
    assert (Rule.INVENTED, "(0040,a730)") in judged(STRUCTURED, before, ContentSequence=added)


def test_nested_attributes_are_named_by_their_whole_path() -> None:
    inner = item(PersonAddress="Elmstreet 17")
    outer = Sequence([item(), item(ReferencedImageSequence=Sequence([inner]))])
    assert (Rule.MUST_GO, "(0008,1140)[1](0008,1140)[0](0040,1102)") in judged(BASIC, ReferencedImageSequence=outer)


def test_an_override_for_one_private_attribute_lets_it_and_its_creator_pass() -> None:
    overrides = {(0x0029, "SECRETAPP 1.0", 0x10): "K"}
    output = parse_contents(encode(make_ct()))
    broken = Judge(Claims(BASIC, overrides=overrides)).judge(output).broken
    assert len([rule for rule, _, _ in broken if rule is Rule.PRIVATE]) == 1  # the sequence beside it


def test_what_relates_files_is_collected() -> None:
    source = make_ct()
    moved = make_ct(
        SOPInstanceUID="2.25.1", StudyDate="20200222", PatientID="KEY", PatientName="KEY", ContentDate="20200223"
    )
    judgement = Judge(Claims(BASIC)).judge(parse_contents(encode(moved)), parse_contents(encode(source)))
    assert (source.SOPInstanceUID, "2.25.1") in judgement.uids
    assert -7 in judgement.days
    assert judgement.patients == {("\0MRN-554477", "KEY")}
