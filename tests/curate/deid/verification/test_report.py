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
    assert f"  2 x must_be_removed: {Rule.MUST_GO.text}" in lines
    assert "  a.dcm: leak name (2) in bytes" in lines


def test_the_record_is_json_and_says_all() -> None:
    record = json.loads(json.dumps(Report(COUNTS, FINDINGS, ("note",), ("113100",)).record()))
    assert record["passed"] is False
    assert [one["rule"] for one in record["findings"]] == ["leak", "must_be_removed", "must_be_removed"]
    assert record["counts"] == COUNTS


def test_every_rule_has_its_line_of_english() -> None:
    assert all(rule.text.endswith(".") for rule in Rule)
    assert len({rule.value for rule in Rule}) == len(list(Rule))
