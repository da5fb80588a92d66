"""Values of raw elements: numbers, text, lists. What is not a finite number of the right count is None, never a guess.

Text of a hostile or foreign header must still fit an Arrow table, so undecodable bytes become U+FFFD (PS3.5 section 6).
"""

from __future__ import annotations

import math
import struct
import warnings

from pydicom.charset import convert_encodings, decode_bytes, python_encoding

from curate.dicom.elements import Element
from curate.dicom.encoding import PARSING_ERRORS

_BINARY_WIDTHS = {
    "US": (2, False),
    "SS": (2, True),
    "UL": (4, False),
    "SL": (4, True),
    "UV": (8, False),
    "SV": (8, True),
}
_CHARACTER_SET_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C}
_ESCAPE = b"\x1b"  # starts a shift to another character set
_INT64 = 2**63
_MAXIMUM_TEXT = 1024


def text(element: Element | None, character_set: Element | None = None) -> str | None:
    """Stripped text, or None when absent or empty. ``character_set``: (0008,0005) for names and ids."""
    if element is None:
        return None
    raw = element.value[:_MAXIMUM_TEXT]
    if character_set is None or (raw.isascii() and _ESCAPE not in raw):
        decoded = raw.decode("ascii", "replace")
    else:
        decoded = _decode_foreign(raw, character_set)
    return decoded.split("\0")[0].strip() or None


def integer(element: Element | None, default_vr: str, *, is_little_endian: bool) -> int | None:
    """The first value of a binary (US, SS, UL ...) or text (IS, DS) element as an integer that fits int64."""
    if element is None:
        return None
    vr = element.vr if element.vr in _BINARY_WIDTHS or element.vr in ("IS", "DS") else default_vr
    if vr in _BINARY_WIDTHS:
        width, is_signed = _BINARY_WIDTHS[vr]
        if len(element.value) < width:
            return None
        number = int.from_bytes(element.value[:width], "little" if is_little_endian else "big", signed=is_signed)
    else:
        found = numbers(element)
        if not found or found[0] != int(found[0]):
            return None
        number = int(found[0])
    return number if -_INT64 <= number < _INT64 else None


def numbers(element: Element | None, count: int | None = None) -> list[float] | None:
    """Decimal strings as finite floats; None if any is not one, or if there are not ``count`` of them."""
    if element is None:
        return None
    parts = element.value[:_MAXIMUM_TEXT].split(b"\0")[0].decode("ascii", "replace").strip().split("\\")
    try:
        found = [float(part) for part in parts]
    except ValueError:
        return None
    if not all(map(math.isfinite, found)) or (count is not None and len(found) != count):
        return None
    return found


def number(element: Element | None) -> float | None:
    """The first decimal string as a finite float, or None."""
    found = numbers(element)
    return found[0] if found else None


def double(element: Element | None, *, is_little_endian: bool) -> float | None:
    """The first value of a binary FD element as a finite float, or None; decimal strings are read where the VR says."""
    if element is None:
        return None
    if element.vr in ("DS", "IS"):
        return number(element)
    if element.vr not in (None, "FD", "UN") or len(element.value) < 8:
        return None
    (found,) = struct.unpack_from("<d" if is_little_endian else ">d", element.value)
    return float(found) if math.isfinite(found) else None


def _decode_foreign(raw: bytes, character_set: Element) -> str:
    names = [part.strip() for part in character_set.value.decode("ascii", "replace").strip("\0 ").split("\\")]
    if not all(name in python_encoding for name in names):
        return raw.decode("latin-1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return decode_bytes(raw, convert_encodings(names), _CHARACTER_SET_DELIMITERS)
    except (*PARSING_ERRORS, UnicodeError):
        return raw.decode("latin-1")
