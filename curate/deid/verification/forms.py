"""What can be said of one value by itself: whether it is a dummy, a token, numbers, old, or text that identifies."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from curate.deid.verification.entries import Entry
from curate.deid.verification.words import TEXT_VRS, contact_in, decode

NUMBER_VRS = frozenset(("US", "SS", "UL", "SL", "FL", "FD", "AT", "SV", "UV"))
_WIDTHS = {"US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "AT": 4, "FD": 8, "SV": 8, "UV": 8}  # bytes: PS3.5 6.2
_DUMMIES = frozenset((b"ANONYMIZED", b"0", b"000Y", b"19000101", b"000000", b"19000101000000"))
_TABLES_OF_BYTES = frozenset((0x00281201, 0x00281202, 0x00281203, 0x00281204, 0x00283006))
_DECIMALS = re.compile(rb"[0-9+\-.eE \0\\]*")
_DECIMAL = rb" *(?:[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)?[ \0]*"
_INTEGER = rb" *(?:[+-]?\d+(?:\.0*)?)?[ \0]*"
_WHOLE = {
    vr: re.compile(rb"%b(?:\\%b)*" % (part, part)) for vr, part in (("DS", _DECIMAL), ("IS", _INTEGER))
}  # lists of numbers, any of which may be empty
_CODE = re.compile(rb"[\w ./+\-:\\]*\0?")
_WRITTEN = re.compile(rb"[A-Za-z^ ]{8,}\0*")
_TOKEN, _KEY = re.compile(rb"[0-9a-f]{16}"), re.compile(rb"[A-Z2-7]{16}")
_UID = re.compile(rb"\d+(?:\.\d+){2,}[ \0]*")
_NAME = re.compile(rb"[^\W\d]\^[^\W\d]")
_AGES = {"Y": 1.0, "M": 12.0, "W": 52.1775, "D": 365.25}  # units in a year


def is_dummy(value: bytes) -> bool:
    """Whether the value is one of the constants that stand for nothing, or zeros."""
    bare = value.strip(b" \0")
    return not bare or bare in _DUMMIES


def is_token(value: bytes) -> bool:
    """Whether the value has the form of what stands for an accession number: 16 hexadecimal digits."""
    return _TOKEN.fullmatch(value.strip(b" \0")) is not None


def is_key(value: bytes) -> bool:
    """Whether the value has the form of the key that stands for a patient: 16 digits of base 32."""
    return _KEY.fullmatch(value.strip(b" \0")) is not None


def looks_like_uid(value: bytes) -> bool:
    """Whether a value of unknown VR is a UID."""
    return _UID.fullmatch(value) is not None


def looks_like_name(value: bytes) -> bool:
    """Whether a value of unknown VR has the mark that stands between the parts of a person's name."""
    return _NAME.search(value) is not None


def is_old(age: str) -> bool:
    """Over 89 years, and not the 090Y that stands for all of them."""
    per_year = _AGES.get(age[-1:], 0.0)
    return bool(per_year) and age[:-1].isdigit() and int(age[:-1]) / per_year >= 90 and age != "090Y"


@lru_cache(maxsize=4096)
def has_contact(value: bytes, encodings: tuple[str, ...]) -> bool:
    """Whether a phone number, an address or the like stands in the text."""
    return contact_in(decode(value, encodings))


@lru_cache(maxsize=1 << 13)
def has_letters(tag: int, vr: str, value: bytes) -> bool:
    """Whether a value of numbers or codes holds what are none."""
    if vr in ("DS", "IS"):
        return _DECIMALS.fullmatch(value) is None
    if vr == "CS":
        return _CODE.fullmatch(value) is None
    return vr != "AS" and tag not in _TABLES_OF_BYTES and _WRITTEN.fullmatch(value) is not None


@lru_cache(maxsize=1 << 13)
def is_malformed(vr: str, value: bytes) -> bool:
    """Whether a value of a VR of numbers is no list of them: other readers refuse the file, or read what they like."""
    if vr in _WIDTHS:
        return len(value) % _WIDTHS[vr] != 0
    return vr in _WHOLE and _WHOLE[vr].fullmatch(value) is None


def private_fault(entry: Entry, vr: str, encodings: tuple[str, ...]) -> str:
    """What is wrong with the value of a private attribute that should be of this VR: one line, empty for nothing."""
    if entry.items is not None and vr != "SQ":
        return "a sequence where a value belongs"
    if vr in ("DS", "IS") and _DECIMALS.fullmatch(entry.value) is None:
        return "not a number"
    if vr in NUMBER_VRS and _WRITTEN.fullmatch(entry.value):
        return "text where numbers belong"
    return "text that identifies" if vr in TEXT_VRS and has_contact(entry.value, encodings) else ""


def words_of(value: bytes) -> Counter[bytes]:
    """Words with how often each occurs."""
    return Counter(re.findall(rb"[^\s\\\0]+", value))
