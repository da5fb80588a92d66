"""What a text looks like: only the order of reading depends on it."""

from __future__ import annotations

import pytest

from curate.deid.review.value_classes import CLASSES, NAMES_ITS_PATIENT, NOT_LISTED, SUSPICIOUS, classify, rank


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Quixotova^Almudena", "looks like a name"),
        ("seen by Dr. Wunderlich", "looks like a name"),
        ("Quixotova, Almudena", "looks like a name"),
        ("call 555-0142", "looks like a contact"),
        ("+44 20 7946 0395", "looks like a contact"),
        ("mail a.b@example.org", "looks like a contact"),
        ("17 Elm Street", "looks like a contact"),
        ("compared with 2016-05-15", "looks like a date"),
        ("from 14.2.2019", "looks like a date"),
        ("20200229", "looks like a date"),
        ("ACC97577655", "looks like an id"),
        ("see 1234567", "looks like an id"),
        ("the patient moved twice while we were looking", "free text"),
        ("line one\nline two", "free text"),
        ("AX T2", "short text"),
        ("HAND XR", "short text"),
        ("syngo MR XA30", "short text"),
        ("1.25 mm", "short text"),
        ("T2_TSE_SAG_3mm", "short text"),
    ],
)
def test_texts_are_told_apart_by_their_form(text: str, expected: str) -> None:
    assert classify(text, is_code=False) == expected


def test_a_code_is_a_code_whatever_it_says() -> None:
    assert classify("ORIGINAL\\PRIMARY\\AXIAL", is_code=True) == "code"


def test_what_needs_a_look_comes_first_and_what_is_not_listed_last() -> None:
    assert rank(NAMES_ITS_PATIENT) == 0
    assert max(map(rank, SUSPICIOUS)) < rank("short text") < rank("code")
    assert all(rank(reason) == len(CLASSES) for reason in NOT_LISTED.values())
