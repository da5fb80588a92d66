"""Elements back to bytes, in the syntax that they came in (PS3.5 section 7.1 and 7.5)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct
from typing import TypeAlias

from curate.deid.elements import Syntax, describe
from curate.deid.vrs import LONG_VRS
from curate.errors import Quarantined
from curate.reasons import Reason

Encoded: TypeAlias = bytes | memoryview
"""An element ready to be written; a view where it is large and stays as it is."""

_SHORT = {True: Struct("<HH2sH"), False: Struct(">HH2sH")}
_LONG = {True: Struct("<HH2s2xI"), False: Struct(">HH2s2xI")}
_PLAIN = {True: Struct("<HHI"), False: Struct(">HHI")}
_LONGEST_SHORT = 0xFFFE  # bytes that the two-byte length of a short header can say, padding included
_NUL_PADDED = frozenset((b"UI", b"OB", b"UN", b"OW", b"OD", b"OF", b"OL", b"OV"))


def encode_element(tag: int, vr: bytes, value: bytes, syntax: Syntax) -> bytes:
    """Header and value; odd values get the padding byte of their VR.

    Raises Quarantined(DEIDENTIFICATION_FAILED) for a value that its header cannot say the length of: new UIDs are
    longer than old ones.
    """
    if len(value) & 1:
        value += b"\0" if vr in _NUL_PADDED else b" "
    group, number = tag >> 16, tag & 0xFFFF
    if syntax.implicit:
        return _PLAIN[syntax.little].pack(group, number, len(value)) + value
    if vr in LONG_VRS:
        return _LONG[syntax.little].pack(group, number, vr, len(value)) + value
    if len(value) > _LONGEST_SHORT:
        raise Quarantined(Reason.DEIDENTIFICATION_FAILED, f"{describe(tag)} is too long for its header")
    return _SHORT[syntax.little].pack(group, number, vr, len(value)) + value


def encode_items(items: Iterable[tuple[Syntax, Mapping[int, Encoded]]]) -> bytes:
    """Value of a sequence: items of defined length, elements in ascending order of their tags."""
    parts = []
    for syntax, elements in items:
        body = join_elements(elements)
        parts.append(_PLAIN[syntax.little].pack(0xFFFE, 0xE000, len(body)))
        parts.append(body)
    return b"".join(parts)


def join_elements(elements: Mapping[int, Encoded]) -> bytes:
    """Encoded elements in ascending order of their tags."""
    return b"".join(in_order(elements))


def in_order(elements: Mapping[int, Encoded]) -> list[Encoded]:
    """Encoded elements in ascending order of their tags, not yet joined: pixels are copied once."""
    return [elements[tag] for tag in sorted(elements)]
