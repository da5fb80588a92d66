"""Two readers: whatever one of them sees otherwise is named by its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from curate.deid.verification.cross import disagreements
from curate.deid.verification.entries import Contents, Entry
from curate.deid.verification.parsing import parse_contents
from curate.errors import Rejected
from tests.support.deid_files import encode, insert_before_pixels, make_ct, raw_element

RAW = encode(make_ct())
PARSED = parse_contents(RAW)


def changed(tag: int, *new: Entry) -> Contents:
    entries = [one for entry in PARSED.entries for one in (new if entry.tag == tag else (entry,))]
    return replace(PARSED, entries=tuple(entries))


def entry(tag: int) -> Entry:
    return next(one for one in PARSED.entries if one.tag == tag)


SEQUENCE = entry(0x00081140)
OTHERS = {
    "a value": (changed(0x00180060, Entry(0x00180060, "DS", b"121")), ("(0018,0060)", "another value")),
    "an element less": (changed(0x00180060), ("(0018,0060)", "GDCM alone sees it")),
    "an element more": (
        changed(0x00180060, entry(0x00180060), Entry(0x00180061, "DS", b"1")),
        ("(0018,0061)", "GDCM does not see it"),
    ),
    "an item less": (changed(0x00081140, SEQUENCE._replace(items=())), ("(0008,1140)", "another number of items")),
    "a nested value": (
        changed(0x00081140, SEQUENCE._replace(items=((Entry(0x00081150, "UI", b"1.2"),),))),
        ("(0008,1140)[0](0008,1150)", "another value"),
    ),
    "a meta value": (
        replace(PARSED, meta=PARSED.meta[1:], entries=PARSED.entries[1:]),
        ("(0002,0000)", "GDCM alone sees it"),
    ),
    "a syntax": (
        replace(PARSED, transfer_syntax="1.2.840.10008.1.2", entries=PARSED.entries[1:]),
        ("(0002,0010)", "another transfer syntax"),
    ),
}


def test_the_same_is_no_disagreement() -> None:
    assert list(disagreements(RAW, PARSED)) == []
    assert list(disagreements(RAW, changed(0x00180060, Entry(0x00180060, "DS", b"120")))) == []  # padding


@pytest.mark.parametrize("name", OTHERS)
def test_what_differs_is_named(name: str) -> None:
    parsed, expected = OTHERS[name]
    assert expected in list(disagreements(RAW, parsed))


def test_an_attribute_that_stands_there_twice_is_two_files_in_one() -> None:
    raw = insert_before_pixels(
        RAW, raw_element(0x0040A123, b"PN", b"One^One ") + raw_element(0x0040A123, b"PN", b"Two^")
    )
    assert ("", "an attribute stands there twice") in list(disagreements(raw, parse_contents(raw)))


def test_what_gdcm_cannot_read_is_rejected() -> None:
    with pytest.raises(Rejected):
        list(disagreements(bytes(128) + b"DICM" + b"\xff" * 40, PARSED))
