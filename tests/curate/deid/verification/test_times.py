"""Offsets are read off pairs of values."""

from __future__ import annotations

import pytest

from curate.deid.verification.times import Moved, moved


@pytest.mark.parametrize(
    ("vr", "before", "after", "days", "seconds"),
    [
        ("DA", "20200229", "20200228", {-1}, set()),
        ("DA", "19970430", "19980430", {365}, set()),
        ("DA", "1997.04.30", "1997.05.01", {1}, set()),
        ("DA", "20200101\\20210101", "20200111\\20210111", {10}, set()),
        ("DA", "20200101\\20210101", "20200111\\20210112", {10, 11}, set()),
        ("DA", "20200101-20200103", "20200102-20200104", {1}, set()),
        ("DT", "20200229235959.25+0100", "20200301235959.25+0100", {1}, {0}),
        ("DT", "20200229", "20200301", {1}, set()),
        ("DT", "20200229-0500", "20200301-0500", {1}, set()),
        ("DT", "202002", "201902", set(), set()),
        ("TM", "235959.25", "235959.25", set(), {0}),
        ("TM", "230000", "010000", set(), {7200}),
    ],
)
def test_an_offset_is_found(vr: str, before: str, after: str, days: set[int], seconds: set[int]) -> None:
    assert moved(vr, before.encode(), after.encode()) == Moved(frozenset(days), frozenset(seconds))


@pytest.mark.parametrize(
    ("vr", "before", "after"),
    [
        ("DA", "20200229", "20200228\\20200228"),
        ("DA", "20200229", "2020.02.28"),
        ("DT", "20200229120000+0100", "20200229120000+0200"),
        ("TM", "120000.25", "120000.26"),
        ("TM", "120000", "1200"),
    ],
)
def test_another_form_is_no_offset(vr: str, before: str, after: str) -> None:
    assert moved(vr, before.encode(), after.encode()) is None
