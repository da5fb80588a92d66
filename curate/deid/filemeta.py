"""The frame around a data set: preamble, file meta information and transfer syntax, taken off and built anew.

PS3.15 E.1.1 wants both replaced: they carry UIDs, application titles, private bytes and, in dual-format files, a
whole second header. Files that lack them (PS3.10 7.1 calls for both) are read too.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from pydicom.uid import (
    UID,
    AllTransferSyntaxes,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
)

from curate.deid.elements import (
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    Syntax,
    looks_explicit,
)
from curate.deid.encode import Encoded, encode_element
from curate.deid.vrs import LONG_VRS
from curate.errors import Rejected
from curate.reasons import Reason

IMPLEMENTATION_CLASS_UID = "2.25.302158237213867415930478318720364087425"
IMPLEMENTATION_VERSION = "SPINE_CURATE_1"
LARGEST_INFLATED = 1 << 31
_EXPLICIT = "1.2.840.10008.1.2.1"
_META_START = b"\x02\x00"


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """A data set without its frame: bytes, where it starts, its syntax, and what the meta information said."""

    content: bytes
    start: int
    syntax: Syntax
    transfer_syntax_uid: str
    sop_class_uid: str
    sop_instance_uid: str

    @property
    def is_deflated(self) -> bool:
        """Whether the data set was deflated (PS3.5 A.5); ``content`` is inflated."""
        return self.transfer_syntax_uid == DeflatedExplicitVRLittleEndian

    @property
    def is_native(self) -> bool:
        """Whether pixels are not compressed."""
        return not UID(self.transfer_syntax_uid).is_encapsulated


def open_file(raw: bytes) -> OpenedFile:
    """Take off preamble and meta information, inflate a deflated data set.

    Raises Rejected: EMPTY_FILE, NOT_DICOM, UNREADABLE_HEADER, TRUNCATED_FILE, SUSPICIOUS_COMPRESSION,
    UNSUPPORTED_TRANSFER_SYNTAX for one that the standard does not define.
    """
    if not raw:
        raise Rejected(Reason.EMPTY_FILE)
    has_preamble = raw[128:132] == b"DICM"
    start = 132 if has_preamble else 0
    meta, start = _read_meta(raw, start)
    transfer_syntax = meta.get(0x00020010, "")
    if transfer_syntax == DeflatedExplicitVRLittleEndian:
        raw, start = _inflate(raw[start:]), 0
    syntax, transfer_syntax = _syntax(raw, start, transfer_syntax, trusted=has_preamble)
    return OpenedFile(raw, start, syntax, transfer_syntax, meta.get(0x00020002, ""), meta.get(0x00020003, ""))


def build_file(
    dataset: bytes | Sequence[Encoded], *, transfer_syntax_uid: str, sop_class_uid: str, sop_instance_uid: str
) -> bytes:
    """Zero preamble, new meta information (PS3.10 table 7.1-1) and the data set, whole or as encoded elements in
    order, deflated where its syntax says so.
    """
    values = [
        (0x00020001, b"OB", b"\0\1"),
        (0x00020002, b"UI", sop_class_uid.encode()),
        (0x00020003, b"UI", sop_instance_uid.encode()),
        (0x00020010, b"UI", transfer_syntax_uid.encode()),
        (0x00020012, b"UI", IMPLEMENTATION_CLASS_UID.encode()),
        (0x00020013, b"SH", IMPLEMENTATION_VERSION.encode()),
    ]
    meta = b"".join(encode_element(tag, vr, value, EXPLICIT_LITTLE) for tag, vr, value in values if value)
    length = encode_element(0x00020000, b"UL", len(meta).to_bytes(4, "little"), EXPLICIT_LITTLE)
    parts = [dataset] if isinstance(dataset, bytes) else dataset
    if transfer_syntax_uid == DeflatedExplicitVRLittleEndian:
        parts = [_deflate(b"".join(parts))]
    return b"".join((bytes(128), b"DICM", length, meta, *parts))


def _read_meta(raw: bytes, start: int) -> tuple[dict[int, str], int]:
    """UI values of group 2, which is always explicit little endian, and where the data set starts."""
    position, meta = start, {}
    while raw[position : position + 2] == _META_START:
        head = raw[position : position + 12]
        if len(head) < 12 or not looks_explicit(head, 0):
            raise Rejected(Reason.UNREADABLE_HEADER, "the file meta information breaks the encoding rules")
        is_long = head[4:6] in LONG_VRS
        length = int.from_bytes(head[8:12] if is_long else head[6:8], "little")
        value_start = position + (12 if is_long else 8)
        position = value_start + length
        if position > len(raw):
            raise Rejected(Reason.TRUNCATED_FILE, "the file ends inside its meta information")
        if head[4:6] == b"UI":
            tag = 0x00020000 | int.from_bytes(head[2:4], "little")
            meta[tag] = raw[value_start:position].strip(b"\0 ").decode("latin-1")
    return meta, position


def _syntax(raw: bytes, start: int, transfer_syntax: str, *, trusted: bool) -> tuple[Syntax, str]:
    """Believe the bytes over the meta information about implicit or explicit: some writers name the wrong one."""
    if transfer_syntax and transfer_syntax not in AllTransferSyntaxes:
        raise Rejected(Reason.UNSUPPORTED_TRANSFER_SYNTAX, "the standard does not define it")
    if start + 8 > len(raw):
        raise Rejected(Reason.TRUNCATED_FILE if trusted else Reason.NOT_DICOM, "no data set")
    explicit = looks_explicit(raw, start)
    if not trusted and not transfer_syntax:
        return _guess(raw, start, explicit)
    if transfer_syntax == ExplicitVRBigEndian:
        return EXPLICIT_BIG, transfer_syntax
    if explicit:
        wrong = transfer_syntax in ("", ImplicitVRLittleEndian)
        return EXPLICIT_LITTLE, _EXPLICIT if wrong else transfer_syntax
    if transfer_syntax in ("", _EXPLICIT, ImplicitVRLittleEndian):
        return IMPLICIT_LITTLE, str(ImplicitVRLittleEndian)
    raise Rejected(Reason.UNREADABLE_HEADER, "the data set is not explicit, as its transfer syntax asks")


def _guess(raw: bytes, start: int, explicit: bool) -> tuple[Syntax, str]:
    """For bare data sets: the first element of an image lies in group 8 and has a sane length."""
    little = raw[start : start + 2] == b"\x08\x00"
    if not little and raw[start : start + 2] != b"\x00\x08":
        raise Rejected(Reason.NOT_DICOM)
    if not explicit:
        length = int.from_bytes(raw[start + 4 : start + 8], "little")
        if not little or length > len(raw) - start:
            raise Rejected(Reason.NOT_DICOM)
        return IMPLICIT_LITTLE, str(ImplicitVRLittleEndian)
    return (EXPLICIT_LITTLE, _EXPLICIT) if little else (EXPLICIT_BIG, str(ExplicitVRBigEndian))


def _inflate(compressed: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(compressed, LARGEST_INFLATED)
    except zlib.error:
        raise Rejected(Reason.UNREADABLE_HEADER, "the deflated data set is damaged") from None
    if inflater.unconsumed_tail:
        raise Rejected(Reason.SUSPICIOUS_COMPRESSION)
    if not inflater.eof:
        raise Rejected(Reason.TRUNCATED_FILE, "the deflated data set ends early")
    return inflated


def _deflate(dataset: bytes) -> bytes:
    deflater = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    compressed = deflater.compress(dataset) + deflater.flush()
    return compressed + b"\0" * (len(compressed) & 1)
