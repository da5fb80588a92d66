"""Value representations in classes: what a rule may assume about the bytes of an element.

An element whose file says a VR of another class than the dictionary does is not trusted with the rule of its tag.
"""

from __future__ import annotations

from enum import Enum

from pydicom.datadict import DicomDictionary  # type: ignore[attr-defined]


class Kind(Enum):
    """Classes of value representation (PS3.5 6.2) that are handled alike."""

    __hash__ = object.__hash__  # members are single objects; hashing their names costs a tenth of a file

    NUMBERS = "binary numbers"
    DECIMALS = "numbers written as text"
    CODE = "code string"
    TEXT = "free text"
    PERSON = "person name"
    UID = "unique identifier"
    TIME = "date, time or both"
    AGE = "age string"
    BULK = "bytes"
    SEQUENCE = "sequence"
    UNKNOWN = "unknown"


KIND_OF_VR: dict[bytes, Kind] = {
    **dict.fromkeys((b"US", b"SS", b"UL", b"SL", b"FL", b"FD", b"AT", b"SV", b"UV"), Kind.NUMBERS),
    **dict.fromkeys((b"DS", b"IS"), Kind.DECIMALS),
    b"CS": Kind.CODE,
    **dict.fromkeys((b"AE", b"LO", b"LT", b"SH", b"ST", b"UC", b"UR", b"UT"), Kind.TEXT),
    b"PN": Kind.PERSON,
    b"UI": Kind.UID,
    **dict.fromkeys((b"DA", b"DT", b"TM"), Kind.TIME),
    b"AS": Kind.AGE,
    **dict.fromkeys((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW"), Kind.BULK),
    b"SQ": Kind.SEQUENCE,
    b"UN": Kind.UNKNOWN,
}

LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
"""VRs whose explicit header has two reserved bytes and a length of four bytes (PS3.5 7.1.2)."""

_AMBIGUOUS = {"US or SS": b"US", "OB or OW": b"OW", "US or OW": b"OW", "US or SS or OW": b"OW", "NONE": b"UN"}

VR_OF_TAG: dict[int, bytes] = {
    tag: _AMBIGUOUS.get(entry[0], entry[0].encode()) for tag, entry in DicomDictionary.items()
}
"""VR of every tag of the data dictionary (PS3.6); of the ambiguous ones, the one that says least."""
