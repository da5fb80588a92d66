"""The report says the same to a machine and to a person, in a fixed order."""

from __future__ import annotations

import json

from curate.deid.verification.findings import Finding, Rule
from curate.deid.verification.report import Report

COUNTS = {"files in the source": 1200, "objects in the output": 2}
FINDINGS = (
    Finding("a.dcm", Rule.LEAK, "", "name (2) in bytes"),
    Finding("a.dcm", Rule.MUST_GO, "(0008,1030)"),
    Finding("b.dcm", Rule.MUST_GO, "(0008,1030)"),
)


def test_nothing_wrong_is_said_first() -> None:
    report = Report(COUNTS, (), ("pixels, same bytes: 2 objects",), ("113100",))
    assert report.passed
    lines = report.lines()
    assert lines[0] == "Nothing is wrong."
    assert "files in the source: 1,200" in lines
    assert "  pixels, same bytes: 2 objects" in lines


def test_findings_are_counted_by_rule_and_explained() -> None:
    report = Report(COUNTS, FINDINGS, (), ())
    assert not report.passed
    lines = report.lines()
    assert lines[0] == "3 findings: do not release this."
    assert f"  {Rule.MUST_GO.text} (must_be_removed: 2 findings)" in lines
    assert "    a.dcm: name (2) in bytes" in lines


def test_of_many_findings_of_one_rule_a_few_are_shown_and_the_others_counted() -> None:
    many = tuple(Finding(f"{number}.dcm", Rule.ORPHAN) for number in range(12))
    lines = Report(COUNTS, (*many, Finding("z.dcm", Rule.NAME)), (), ()).lines()
    assert "    4.dcm" in lines
    assert "    5.dcm" not in lines
    assert "    and 7 more: --report writes them all" in lines
    assert "    z.dcm" in lines


def test_the_record_is_json_and_says_all() -> None:
    record = json.loads(json.dumps(Report(COUNTS, FINDINGS, ("note",), ("113100",)).record()))
    assert record["passed"] is False
    assert [one["rule"] for one in record["findings"]] == ["leak", "must_be_removed", "must_be_removed"]
    assert record["counts"] == COUNTS


def test_every_rule_has_its_line_of_english() -> None:
    assert all(rule.text.endswith(".") for rule in Rule)
    assert len({rule.value for rule in Rule}) == len(list(Rule))
