"""How the data set of a DICOM file is encoded: preamble, file meta, transfer syntax (PS3.10 7, PS3.5 10).

Nothing is believed that the bytes contradict: files without preamble or meta are read, an explicit syntax over implicit
bytes is read as implicit, and a deflated data set is inflated up to a limit.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from importlib import import_module
from io import BytesIO
from typing import Any

from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.filereader import data_element_generator
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from curate.errors import Rejected
from curate.reasons import Reason

try:  # twice as fast as zlib
    _inflater: Any = import_module("isal.isal_zlib")
except ImportError:
    _inflater = zlib

MAXIMUM_INFLATED_BYTES = 512 * 2**20
_PREAMBLE = 128
_FIRST_GROUPS = (0x0002, 0x0004, 0x0008)

# What pydicom raises on bytes that break the encoding rules, deep nesting included.
PARSING_ERRORS = (
    AttributeError,
    BytesLengthException,
    EOFError,
    IndexError,
    InvalidDicomError,
    KeyError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class Encoding:
    """Where the data set starts in the file and how to read it."""

    offset: int  # of the first element after the file meta
    transfer_syntax_uid: str | None  # as declared; None: no file meta
    media_sop_class_uid: str | None
    is_implicit: bool
    is_little_endian: bool
    is_deflated: bool


def find_encoding(head: bytes) -> Encoding:
    """Look at the first bytes of a file. Raises Rejected(EMPTY_FILE | NOT_DICOM | TRUNCATED_FILE)."""
    if not head:
        raise Rejected(Reason.EMPTY_FILE)
    has_preamble = head[_PREAMBLE : _PREAMBLE + 4] == b"DICM"
    start = _PREAMBLE + 4 if has_preamble else 0
    if not has_preamble and not _looks_like_elements(head):
        raise Rejected(Reason.NOT_DICOM)
    offset, syntax, media = _read_meta(head, start)
    is_deflated = syntax == DeflatedExplicitVRLittleEndian
    is_implicit, is_little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    if not is_deflated and len(head) >= offset + 6:
        is_implicit, is_little = _look_at_first_element(head[offset : offset + 6])
    elif not is_deflated and has_preamble and offset >= len(head):
        raise Rejected(Reason.TRUNCATED_FILE, "no data set after the file meta")
    return Encoding(offset, syntax, media, is_implicit, is_little, is_deflated)


def inflate(content: bytes | memoryview, *, maximum: int = MAXIMUM_INFLATED_BYTES) -> tuple[bytes, bool]:
    """Raw-inflate a deflated data set (PS3.5 A.5) -> its bytes and whether the stream ends properly.

    By Intel's ISA-L where it is installed. Never holds more than ``maximum`` bytes of output, bombs included.

    Raises Rejected(SUSPICIOUS_COMPRESSION) above ``maximum`` bytes and Rejected(UNREADABLE_HEADER) for a damaged
    stream.
    """
    stream = _inflater.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated: bytes = stream.decompress(content, maximum)
    except _inflater.error:
        raise Rejected(Reason.UNREADABLE_HEADER, "the deflated data set is damaged") from None
    if not stream.eof and len(inflated) >= maximum:
        raise Rejected(Reason.SUSPICIOUS_COMPRESSION, f"the data set inflates to more than {maximum} bytes")
    return inflated, stream.eof


def _looks_like_elements(head: bytes) -> bool:
    """Whether the first eight bytes can be an element of the first groups, in any encoding, with a length that fits."""
    if len(head) < 8:
        return False
    for order in "<>":
        group, element = struct.unpack(order + "HH", head[:4])
        if group not in _FIRST_GROUPS or element > 0x3010:
            continue
        if _is_vr(head[4:6]):
            return True
        # Implicit: the first elements of a data set (group length, character set, image type, UIDs, dates) are short.
        if struct.unpack(order + "L", head[4:8])[0] <= 1024:
            return True
    return False


def _is_vr(letters: bytes) -> bool:
    return len(letters) == 2 and b"AA" <= letters <= b"ZZ" and letters.isalpha() and letters.isupper()


def _look_at_first_element(first: bytes) -> tuple[bool, bool]:
    """(is_implicit, is_little_endian) from the first element: its group is small, and a VR is two capital letters."""
    little, big = struct.unpack("<H", first[:2])[0], struct.unpack(">H", first[:2])[0]
    return not _is_vr(first[4:6]), little <= big


def _read_meta(head: bytes, start: int) -> tuple[int, str | None, str | None]:
    """Group 2 is always explicit little endian (PS3.10 7.1); its own group length is not believed."""
    if head[start : start + 2] != b"\x02\x00":
        return start, None, None
    stream = BytesIO(head)
    stream.seek(start)
    found: dict[int, str] = {}
    try:
        for element in data_element_generator(stream, False, True, stop_when=lambda tag, _vr, _length: tag.group != 2):
            if isinstance(element.value, bytes):
                found[int(element.tag)] = element.value.rstrip(b"\0 ").decode("ascii", "replace")
    except PARSING_ERRORS:
        reason = Reason.UNREADABLE_HEADER if stream.tell() < len(head) else Reason.TRUNCATED_FILE
        raise Rejected(reason, "the file meta breaks the encoding rules or is cut") from None
    if stream.tell() >= len(head):
        raise Rejected(Reason.TRUNCATED_FILE, "the file ends inside its file meta")
    return stream.tell(), found.get(0x00020010) or None, found.get(0x00020002) or None
