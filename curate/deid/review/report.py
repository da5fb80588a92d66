"""The report of one de-identified folder, for a coordinator and a privacy officer who never saw the tool.

Numbers and fixed sentences alone: no value of the source, no path, no name of a site. ``report_page.py`` makes the page
of it; ``record`` is the same for a machine. Every number can be counted again from ``audit.parquet``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from curate.deid.records.statement import Statement
from curate.identity import Json
from curate.reasons import Reason

DONE, QUARANTINED, REJECTED, NOT_DICOM = "done", "quarantined", "rejected", "not DICOM"

_ASK = "Ask whoever made the export for these files again."
_LEAVE = "Nothing, unless these files should be part of the data: then ask for advice, naming the reason."
_BUG = "Report it to those who maintain this program, with the reason and the detail; no file needs to be sent."
_NEXT: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.EMPTY_FILE: _ASK,
        Reason.NOT_DICOM: "Nothing: texts, tables and the like are never copied.",
        Reason.TRUNCATED_FILE: _ASK,
        Reason.NOT_PERMITTED: "Give yourself the right to read these files (chmod u+r), then run again.",
        Reason.UNREADABLE_HEADER: _ASK,
        Reason.UNREADABLE_ARCHIVE: "Unpack the archive yourself if it has a password, then run again on the folder; "
        "else ask for it again.",
        Reason.UNSAFE_NAME: "Look where the archive comes from: an ordinary export has no such names or links. Pack "
        "the files anew if they are needed.",
        Reason.SUSPICIOUS_COMPRESSION: "Look where the archive comes from; unpack it yourself if you trust it, then "
        "run again on the folder.",
        Reason.SOURCE_CHANGED: "Run again when nothing writes into the folder any more.",
        Reason.FILE_TOO_LARGE: _LEAVE,
        Reason.MISSING_IDENTIFIERS: _ASK,
        Reason.NOT_AN_IMAGE: "Nothing: directories and lists of other files are not needed.",
        Reason.DUPLICATE_INSTANCE: "Nothing: the same image is in the output once.",
        Reason.CONFLICTING_INSTANCE: "Find out which of the files is the right one, take the others out of the folder, "
        "then run again.",
        Reason.SECONDARY_CAPTURE: "Leave them out if you can: screens and scanned pages often show names. If they are "
        "needed, run again with --allow secondary_capture; then text in them is blanked, and each should be looked at.",
        Reason.UNKNOWN_SOP_CLASS: "Leave them out: directories (DICOMDIR), documents and the like can hide text where "
        "no rule looks. Structured reports can be let in with --option clean_structured_content beside the others.",
        Reason.IMPLAUSIBLE_HEADER: _ASK,
        Reason.UNSUPPORTED_TRANSFER_SYNTAX: "Export these files again with a common compression or with none.",
        Reason.UNDECODABLE_PIXELS: _ASK,
        Reason.TOO_LARGE: "Run again on a machine with more memory.",
        Reason.BURNED_IN_ANNOTATION: "Look at these images: text in them could not be found or blanked with certainty. "
        "Leave them out, or export them again without annotations.",
        Reason.DEIDENTIFICATION_FAILED: "Leave them out, or export them again from another system: their form is so "
        "unusual that nobody can say what else they hold.",
        Reason.LEAK_FOUND: "Leave them out, and report it: something known of a person was still in the result, which "
        "was thrown away.",
        Reason.VERIFICATION_FAILED: "Check the disk, then run again.",
        Reason.UNEXPECTED_ERROR: _BUG,
        Reason.STORAGE_UNAVAILABLE: "Check the disk or the network drive, then run again: these are tried again.",
        Reason.WORKER_CRASHED: _BUG,
        Reason.TIMED_OUT: _BUG,
    }
)


@dataclass(frozen=True, slots=True, order=True)
class Apart:
    """Files that are not in the output for one reason. ``details``: what was said besides -> files."""

    outcome: str  # quarantined | rejected | not DICOM
    reason: Reason
    files: int
    details: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Marks:
    """What became of a person's marks: how many, how many of them some file holds, and values by mark."""

    given: int
    met: int
    kept: int
    cleaned: int
    removed: int


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of the second reader, in its own words."""

    passed: bool
    counts: tuple[tuple[str, int], ...]
    broken: tuple[tuple[str, str, int], ...]  # rule, what it means, findings
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FolderReport:
    """Everything that the report says."""

    files: int
    apart: tuple[Apart, ...]
    patients: int
    studies: int
    series: int
    kinds: tuple[tuple[str, int], ...]  # the standard's name of a class of objects -> files of the output
    blanked_boxes: int
    statement: Statement
    marks: Marks | None  # None: no marks were given
    check: Check | None  # None: not checked

    @property
    def done(self) -> int:
        """Files in the output."""
        return self.statement.files

    def count(self, outcome: str) -> int:
        """Files with that outcome; together they are all files."""
        return self.done if outcome == DONE else sum(each.files for each in self.apart if each.outcome == outcome)

    def record(self) -> dict[str, Json]:
        """As JSON values."""
        statement = self.statement
        return {
            "format": "spine-curate de-identification report 1",
            "files": self.files,
            **{outcome: self.count(outcome) for outcome in (DONE, QUARANTINED, REJECTED, NOT_DICOM)},
            "not_in_the_output": [
                {
                    "outcome": each.outcome,
                    "reason": each.reason.value,
                    "means": each.reason.text,
                    "next": next_step(each.reason),
                    "files": each.files,
                    "details": dict(each.details),
                }
                for each in self.apart
            ],
            "patients": self.patients,
            "studies": self.studies,
            "series": self.series,
            "kinds": dict(self.kinds),
            "blanked_boxes": self.blanked_boxes,
            "marks": None
            if self.marks is None
            else {name: getattr(self.marks, name) for name in ("given", "met", "kept", "cleaned", "removed")},
            "profile": statement.profile,
            "edition": statement.edition,
            "options": [list(option) for option in statement.options],
            "key_fingerprint": statement.key_fingerprint,
            "statement": {
                name: value
                for name, value in statement.record().items()
                if name not in ("quarantined_series", "anonymity")  # of releases
            },
            "check": None
            if self.check is None
            else {
                "passed": self.check.passed,
                "counts": dict(self.check.counts),
                "broken": [list(each) for each in self.check.broken],
                "notes": list(self.check.notes),
            },
        }


def next_step(reason: Reason) -> str:
    """What a coordinator can do about files that were set aside for a reason."""
    return _NEXT.get(reason, _LEAVE)


def count_apart(outcomes: Iterable[tuple[str, Reason, str]]) -> tuple[Apart, ...]:
    """Of (outcome, reason, detail) of each file that is not in the output: most pressing first."""
    details: dict[tuple[str, Reason], Counter[str]] = {}
    for outcome, reason, detail in outcomes:
        kind = NOT_DICOM if reason is Reason.NOT_DICOM else outcome
        details.setdefault((kind, reason), Counter())[detail] += 1
    order = (QUARANTINED, REJECTED, NOT_DICOM)
    found = [
        Apart(
            kind,
            reason,
            counts.total(),
            tuple(sorted(((d, n) for d, n in counts.items() if d), key=lambda pair: (-pair[1], pair[0]))),
        )
        for (kind, reason), counts in details.items()
    ]
    return tuple(sorted(found, key=lambda each: (order.index(each.outcome), -each.files, each.reason.value)))
