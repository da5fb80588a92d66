"""Which marks a run met, and how classes are called."""

from __future__ import annotations

from curate.deid.review.decisions import make_decisions, noting
from pipelines.folder_report import class_name

ROWS = [
    {"tag_path": "(0008,103e)", "vr": "LO", "value": "SAG", "decision": "keep"},
    {"tag_path": "(0008,103e)", "vr": "LO", "value": "AX", "decision": "clean"},
    {"tag_path": "(0040,0275)/(0040,0007)", "vr": "LO", "value": "NECK", "decision": "keep"},
    {"tag_path": "(0019,xx0c,SIEMENS MR HEADER)", "vr": "LO", "value": "b", "decision": "keep"},
    {"tag_path": "(0018,1030)", "vr": "LO", "value": "P", "decision": "remove"},
]


def test_decisions_note_which_of_them_were_asked_for() -> None:
    decisions = noting(make_decisions(ROWS))
    assert decisions.action("(0008,103e)", "LO", "SAG") == "keep"
    assert decisions.action("(0008,103e)", "LO", "SAG") == "keep"
    assert decisions.action("(0008,103e)", "LO", "COR") is None
    assert decisions.action("(0018,1030)", "LO", "P") == "remove"
    order = sorted((row["tag_path"], row["vr"], row["value"]) for row in ROWS)
    assert {order[number][2] for number in decisions.met} == {"SAG", "P"}
    assert decisions.content() == make_decisions(ROWS).content()
    assert "SAG" not in repr(decisions)


def test_a_class_is_called_as_people_call_it() -> None:
    assert class_name("1.2.840.10008.5.1.4.1.1.2") == "CT Image"
    assert class_name("1.2.840.10008.5.1.4.1.1.481.3") == "RT Structure Set"
