"""What an object says of its own de-identification, and its file meta information (PS3.15 E.1.1)."""

from __future__ import annotations

from collections.abc import Iterator

from curate.deid.verification.claims import Claims
from curate.deid.verification.entries import Contents, Entry, describe
from curate.deid.verification.findings import Rule
from curate.deid.verification.forms import is_malformed
from curate.deid.verification.standard import BASIC, FULL_DATES, MODIFIED_DATES

NAME, PATIENT_ID = 0x00100010, 0x00100020
_REMOVED, _CODES, _DATES = 0x00120062, 0x00120064, 0x00280303
_METHOD, _BURNED_IN, _FEATURES = 0x00120063, 0x00280301, 0x00280302
STATEMENTS = {_REMOVED: "CS", _METHOD: "LO", _CODES: "SQ", _DATES: "CS", _BURNED_IN: "CS", _FEATURES: "CS"}
"""Attributes by which an object speaks of its own de-identification, with their VRs."""

_PARTS_OF_A_CODE = {0x00080100: "SH", 0x00080102: "SH", 0x00080104: "LO"}
_META = {0x00020000: "UL", 0x00020001: "OB", 0x00020002: "UI", 0x00020003: "UI", 0x00020010: "UI", 0x00020012: "UI",
         0x00020013: "SH"}  # fmt: skip

Broken = tuple[Rule, str, str]  # rule, path, detail


def statement_faults(output: Contents, claims: Claims) -> Iterator[Broken]:
    """(0012,0062), (0012,0064) and (0028,0303) say what was done, and nothing else; the name is the patient's key."""
    if output.text(_REMOVED) != "YES":
        yield Rule.STATEMENT, describe(_REMOVED), "does not say YES"
    codes = claims.codes
    if not claims.keeps_ids and BASIC not in codes:
        yield Rule.STATEMENT, describe(_CODES), f"lacks code {BASIC}"
    dates = "UNMODIFIED" if FULL_DATES in codes else "MODIFIED" if MODIFIED_DATES in codes else "REMOVED"
    said = output.text(_DATES)
    if said != dates:
        yield Rule.STATEMENT, describe(_DATES), f"does not say {dates}"
    if not claims.keeps_ids and output.value(NAME) != output.value(PATIENT_ID):
        yield Rule.STATEMENT, describe(NAME), "is not the patient's key"
    for entry in output.entries:
        if entry.tag in STATEMENTS and not _has_its_form(entry):
            yield Rule.STATEMENT, describe(entry.tag), "holds something else"


def _has_its_form(entry: Entry) -> bool:
    """Whether a statement is of its VR, and a list of codes a list of codes."""
    parts = (inner for item in entry.items or () for inner in item)
    return entry.vr == STATEMENTS[entry.tag] and all(inner.vr == _PARTS_OF_A_CODE.get(inner.tag) for inner in parts)


def meta_faults(output: Contents) -> Iterator[Broken]:
    """Group 0002 was made anew: nothing but what a file needs, and the object's own UID."""
    for entry in output.meta:
        if entry.vr != _META.get(entry.tag) or is_malformed(entry.vr, entry.value):
            yield Rule.FILE_META, describe(entry.tag), ""
        elif entry.tag == 0x00020003 and entry.value.strip(b" \0") != output.value(0x00080018):
            yield Rule.FILE_META, describe(entry.tag), "is not the SOP Instance UID"
