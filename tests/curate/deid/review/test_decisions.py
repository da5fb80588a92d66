"""A person's decisions: one value at one place; nobody can decide to keep a person."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curate.deid.review.decisions import (
    COLUMNS,
    FORMAT,
    creator_of,
    is_personal,
    join_path,
    make_decisions,
    name_path,
    parse_decisions,
    path_step,
    read_decisions,
)
from curate.errors import Misconfigured

ROWS = [
    {"tag_path": "(0008,1030)", "vr": "LO", "value": "Knee, Quixotova", "decision": "remove"},
    {"tag_path": "(0008,1030)", "vr": "LO", "value": "Knee, left", "decision": "keep"},
    {"tag_path": "(0040,0275)/(0040,0007)", "vr": "LO", "value": 'A "quoted", text\nof two lines', "decision": "clean"},
    {"tag_path": "(0019,xx0c,ACME/1 (0010,0010))", "vr": "LO", "value": "x", "decision": "keep"},
]


def as_json(rows: list[dict[str, str]]) -> bytes:
    return json.dumps({"format": FORMAT, "decisions": rows}).encode()


def as_csv(rows: list[dict[str, str]]) -> bytes:
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    return b"\xef\xbb\xbf" + stream.getvalue().encode()  # as spreadsheets save it


@pytest.mark.parametrize("write", [as_json, as_csv])
def test_both_files_that_the_page_saves_give_the_same_decisions(write: object, tmp_path: Path) -> None:
    path = tmp_path / "decisions"
    path.write_bytes(write(ROWS))  # type: ignore[operator]
    decisions = read_decisions(path)
    assert len(decisions) == 4
    for row in ROWS:
        assert decisions.action(row["tag_path"], row["vr"], row["value"]) == row["decision"]


def test_a_decision_holds_for_this_value_at_this_place_in_this_vr_and_no_other() -> None:
    decisions = parse_decisions(as_json(ROWS))
    assert decisions.action("(0008,1030)", "LO", "Knee, right") is None
    assert decisions.action("(0008,103e)", "LO", "Knee, left") is None
    assert decisions.action("(0008,1030)", "SH", "Knee, left") is None
    assert decisions.action("(0040,0275)/(0008,1030)", "LO", "Knee, left") is None


def test_the_quick_question_never_misses_a_tag_of_which_a_decision_speaks() -> None:
    decisions = parse_decisions(as_json(ROWS))
    assert decisions.concern(0x00081030)
    assert decisions.concern(0x00400007)
    assert decisions.concern(0x0019120C, "ACME/1 (0010,0010)")
    assert not decisions.concern(0x00400275)  # a sequence on the way
    assert not decisions.concern(0x0019120C, "ACME")


def test_paths_name_private_elements_by_creator_because_their_blocks_move() -> None:
    assert path_step(0x0019100C, "ACME") == path_step(0x0019200C, "ACME") == "(0019,xx0c,ACME)"
    assert join_path("(0040,0275)", 0x00400007) == "(0040,0275)/(0040,0007)"
    assert join_path("", 0x00081030) == "(0008,1030)"
    assert creator_of("(0040,0275)/(0019,xx0c,A/B)") == "A/B"
    assert creator_of("(0008,1030)") is None


def test_paths_have_names_for_people() -> None:
    assert name_path("(0008,1030)") == "Study Description"
    assert name_path("(0040,0275)/(0040,0007)") == (
        "Request Attributes Sequence > Scheduled Procedure Step Description"
    )
    assert name_path("(0019,xx0c,ACME)") == "private, ACME"
    assert name_path("(0008,fff1)") == "unknown attribute"


@pytest.mark.parametrize(
    ("path", "vr"),
    [
        ("(0010,0010)", "PN"), ("(0010,0020)", "LO"), ("(0008,0050)", "SH"), ("(0008,0080)", "LO"),
        ("(0010,1040)", "LO"), ("(0008,0018)", "UI"), ("(0008,0020)", "DA"), ("(0008,0030)", "TM"),
        ("(0010,1002)/(0010,0020)", "LO"), ("(0008,1090)", "PN"), ("(0019,xx01,ACME)", "DT"),
    ],
)  # fmt: skip
def test_nobody_can_keep_or_clean_what_stands_for_a_person(path: str, vr: str) -> None:
    assert is_personal(path, vr)
    row = {"tag_path": path, "vr": vr, "value": "Quixotova"}
    for decision in ("keep", "clean"):
        with pytest.raises(Misconfigured, match="row 1") as caught:
            make_decisions([{**row, "decision": decision}])
        assert "Quixotova" not in str(caught.value)
    assert len(make_decisions([{**row, "decision": "remove"}])) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"decision": "allow"}, {"decision": None}, {"decision": ["keep"]}, {"vr": "XX"}, {"vr": 5}, {"value": None},
        {"tag_path": "StudyDescription"}, {"tag_path": "(0008,1030"}, {"tag_path": ""}, {"tag_path": "(0019,100c)x"},
    ],
)  # fmt: skip
def test_a_row_that_is_none_is_refused_by_its_number_and_not_quoted(change: dict[str, object]) -> None:
    with pytest.raises(Misconfigured, match="row 2") as caught:
        make_decisions([ROWS[1], {**ROWS[0], **change}])
    assert "Quixotova" not in str(caught.value)


def test_one_value_decided_in_two_ways_is_refused_and_twice_in_one_way_is_not() -> None:
    assert len(make_decisions([ROWS[0], ROWS[0]])) == 1
    with pytest.raises(Misconfigured, match="two ways"):
        make_decisions([ROWS[1], {**ROWS[1], "decision": "remove"}])


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"{}", b"[]", b'{"format": "other", "decisions": []}', b'{"format": "%s", "decisions": {}}',
        b"tag_path,vr,value\n", b"\xff\xfe\x00", b'{"format": "spine-curate decisions 1", "decisions": [1]}',
        b"[" * 100_000, b'{"a":' * 100_000,
    ],
    ids=range(11),
)  # fmt: skip
def test_what_is_no_decisions_file_is_refused(content: bytes) -> None:
    with pytest.raises(Misconfigured, match=r"deid\.decisions"):
        parse_decisions(content)


def test_a_missing_file_is_refused_without_its_path(tmp_path: Path) -> None:
    for path in (tmp_path / "Quixotova.json", tmp_path):
        with pytest.raises(Misconfigured) as caught:
            read_decisions(path)
        assert str(path) not in str(caught.value)


def test_the_text_of_decisions_is_never_shown() -> None:
    decisions = parse_decisions(as_json(ROWS))
    assert repr(decisions) == "Decisions(4 rows)"


@settings(deadline=None, max_examples=24)
@given(st.permutations(ROWS))
def test_the_order_of_rows_makes_no_difference(rows: list[dict[str, str]]) -> None:
    assert make_decisions(rows).content() == make_decisions(ROWS).content()


@settings(deadline=None, max_examples=60)
@given(st.text(), st.sampled_from(["keep", "clean", "remove"]))
def test_any_text_comes_back_from_both_files(value: str, decision: str) -> None:
    row = {"tag_path": "(0008,1030)", "vr": "LO", "value": value, "decision": decision}
    assert parse_decisions(as_json([row])).action("(0008,1030)", "LO", value) == decision
    if "\0" not in value and not any("\ud800" <= letter <= "\udfff" for letter in value):
        assert parse_decisions(as_csv([row])).action("(0008,1030)", "LO", value) == decision
