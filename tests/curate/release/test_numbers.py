"""Numbers that disagree in a whole release are in test_verify; here, what the comparison itself says."""

import pytest

from curate.release.findings import Finding, Kind
from curate.release.numbers import check_csvs

EXPECTED = {"a.csv": b"id,x\n1,2.5\n2,3.5\n"}


def test_rows_may_stand_in_any_order() -> None:
    assert list(check_csvs(EXPECTED, {"a.csv": b"id,x\n2,3.5\n1,2.5\n", "other.csv": b"z"})) == []


def test_quoting_and_line_ends_make_no_difference() -> None:
    assert list(check_csvs(EXPECTED, {"a.csv": b'id,x\r\n"1",2.5\r\n2,"3.5"\r\n'})) == []


@pytest.mark.parametrize(
    ("content", "kind", "detail"),
    [
        (b"id,y\n1,2.5\n2,3.5\n", Kind.UNREADABLE, "its header is not the challenge's"),
        (b"", Kind.UNREADABLE, "its header is not the challenge's"),
        (b"\xff\xfe", Kind.UNREADABLE, "not a CSV file in UTF-8"),
        (b'id,x\n"1,2.5\n', Kind.UNREADABLE, "not a CSV file in UTF-8"),
        (
            b"id,x\n1,2.5\n2,9\n",
            Kind.REFERENCE,
            "1 rows of the tables are not in it, 1 rows of it are not in the tables",
        ),
    ],
)
def test_other_content_is_one_finding(content: bytes, kind: Kind, detail: str) -> None:
    assert list(check_csvs(EXPECTED, {"a.csv": content})) == [Finding("a.csv", kind, detail)]


def test_a_row_too_few_or_twice_is_a_wrong_number() -> None:
    for content in (b"id,x\n1,2.5\n", b"id,x\n1,2.5\n2,3.5\n2,3.5\n"):
        assert [finding.kind for finding in check_csvs(EXPECTED, {"a.csv": content})] == [Kind.NUMBER, Kind.REFERENCE]


def test_a_file_that_is_not_there_is_missing() -> None:
    assert [finding.kind for finding in check_csvs(EXPECTED, {})] == [Kind.MISSING]
