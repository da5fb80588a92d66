"""Dates keep their distances, their form and their precision; ages stop at 90."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curate.deid.dates import cap_age, shift_value

DAYS = st.integers(-3652, -1)
DATES = st.dates(date(1900, 1, 1), date(2100, 1, 1))


@given(DATES, DATES, DAYS)
def test_the_distance_of_two_dates_survives(first: date, second: date, days: int) -> None:
    moved = [shift_value(b"DA", day.strftime("%Y%m%d").encode(), days) for day in (first, second)]
    parsed = [date.fromisoformat(value.decode()) for value in moved if value is not None]
    assert parsed[1] - parsed[0] == second - first
    assert parsed[0] == first + timedelta(days=days)


@pytest.mark.parametrize(
    ("vr", "value", "days", "moved"),
    [
        (b"DA", b"20200229", -366, b"20190228"),
        (b"DA", b"20200301", -1, b"20200229"),
        (b"DA", b"1997.04.30", -30, b"1997.03.31"),
        (b"DA", b"20200102 ", -2, b"20191231"),
        (b"DA", b"20200102\\20200105", -1, b"20200101\\20200104"),
        (b"DA", b"20200102-20200105", -1, b"20200101-20200104"),
        (b"DA", b"20200102-", -1, b"20200101-"),
        (b"DA", b"-20200102", -1, b"-20200101"),
        (b"DA", b"", -1, b""),
        (b"DT", b"20200301000001.250000+0100", -1, b"20200229000001.250000+0100"),
        (b"DT", b"20200301000001-0500", -1, b"20200229000001-0500"),
        (b"DT", b"202003011200", -1, b"202002291200"),
        (b"DT", b"20200301", -1, b"20200229"),
        (b"DT", b"202003", -31, b"202002"),
        (b"DT", b"2020", -366, b"2019"),
        (b"TM", b"235959.123456", -100, b"235959.123456"),
        (b"TM", b"10:11:12", -100, b"10:11:12"),
        (b"TM", b"1011\\1012", -100, b"1011\\1012"),
        (b"TM", b"1000-1200", -100, b"1000-1200"),
    ],
)
def test_values_move_in_the_form_they_came_in(vr: bytes, value: bytes, days: int, moved: bytes) -> None:
    assert shift_value(vr, value, days) == moved


@pytest.mark.parametrize(
    ("vr", "value"),
    [
        (b"DA", b"20200230"),
        (b"DA", b"Quixotov"),
        (b"DA", b"2020-01-02"),
        (b"DA", b"00010101"),
        (b"DA", b"20200102\\John"),
        (b"DA", b"-"),
        (b"DT", b"20200102Doe"),
        (b"DT", b"2020010"),
        (b"TM", b"noon"),
        (b"TM", b"10:11:12 Quixotova"),
    ],
)
def test_what_is_no_date_is_not_guessed(vr: bytes, value: bytes) -> None:
    assert shift_value(vr, value, -400) is None


def test_no_shift_leaves_the_value() -> None:
    assert shift_value(b"DA", b"20200229", 0) == b"20200229"


@pytest.mark.parametrize(
    ("age", "capped"),
    [
        (b"061Y", b"061Y"),
        (b"089Y", b"089Y"),
        (b"090Y", b"090Y"),
        (b"091Y", b"090Y"),
        (b"104Y", b"090Y"),
        (b"61Y ", b"061Y"),
        (b"999M", b"999M"),
        (b"018M", b"018M"),
        (b"", b""),
        (b"095Y\\003D", b"090Y\\003D"),
    ],
)
def test_ages_over_89_become_90(age: bytes, capped: bytes) -> None:
    assert cap_age(age) == capped


@pytest.mark.parametrize("age", [b"61", b"old", b"1234Y", b"061y Quixotova"])
def test_what_is_no_age_is_not_kept(age: bytes) -> None:
    assert cap_age(age) is None
