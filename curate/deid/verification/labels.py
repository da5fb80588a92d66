"""What an object says of its own de-identification, and its file meta information (PS3.15 E.1.1)."""

from __future__ import annotations

from collections.abc import Iterator

from curate.deid.verification.claims import Claims
from curate.deid.verification.entries import Contents, describe
from curate.deid.verification.findings import Rule
from curate.deid.verification.standard import BASIC, FULL_DATES, MODIFIED_DATES

NAME, PATIENT_ID = 0x00100010, 0x00100020
_REMOVED, _CODES, _DATES = 0x00120062, 0x00120064, 0x00280303
STATEMENTS = frozenset((_REMOVED, 0x00120063, _CODES, _DATES, 0x00280301, 0x00280302))
_META = frozenset((0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013))

Broken = tuple[Rule, str, str]  # rule, path, detail


def statement_faults(output: Contents, claims: Claims) -> Iterator[Broken]:
    """(0012,0062), (0012,0064) and (0028,0303) say what was done, and the patient's name is the patient's key."""
    if output.text(_REMOVED) != "YES":
        yield Rule.STATEMENT, describe(_REMOVED), "does not say YES"
    codes = claims.codes
    if not claims.keeps_ids and BASIC not in codes:
        yield Rule.STATEMENT, describe(_CODES), f"lacks code {BASIC}"
    dates = "UNMODIFIED" if FULL_DATES in codes else "MODIFIED" if MODIFIED_DATES in codes else "REMOVED"
    said = output.text(_DATES)
    if said != dates and not (dates == "REMOVED" and said == "MODIFIED"):
        yield Rule.STATEMENT, describe(_DATES), f"does not say {dates}"
    if not claims.keeps_ids and output.value(NAME) != output.value(PATIENT_ID):
        yield Rule.STATEMENT, describe(NAME), "is not the patient's key"


def meta_faults(output: Contents) -> Iterator[Broken]:
    """Group 0002 was made anew: nothing but what a file needs, and the object's own UID."""
    for entry in output.meta:
        if entry.tag not in _META:
            yield Rule.FILE_META, describe(entry.tag), ""
        elif entry.tag == 0x00020003 and entry.value.strip(b" \0") != output.value(0x00080018):
            yield Rule.FILE_META, describe(entry.tag), "is not the SOP Instance UID"
