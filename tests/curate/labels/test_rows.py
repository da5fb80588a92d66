"""Rows of label files: what stops a run, what becomes an issue, and that no cell is ever quoted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from curate.errors import Misconfigured
from curate.labels.rows import Malformed, Row, drop_repeats, key_of, number_in, parse_rows, read_rows, whole_in
from curate.reasons import Reason


@dataclass(frozen=True)
class Parsed:
    label_row: int
    study_key: str
    value: int


class Upper:
    def uid(self, value: str) -> str:
        return value.upper()


def written(folder: Path, content: bytes) -> Path:
    path = folder / "labels.csv"
    path.write_bytes(content)
    return path


def test_cells_are_stripped_text_and_other_columns_are_welcome(tmp_path: Path) -> None:
    rows, issues = read_rows(written(tmp_path, b"b , a,extra\n 007, x y ,1\n"), "train", ["a", "b"])
    assert rows == [Row(0, {"b": "007", "a": "x y", "extra": "1"})]
    assert issues == []


@pytest.mark.parametrize("content", [b"\xef\xbb\xbfa,b\r\n1,2\r\n", b'a,b\n"1","2"', b"a,b\n\n1,2\n\n"])
def test_byte_order_marks_line_ends_quotes_and_blank_lines_make_no_difference(content: bytes, tmp_path: Path) -> None:
    rows, issues = read_rows(written(tmp_path, content), "train", ["a", "b"])
    assert [(row.number, dict(row.cells)) for row in rows] == [(0, {"a": "1", "b": "2"})]
    assert issues == []


def test_a_ragged_row_is_an_issue_and_the_others_go_on(tmp_path: Path) -> None:
    rows, issues = read_rows(written(tmp_path, b"a,b\n1,2\n3\n4,5,6\n7,8\n"), "boxes", ["a", "b"])
    assert [row.number for row in rows] == [0, 3]
    assert [(issue.table, issue.row, issue.reason) for issue in issues] == [
        ("boxes", 1, Reason.LABEL_MALFORMED),
        ("boxes", 2, Reason.LABEL_MALFORMED),
    ]
    assert issues[1].detail == "3 cells where the header has 2"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\n1\n", r"labels\.train: expected column 'b' once, found 0"),
        (b"a,b,b\n1,2,3\n", r"labels\.train: expected column 'b' once, found 2"),
        (b"", r"labels\.train: expected column 'a' once, found 0"),
        (b"a,b\n\xff\xfe,1\n", r"labels\.train: the file is not a CSV table in UTF-8"),
        (b'a,b\n"1"x,1\n', r"labels\.train: the file is not a CSV table in UTF-8"),
    ],
)
def test_a_file_that_is_not_the_table_stops_the_run_with_its_key(content: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=message):
        read_rows(written(tmp_path, content), "train", ["a", "b"])


def test_a_missing_file_or_a_folder_stops_the_run_without_naming_its_path(tmp_path: Path) -> None:
    for path in (tmp_path / "Jane-Doe.csv", tmp_path):
        with pytest.raises(Misconfigured, match=r"labels\.boxes: the file is missing or cannot be read") as caught:
            read_rows(path, "boxes", ["a"])
        assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("-2.5", -2.5), ("1e2", 100.0)])
def test_numbers_are_read(text: str, value: float) -> None:
    assert number_in(Row(0, {"x": text}), "x") == value


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", "12,5", "abc"])
def test_what_is_no_number_is_malformed_and_not_quoted(text: str) -> None:
    with pytest.raises(Malformed) as caught:
        number_in(Row(0, {"x": text}), "x")
    assert str(caught.value) == "x is not a number"


def test_whole_numbers_may_be_written_with_a_decimal_point() -> None:
    assert whole_in(Row(0, {"x": "12.0"}), "x") == 12
    for text in ("12.5", "1e300"):
        with pytest.raises(Malformed, match="x is not a whole number"):
            whole_in(Row(0, {"x": text}), "x")


def test_an_id_goes_through_the_keyed_function_and_may_not_be_empty() -> None:
    assert key_of(Row(0, {"id": "abc"}), "id", Upper()) == "ABC"
    with pytest.raises(Malformed, match="id is empty"):
        key_of(Row(0, {"id": ""}), "id", Upper())


def test_rows_that_do_not_parse_become_issues_with_row_and_study() -> None:
    rows = [Row(0, {"v": "1"}), Row(1, {"v": "x"})]
    parsed, issues = parse_rows(rows, "train", lambda row: Parsed(row.number, "S", whole_in(row, "v")), lambda row: "S")
    assert parsed == [Parsed(0, "S", 1)]
    assert [(issue.row, issue.study_key, issue.reason) for issue in issues] == [(1, "S", Reason.LABEL_MALFORMED)]


def test_equal_repeats_keep_the_first_and_unequal_ones_keep_none() -> None:
    rows = [Parsed(0, "S1", 1), Parsed(1, "S2", 1), Parsed(2, "S1", 1), Parsed(3, "S2", 0), Parsed(4, "S3", 0)]
    kept, issues = drop_repeats(rows, "train", same=lambda r: r.study_key, value=lambda r: r.value, what="study")
    assert [row.label_row for row in kept] == [0, 4]
    assert [(issue.row, issue.reason) for issue in issues] == [
        (2, Reason.LABEL_DUPLICATE),
        (1, Reason.LABEL_CONTRADICTION),
        (3, Reason.LABEL_CONTRADICTION),
    ]
    assert issues[0].detail == "the same as row 0"
