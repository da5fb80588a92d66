"""Issues as rows of a table."""

from __future__ import annotations

from curate.labels.issues import Issue, issues_table
from curate.manifests.schemas import LABEL_ISSUES
from curate.reasons import Reason


def test_issues_become_rows_in_the_order_given() -> None:
    table = issues_table(
        [
            Issue("boxes", 4, "S1", Reason.LABEL_OUTSIDE_FRAME, "the image has 512 columns"),
            Issue("masks", None, None, Reason.MASK_UNREADABLE, ""),
        ]
    )
    assert table.schema.equals(LABEL_ISSUES)
    assert table.to_pylist() == [
        {
            "table": "boxes",
            "row": 4,
            "study_key": "S1",
            "reason": "label_outside_frame",
            "detail": "the image has 512 columns",
        },
        {"table": "masks", "row": None, "study_key": None, "reason": "mask_unreadable", "detail": ""},
    ]


def test_no_issues_make_an_empty_table_of_the_schema() -> None:
    assert issues_table([]).equals(LABEL_ISSUES.empty_table())
