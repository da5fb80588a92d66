from curate.release.findings import Finding, Kind


def test_a_finding_reads_as_one_line() -> None:
    assert str(Finding("train.csv", Kind.MISSING)) == "missing: train.csv"
    assert str(Finding("train.csv", Kind.NUMBER, "3 rows; 4")) == "number: train.csv: 3 rows; 4"


def test_findings_sort_by_path_first() -> None:
    findings = [Finding("b", Kind.CHANGED), Finding("a", Kind.MISSING), Finding("a", Kind.EXTRA)]
    assert [finding.path for finding in sorted(findings)] == ["a", "a", "b"]
