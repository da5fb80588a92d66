"""The report of a folder: its numbers add up, and every reason has a next step."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest

from curate.deid.records.audit_chain import chain_audit
from curate.deid.records.statement import make_statement
from curate.deid.review.report import (
    DONE,
    NOT_DICOM,
    QUARANTINED,
    REJECTED,
    Check,
    FolderReport,
    Marks,
    count_apart,
    next_step,
)
from curate.deid.review.report_page import render_report
from curate.manifests.schemas import FILE_AUDIT
from curate.reasons import Reason

OF_OTHER_STAGES = (  # reasons of series, labels and volumes, which no single file is left out for
    *("mixed_identity", "wrong_modality", "localizer", "not_monochrome", "multiframe", "missing_geometry"),
    *("missing_rescale", "mixed_matrix", "mixed_orientation", "gantry_tilt", "slice_gap", "irregular_spacing"),
    *("several_sites", "repeated_position", "too_few_slices", "mask_unreadable", "mask_misplaced"),
)
APART = [
    (REJECTED, Reason.NOT_DICOM, ""),
    (REJECTED, Reason.EMPTY_FILE, ""),
    (QUARANTINED, Reason.UNKNOWN_SOP_CLASS, "Encapsulated PDF Storage"),
    (QUARANTINED, Reason.UNKNOWN_SOP_CLASS, "Encapsulated PDF Storage"),
    (QUARANTINED, Reason.UNKNOWN_SOP_CLASS, "<script>alert(1)</script>"),
    (QUARANTINED, Reason.UNKNOWN_SOP_CLASS, ""),
]
GOOD_CHECK = Check(True, (("objects compared with their source", 2),), (), ("a note",))
BAD_CHECK = Check(False, (), (("leak", "Something known.", 3), ("date_not_shifted", "A date.", 1)), ())


def audit(files: int) -> pa.Table:
    rows = [
        {
            "series_key": "s",
            "instance_key": f"{number}",
            "profile": "mira",
            "options": [],
            "counts": [
                {"what": "uid mapped", "elements": 9},
                {"what": "private removed: ACME", "elements": 2},
                {"what": "pixels: frames searched for text", "elements": 1},
            ],
            "flags": [],
            "blanked": [{"cause": "text", "top": 0, "left": 0, "bottom": 9, "right": 9}],
        }
        for number in range(files)
    ]
    return chain_audit(pa.Table.from_pylist(rows, schema=FILE_AUDIT))


def report(files: int = 2, *, marks: Marks | None = None, check: Check | None = GOOD_CHECK) -> FolderReport:
    statement = make_statement(
        audit(files),
        profile="mira",
        edition="2026d",
        options=[("113100", "Basic"), ("113105", "Clean Descriptors Option")],
        overrides=[("(0008,1010)", "keep")],
        key_fingerprint="f" * 16,
        exclusions=(),
        anonymity=(),
    )
    apart = count_apart(APART)
    return FolderReport(files + len(APART), apart, 1, 1, 1, (("CT Image", files),), files, statement, marks, check)


def test_every_file_is_counted_once() -> None:
    made = report()
    counts = {outcome: made.count(outcome) for outcome in (DONE, QUARANTINED, REJECTED, NOT_DICOM)}
    assert counts == {DONE: 2, QUARANTINED: 4, REJECTED: 1, NOT_DICOM: 1}
    assert sum(counts.values()) == made.files


def test_files_are_told_by_reason_the_most_pressing_first_with_what_was_said_besides() -> None:
    first, *_, last = count_apart(APART)
    assert (first.outcome, first.reason, first.files) == (QUARANTINED, Reason.UNKNOWN_SOP_CLASS, 4)
    assert first.details == (("Encapsulated PDF Storage", 2), ("<script>alert(1)</script>", 1))
    assert (last.outcome, last.files) == (NOT_DICOM, 1)
    assert count_apart(APART[::-1]) == count_apart(APART)


@pytest.mark.parametrize("reason", [reason for reason in Reason if not reason.value.startswith("label_")])
def test_every_reason_that_a_file_can_be_left_out_for_has_a_next_step_of_its_own(reason: Reason) -> None:
    own = next_step(reason) != next_step(Reason.LABEL_MALFORMED)
    assert own or reason.value in (*OF_OTHER_STAGES, "file_too_large")
    assert next_step(reason).endswith(".")


def test_the_record_is_json_with_the_same_numbers() -> None:
    record = json.loads(json.dumps(report(marks=Marks(3, 2, 5, 0, 1)).record()))
    assert record["files"] == record["done"] + record["quarantined"] + record["rejected"] + record["not DICOM"]
    assert record["marks"] == {"given": 3, "met": 2, "kept": 5, "cleaned": 0, "removed": 1}
    assert record["statement"]["private_dropped"] == {"ACME": 4}
    assert record["check"]["passed"] is True
    assert report(check=None).record()["check"] is None


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (report(), ("2 files of 8 are de-identified", "Checked, and nothing was found.", "privacy officer")),
        (report(1), ("1 file of 7 is de-identified", "In 1 file 1 rectangle")),
        (report(check=None), ("Not checked yet.", "without <code>--no-verify</code>")),
        (report(check=BAD_CHECK), ("Do not hand this on: the check found 4 faults.", "date_not_shifted")),
        (report(0), ("No file could be de-identified", "There is nothing to hand on.")),
        (report(marks=Marks(1, 1, 2, 0, 0)), ("1 mark was given; 1 of them", "All were used.")),
        (report(marks=Marks(3, 1, 0, 0, 4)), ("3 marks were given", "2 met no file")),
    ],
)
def test_the_page_says_in_words_what_happened(made: FolderReport, said: tuple[str, ...]) -> None:
    page = render_report(made).decode()
    for words in said:
        assert words in page
    assert render_report(made) == render_report(made)


def test_nobody_is_told_to_hand_on_what_was_not_checked_or_is_wrong() -> None:
    for check in (None, BAD_CHECK):
        assert "Give the output folder to your privacy officer" not in render_report(report(check=check)).decode()


def test_the_page_has_no_script_and_no_network_and_escapes_what_it_shows() -> None:
    page = render_report(report()).decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "default-src 'none'; style-src 'sha256-" in page
    assert "http" not in page.split("</style>")[1]
    assert "{" not in page.split("</style>")[1]  # every place was filled


def test_the_page_shows_what_goes_to_a_privacy_officer() -> None:
    page = render_report(report()).decode()
    for words in ("113105", "2026d", "f" * 16, "ACME", "(0008,1010)", "Encapsulated PDF Storage: 2", "UIDs replaced"):
        assert words in page
    assert "Faces were not altered." in page
