"""How far a date or time was moved, found by comparing it with the source's: nothing is known of the shift's making."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from functools import lru_cache

_DAY = re.compile(r"(\d{4})([.-]?)(\d\d)\2(\d\d)")
_CLOCK = re.compile(r"(\d\d):?(\d\d)?:?(\d\d)?(\.\d+)?")
_SECONDS_A_DAY = 86_400


@dataclass(frozen=True, slots=True)
class Moved:
    """Days of every date, seconds (modulo a day) of every time; empty where the precision is too low to say."""

    days: frozenset[int] = frozenset()
    seconds: frozenset[int] = frozenset()


@lru_cache(maxsize=4096)
def moved(vr: str, before: bytes, after: bytes) -> Moved | None:
    """None when the values have not the same form: another number of values, another precision, another zone."""
    old, new = (
        [part.strip() for part in re.split(r"\\", value.decode("latin-1").strip(" \0"))] for value in (before, after)
    )
    if len(old) != len(new):
        return None
    days: set[int] = set()
    seconds: set[int] = set()
    for was, now in zip(old, new, strict=True):
        if vr != "TM" and "-" in was[4:] and "-" in now[4:] and not _zoned(was):  # a range
            pairs = list(zip(was.split("-"), now.split("-"), strict=False))
        else:
            pairs = [(was, now)]
        for one, other in pairs:
            if not _one(vr, one, other, days, seconds):
                return None
    return Moved(frozenset(days), frozenset(seconds))


def _one(vr: str, was: str, now: str, days: set[int], seconds: set[int]) -> bool:
    if len(was) != len(now):
        return False
    if not was:
        return True
    if vr == "TM":
        return _times(was, now, seconds)
    first, second = _DAY.match(was), _DAY.match(now)
    if first is None or second is None:  # a year or a month alone
        return was.isdigit() and now.isdigit()
    distance = _ordinal(second) - _ordinal(first)
    rest, moved_rest = was[first.end() :], now[second.end() :]
    if vr == "DA" or rest[:1] in ("", "+", "-"):
        days.add(distance)
        return rest == moved_rest
    zone = re.search(r"[+-]\d{4}$", rest)
    if zone is not None and not moved_rest.endswith(zone[0]):
        return False
    if rest == moved_rest:
        days.add(distance)
        seconds.add(0)
        return True
    days.add(distance)
    return _times(rest, moved_rest, seconds)


def _times(was: str, now: str, seconds: set[int]) -> bool:
    if was == now:
        seconds.add(0)
        return True
    first, second = _CLOCK.match(was), _CLOCK.match(now)
    if first is None or second is None or first[4] != second[4]:
        return False
    seconds.add((_seconds(second) - _seconds(first)) % _SECONDS_A_DAY)
    return True


def _seconds(clock: re.Match[str]) -> int:
    return int(clock[1]) * 3600 + int(clock[2] or 0) * 60 + int(clock[3] or 0)


def _ordinal(day: re.Match[str]) -> int:
    try:
        return date(int(day[1]), int(day[3]), int(day[4])).toordinal()
    except ValueError:
        return 0


def _zoned(value: str) -> bool:
    return re.search(r"\d{8,}(\.\d+)?[+-]\d{4}$", value) is not None and len(value.split("-")[-1]) == 4
