"""Dates, times and ages as raw bytes: shifted by whole days, or capped, in the form and precision they came in.

PS3.15 E.3.6 (modified dates): one offset per patient, so that intervals survive across midnight, leap days and years.
A whole number of days leaves times of day as they are. Values that are not well formed are never guessed: ``None``
says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from functools import lru_cache
from typing import TypeAlias

_Change: TypeAlias = Callable[[bytes], bytes | None]

OLDEST_AGE_YEARS = 89
_DATE = re.compile(rb"(\d{4})(\.?)(\d\d)\2(\d\d)")
_TIME = re.compile(rb"\d\d(?::?\d\d(?::?\d\d(?:\.\d{1,6})?)?)?")
_DATETIME = re.compile(rb"(\d{4}(?:\d\d(?:\d\d)?)?)((?:\d\d){0,3}(?:\.\d{1,6})?)([+-]\d{4})?")
_AGE = re.compile(rb"(\d{1,3})([DWMY])")
_MIDDLE = {4: b"0701", 6: b"15", 8: b""}  # digits given -> the rest of a day in the middle of that year or month
_YEARS_PER = {b"D": 1 / 365.25, b"W": 7 / 365.25, b"M": 1 / 12, b"Y": 1.0}


@lru_cache(maxsize=4096)
def shift_value(vr: bytes, value: bytes, days: int) -> bytes | None:
    """A DA, TM or DT value, also multi-valued or a range (PS3.4 C.2.2.2.5), moved by ``days``; None if malformed."""
    return _each(value, lambda part: _shift_range(vr, part, days))


@lru_cache(maxsize=1024)
def cap_age(value: bytes) -> bytes | None:
    """AS with ages over 89 years as 090Y, always four characters a value; None if malformed."""
    return _each(value, _cap_one)


def _each(value: bytes, change: _Change) -> bytes | None:
    parts = [change(part.strip(b" \0")) for part in value.split(b"\\")]
    whole = [part for part in parts if part is not None]
    return b"\\".join(whole) if len(whole) == len(parts) else None


def _shift_range(vr: bytes, value: bytes, days: int) -> bytes | None:
    if not value:
        return value
    move = {b"DA": _shift_date, b"TM": _keep_time, b"DT": _shift_datetime}[vr]
    moved = move(value, days)
    if moved is not None or b"-" not in value:
        return moved
    first, _, last = value.partition(b"-")
    ends = [move(end.strip(), days) if end.strip() else b"" for end in (first, last)]
    return None if None in ends or ends == [b"", b""] else b"%b-%b" % (ends[0] or b"", ends[1] or b"")


def _shift_date(value: bytes, days: int) -> bytes | None:
    match = _DATE.fullmatch(value)
    if not match:
        return None
    moved = _move(match[1] + match[3] + match[4], days)
    if moved is None or not match[2]:
        return moved
    return b".".join((moved[:4], moved[4:6], moved[6:]))


def _keep_time(value: bytes, days: int) -> bytes | None:
    return value if _TIME.fullmatch(value) else None


def _shift_datetime(value: bytes, days: int) -> bytes | None:
    """A year or month alone is taken at its middle and cut to the same precision again."""
    match = _DATETIME.fullmatch(value)
    if not match or (match[2] and len(match[1]) < 8):
        return None
    day = match[1]
    moved = _move(day + _MIDDLE[len(day)], days)
    return None if moved is None else moved[: len(day)] + match[2] + (match[3] or b"")


def _move(day: bytes, days: int) -> bytes | None:
    try:
        moved = date(int(day[:4]), int(day[4:6]), int(day[6:8])) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return moved.strftime("%Y%m%d").rjust(8, "0").encode()


def _cap_one(value: bytes) -> bytes | None:
    match = _AGE.fullmatch(value)
    if not match:
        return value if not value else None
    if int(match[1]) * _YEARS_PER[match[2]] >= OLDEST_AGE_YEARS + 1:
        return b"090Y"
    return match[1].rjust(3, b"0") + match[2]
