"""The raw elements of one file, up to its pixel data: bytes, not yet values.

Works on a head of the file as well as on the whole of it; never reads past what it was given, so lengths that lie cost
nothing. Plain headers are walked by a kernel (curate.dicom.header_kernel), odd ones by pydicom (PS3.5 section 7).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from pydicom._dicom_dict import DicomDictionary
from pydicom.dataelem import RawDataElement
from pydicom.filereader import data_element_generator
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian

from curate.dicom.encoding import PARSING_ERRORS, Encoding, find_encoding, inflate
from curate.dicom.header_kernel import (
    DEFLATED,
    FOUND,
    IS_IMPLICIT,
    MEDIA_CLASS,
    ODD,
    OFFSET,
    PIXEL_TAG,
    PLACES,
    TRANSFER_SYNTAX,
    UNDEFINED_LENGTH,
    walk,
)  # fmt: skip

PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_MEDIA = (MEDIA_CLASS, TRANSFER_SYNTAX)
_SQ = int.from_bytes(b"SQ", "little")
_LONG_VRS = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))


@dataclass(frozen=True, slots=True)
class Element:
    """One value as it stands in the file; ``vr`` is None in implicit encoding."""

    vr: str | None
    value: bytes


@dataclass(frozen=True, slots=True)
class PixelElement:
    """The pixel data element: its tag, where its value starts in the body, and its declared length."""

    tag: int
    vr: str | None
    header_start: int  # offset of the element in ``Elements.body``
    start: int  # offset of its value
    length: int  # UNDEFINED_LENGTH: encapsulated


@dataclass(frozen=True, slots=True)
class Elements:
    """Wanted elements of a data set. ``body`` holds the data set: the file itself, or what it inflates to."""

    encoding: Encoding
    body: bytes
    values: dict[int, Element]
    sequences: frozenset[int]  # wanted tags that are there as sequences
    pixels: PixelElement | None
    is_complete: bool  # False: the given bytes end inside the header, or break the encoding rules
    is_damaged: bool  # they break the encoding rules before they end


def read_elements(content: bytes, wanted: Collection[int]) -> Elements:
    """Collect the wanted top-level elements of a file or of its head.

    Raises Rejected(EMPTY_FILE | NOT_DICOM | TRUNCATED_FILE | UNREADABLE_HEADER | SUSPICIOUS_COMPRESSION) when not
    even the data set can be found. Bytes that end inside the header give ``is_complete=False``: only the caller knows
    whether the file goes on.
    """
    return (_walk(content, frozenset(wanted)) if wanted else None) or _read_odd(content, wanted)


def _walk(content: bytes, wanted: frozenset[int], *, is_inflated: bool = False) -> Elements | None:
    """What the kernel finds, or None for a file that it leaves to pydicom."""
    tags = _tags(wanted)
    found, places = np.empty((tags.size, 3), np.int64), np.empty(PLACES, np.int64)
    state = walk(np.frombuffer(content, np.uint8), len(content), tags, found, places)
    if state == ODD or (state == DEFLATED and is_inflated):
        return None
    values: dict[int, Element] = {}
    sequences: set[int] = set()
    media: dict[int, str | None] = {}
    for tag, (start, length, vr) in zip(tags.tolist(), found.tolist(), strict=True):
        if start < 0:
            continue
        if tag in _MEDIA:
            media[tag] = content[start : start + length].rstrip(b"\0 ").decode("ascii", "replace") or None
        elif vr == _SQ or (vr == 0 and is_sequence(tag)):
            sequences.add(tag)
        else:
            values[tag] = Element(_letters(vr), content[start : start + length])
    offset, is_implicit = int(places[OFFSET]), bool(places[IS_IMPLICIT])
    encoding = Encoding(offset, media.get(TRANSFER_SYNTAX), media.get(MEDIA_CLASS), is_implicit, True, False)
    if state == DEFLATED:
        return _walk_inflated(content, wanted, replace(encoding, is_implicit=False, is_deflated=True))
    pixels = None
    if state == FOUND:
        tag, vr, header_start, start, length = places[PIXEL_TAG:].tolist()
        pixels = PixelElement(tag, _letters(vr), header_start, start, length)
    return Elements(encoding, content, values, frozenset(sequences), pixels, state == FOUND, False)


def _walk_inflated(content: bytes, wanted: frozenset[int], encoding: Encoding) -> Elements | None:
    """The data set that a whole deflated file holds, which is explicit and starts at once (PS3.5 A.5)."""
    body = inflate_plain(content)
    walked = None if body is None else _walk(body, wanted, is_inflated=True)
    if walked is None or not walked.is_complete or walked.encoding.is_implicit or walked.encoding.offset:
        return None
    return replace(walked, encoding=encoding)


def inflate_plain(content: bytes) -> bytes | None:
    """The data set of a whole deflated file; None for other files and for streams that are cut.

    Raises Rejected(UNREADABLE_HEADER | SUSPICIOUS_COMPRESSION) as ``read_elements`` does.
    """
    tags = _tags(frozenset())
    found, places = np.empty((tags.size, 3), np.int64), np.empty(PLACES, np.int64)
    if walk(np.frombuffer(content, np.uint8), len(content), tags, found, places) != DEFLATED:
        return None
    start, length, _ = found[tags.tolist().index(TRANSFER_SYNTAX)].tolist()
    if content[start : start + length].rstrip(b"\0 ") != DeflatedExplicitVRLittleEndian.encode():
        return None
    body, ends_well = inflate(memoryview(content)[int(places[OFFSET]) :])
    return body if ends_well else None


@lru_cache(maxsize=32)
def _tags(wanted: frozenset[int]) -> NDArray[np.int64]:
    return np.array(sorted(wanted.union(_MEDIA)), np.int64)


@lru_cache(maxsize=64)
def _letters(vr: int) -> str | None:
    return vr.to_bytes(2, "little").decode("ascii") if vr else None


def is_sequence(tag: int) -> bool:
    """Whether the dictionary of PS3.6 says so."""
    entry = DicomDictionary.get(tag)
    return entry is not None and entry[0] == "SQ"


def _read_odd(content: bytes, wanted: Collection[int]) -> Elements:
    encoding = find_encoding(content)
    body, start, ends_well = content, encoding.offset, True
    if encoding.is_deflated:
        body, ends_well = inflate(content[encoding.offset :])
        start = 0
    stream = BytesIO(body)
    stream.seek(start)
    values: dict[int, Element] = {}
    sequences: set[int] = set()
    pixels: PixelElement | None = None
    has_stopped = False

    def is_past_header(tag: BaseTag, vr: str | None, length: int) -> bool:
        # Groups above the pixels hold only padding and signatures.
        nonlocal pixels, has_stopped
        if tag < PIXEL_TAGS[0] or tag.group == 0xFFFE:
            return False
        if tag in PIXEL_TAGS:
            is_long = not encoding.is_implicit and (vr or "").encode() in _LONG_VRS
            pixels = PixelElement(int(tag), vr, stream.tell() - (12 if is_long else 8), stream.tell(), length)
        has_stopped = True
        return True

    tags: list[BaseTag | int] = list(wanted)
    is_damaged = False
    try:
        for element in data_element_generator(
            stream, encoding.is_implicit, encoding.is_little_endian, is_past_header, specific_tags=tags
        ):
            if (
                isinstance(element, RawDataElement)
                and isinstance(element.value, bytes)
                and not (element.VR == "SQ" or (element.VR is None and is_sequence(int(element.tag))))
            ):
                if len(element.value) < element.length != UNDEFINED_LENGTH:
                    ends_well = False  # the bytes end inside this value
                    break
                values.setdefault(int(element.tag), Element(element.VR, element.value))
            elif element.value:
                sequences.add(int(element.tag))
    except PARSING_ERRORS:
        is_damaged = stream.tell() < len(body)
    is_complete = has_stopped or (stream.tell() == len(body) and ends_well and not is_damaged)
    return Elements(encoding, body, values, frozenset(sequences), pixels, is_complete, is_damaged)
